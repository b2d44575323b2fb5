"""A statement's name leads to one file, in whichever subject it is."""

from pathlib import Path

import pytest

from fly_billing.postgres.statements import by_name, sql


def test_two_statements_of_one_name_are_refused_and_both_files_named() -> None:
    paths = [Path("usage/sql/months.sql"), Path("pricing/sql/prices.sql"), Path("invoicing/sql/months.sql")]
    with pytest.raises(LookupError, match=r"invoicing/sql/months\.sql and usage/sql/months\.sql: rename one"):
        by_name(paths)
    assert by_name(paths[:2]) == {"months": paths[0], "prices": paths[1]}


def test_a_statement_that_is_not_there_is_named() -> None:
    with pytest.raises(KeyError, match="no_such_statement"):
        sql("no_such_statement")
