"""Behind a real pgbouncer: a month is billed in session mode, and refused in the others before anything is written."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from fly_billing.embedded_postgres import PostgresServer, create_database, drop_database
from fly_billing.embedded_postgres.roles import DAGSTER, OWNER
from fly_billing.embedded_postgres.server import USER
from fly_billing.stripe_sandbox import SandboxServer
from tests.servers.poolers import pgbouncer
from tests.servers.whole_month import Databases, bill_october, command, refused

TABLES = "select count(*) from pg_tables where schemaname <> all (array['pg_catalog', 'information_schema'])"
LOCKS = "select count(*) from pg_locks where locktype = 'advisory'"
_numbers = itertools.count()


@pytest.fixture
def names(postgres: PostgresServer) -> Iterator[tuple[str, str]]:
    """Two empty databases; the pipeline may use the first once it is migrated."""
    number = next(_numbers)
    billing, dagster = f"pooled_billing_{number}", f"pooled_dagster_{number}"
    create_database(postgres, billing, owner=OWNER)
    create_database(postgres, dagster, owner=DAGSTER)
    yield billing, dagster
    for name in (billing, dagster):
        drop_database(postgres, name)


def test_a_month_is_billed_and_recorded_through_a_pooler_in_session_mode(
    postgres: PostgresServer,
    names: tuple[str, str],
    sandbox: SandboxServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pgbouncer(postgres, "session") as pooled:
        databases = Databases.on(pooled, *names)
        bill_october(databases, tmp_path, sandbox, monkeypatch)
        shown = command(databases, tmp_path, "statement", "acme", "2026-10")
    assert shown.returncode == 0, shown.stderr
    assert "$16.77" in shown.stdout


@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize("arguments", [["demo"], ["migrate"]])
def test_other_modes_are_refused_in_one_line_before_anything_is_written(
    mode: str, arguments: list[str], postgres: PostgresServer, names: tuple[str, str], tmp_path: Path
) -> None:
    with pgbouncer(postgres, mode) as pooled:
        found = command(Databases.on(pooled, *names), tmp_path, *arguments)
    refused(found, "in transaction or statement mode, where session locks don't work")
    assert [found_in(postgres, name, TABLES) for name in names] == [0, 0]
    assert [found_in(postgres, name, LOCKS) for name in names] == [0, 0]


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pooler_in_front_of_dagsters_database_alone_is_refused_too(
    mode: str, postgres: PostgresServer, names: tuple[str, str], tmp_path: Path
) -> None:
    straight = Databases.on(postgres, *names)
    assert command(straight, tmp_path, "migrate").returncode == 0
    with pgbouncer(postgres, mode) as pooled:
        swapped = Databases.on(pooled, *names)
        found = command(replace(straight, dagster=swapped.dagster), tmp_path, "bill", "2026-10")
    refused(found, "DAGSTER_DATABASE_URL (")
    assert "in transaction or statement mode" in found.stderr
    assert found_in(postgres, names[1], TABLES) == 0


def found_in(server: PostgresServer, database: str, statement: str) -> int:
    with psycopg.connect(server.url(database, "postgresql", role=USER)) as connection:
        ((number,),) = connection.execute(statement.encode()).fetchall()
    assert isinstance(number, int)
    return number
