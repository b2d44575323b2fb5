"""A command that only reads has one connection without an engine, with the limits and messages of all others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from fly_billing.postgres.connections import DatabaseProblem
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.organizations import NoSuchOrganization, organization_name
from fly_billing.postgres.reading import ReadingDatabase
from fly_billing.settings import DatabaseLimits
from fly_billing.statements.statement_reader import read_statement
from tests.support.builders import at


@pytest.fixture
def url(billing_database: BillingDatabase) -> str:
    return billing_database.engine.url.render_as_string(hide_password=False)


@pytest.fixture
def reading(url: str) -> Iterator[ReadingDatabase]:
    database = ReadingDatabase(url, DatabaseLimits.from_environment({"FLY_BILLING_STATEMENT_SECONDS": "30"}))
    yield database
    database.close()


def backend(connection: psycopg.Connection[Any]) -> int:
    return connection.info.backend_pid


def test_it_keeps_one_connection_for_all_reads(reading: ReadingDatabase) -> None:
    with reading.consistent_read() as first:
        pid = backend(first)
    with reading.consistent_read() as second:
        assert backend(second) == pid


def test_its_session_has_the_limits_of_the_settings(reading: ReadingDatabase) -> None:
    with reading.consistent_read() as connection:
        assert connection.execute("show statement_timeout").fetchone() == ("30s",)
        assert connection.execute("show timezone").fetchone() == ("UTC",)


def test_it_can_not_change_a_bill(reading: ReadingDatabase) -> None:
    with (
        pytest.raises(DatabaseProblem, match="is read-only"),
        reading.consistent_read() as connection,
    ):
        connection.execute("delete from invoices")


def test_all_its_reads_in_a_block_are_of_one_moment(
    reading: ReadingDatabase, billing_database: BillingDatabase
) -> None:
    count = "select count(*) from pg_class"
    with reading.consistent_read() as connection:
        before = connection.execute(count).fetchone()
        with billing_database.transaction() as other:
            other.execute(text("create table later (id int)"))
        assert connection.execute(count).fetchone() == before
    with reading.consistent_read() as connection:
        assert connection.execute(count).fetchone() != before


def test_a_broken_connection_is_named_and_the_next_read_has_a_new_one(
    reading: ReadingDatabase, billing_database: BillingDatabase
) -> None:
    with (
        pytest.raises(DatabaseProblem, match=r"DATABASE_URL .* ended the connection") as raised,
        reading.consistent_read() as connection,
    ):
        with billing_database.transaction() as other:
            other.execute(text("select pg_terminate_backend(:pid)"), {"pid": backend(connection)})
        connection.execute("select 1")
    assert "run again" in str(raised.value)
    assert reading.values("schema_version")


def test_a_server_that_is_down_is_named_without_the_password() -> None:
    reading = ReadingDatabase("postgresql://me:hunter2@127.0.0.1:1/billing", DatabaseLimits.from_environment({}))
    with pytest.raises(DatabaseProblem, match=r"127.0.0.1:1/billing. is not running there") as raised:
        reading.values("schema_version")
    assert "hunter2" not in str(raised.value)


def test_an_error_in_a_statement_itself_is_not_called_a_problem_of_the_database(reading: ReadingDatabase) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero), reading.consistent_read() as connection:
        connection.execute("select 1 / 0")


def test_an_organization_that_does_not_exist_is_named_as_with_an_engine(
    reading: ReadingDatabase, billing_database: BillingDatabase
) -> None:
    for database in (reading, billing_database):
        with pytest.raises(NoSuchOrganization, match="no organization 'nobody'"):
            read_statement(database, "nobody", at("2026-09-15"))
        with (
            pytest.raises(NoSuchOrganization, match="no organization 'nobody'"),
            database.consistent_read() as connection,
        ):
            organization_name(connection, "nobody")
