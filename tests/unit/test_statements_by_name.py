"""A statement's name leads to one statement, in the file of any subject."""

from pathlib import Path

import pytest

from fly_billing.postgres.statements import by_name, sql

BLOCKS = """-- name: open_months
-- One row per month.
select month from months;

-- name: close_month
update months set closed = true where month = :month;
"""


def test_a_file_holds_one_statement_or_several_named_blocks(tmp_path: Path) -> None:
    (tmp_path / "months.sql").write_text(BLOCKS, encoding="utf-8")
    (tmp_path / "prices.sql").write_text("select 1\n", encoding="utf-8")
    assert by_name(tmp_path.glob("*.sql")) == {
        "open_months": "-- One row per month.\nselect month from months",
        "close_month": "update months set closed = true where month = :month",
        "prices": "select 1\n",
    }


def test_two_statements_with_one_name_are_refused_with_both_files(tmp_path: Path) -> None:
    (tmp_path / "months.sql").write_text(BLOCKS, encoding="utf-8")
    (tmp_path / "close_month.sql").write_text("select 1\n", encoding="utf-8")
    with pytest.raises(LookupError, match=r"close_month: in \S+close_month\.sql and \S+months\.sql: rename one"):
        by_name(tmp_path.glob("*.sql"))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (
            "select 2;\n" + BLOCKS,
            r"months\.sql: the text before the first `-- name:` belongs to no statement: 'select 2;'",
        ),
        (BLOCKS.rstrip().rstrip(";"), r"months\.sql: the statement close_month does not end with a semicolon"),
    ],
)
def test_a_text_that_belongs_to_no_statement_is_refused(tmp_path: Path, text: str, wrong: str) -> None:
    (tmp_path / "months.sql").write_text(text, encoding="utf-8")
    with pytest.raises(LookupError, match=wrong):
        by_name(tmp_path.glob("*.sql"))


def test_a_missing_statement_is_named() -> None:
    with pytest.raises(KeyError, match="no_such_statement"):
        sql("no_such_statement")
