"""A database error is one line: the database, the problem and the fix, never the password."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
import pytest
from dagster import AssetKey, AssetMaterialization, DagsterInstance
from psycopg import sql

from fly_billing.dagster_storage import INSTANCE_FILE
from fly_billing.embedded_postgres import PostgresServer, create_database, drop_database
from fly_billing.embedded_postgres.roles import OWNER
from fly_billing.embedded_postgres.server import USER
from fly_billing.errors import ActionableError
from fly_billing.postgres.connections import DatabaseProblem
from fly_billing.postgres.connections.addresses import read_address, read_parameters
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.reading import ReadingDatabase
from fly_billing.postgres.schema_check import newest_migration
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.settings import DatabaseLimits, SettingsError

COMMAND = Path(sys.executable).with_name("fly-billing")


@dataclass(frozen=True)
class Databases:
    """Two databases for one test: `billing` migrated, `dagster` empty. URLs as a person would write them."""

    server: PostgresServer
    billing: str
    dagster: str

    def execute(self, url: str, statement: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())


@pytest.fixture
def databases(postgres: PostgresServer) -> Iterator[Databases]:
    create_database(postgres, "errors_billing", template="billing_template")
    create_database(postgres, "errors_dagster")
    yield Databases(
        postgres, postgres.url("errors_billing", "postgresql"), postgres.url("errors_dagster", "postgresql")
    )
    for name in ("errors_billing", "errors_dagster"):
        drop_database(postgres, name)


def run(data_dir: Path, command: str, billing: str, dagster: str) -> subprocess.CompletedProcess[str]:
    names = {
        **os.environ,
        "DATABASE_URL": billing,
        "DAGSTER_DATABASE_URL": dagster,
        "FLY_BILLING_DATA_DIR": str(data_dir),
        "FLY_BILLING_CONNECT_SECONDS": "2",
        "COLUMNS": "1000",
    }
    return subprocess.run(
        [COMMAND, *command.split()],
        env=names,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        encoding="utf-8",
    )


def refused_in_one_line(found: subprocess.CompletedProcess[str], *message: str) -> None:
    lines = found.stderr.strip().splitlines()
    assert len(lines) == 1, found.stderr
    assert found.returncode == 2
    for part in message:
        assert part in lines[0]


def test_a_wrong_password_is_refused_in_one_line_without_showing_it(databases: Databases, tmp_path: Path) -> None:
    billing = databases.billing.replace(databases.server.password, "hunter2")
    found = run(tmp_path, "totals", billing, databases.dagster)
    refused_in_one_line(found, "DATABASE_URL (127.0.0.1:", "refuses the user name or password", "fly_billing")
    assert "hunter2" not in found.stderr


def test_an_unreachable_server_is_named(databases: Databases, tmp_path: Path) -> None:
    found = run(tmp_path, "migrate", "postgresql://me:hunter2@127.0.0.1:1/billing", databases.dagster)
    refused_in_one_line(found, "DATABASE_URL (127.0.0.1:1/billing) is not running there")
    assert "hunter2" not in found.stderr


def test_a_database_that_does_not_exist_is_named(databases: Databases, tmp_path: Path) -> None:
    found = run(tmp_path, "totals", databases.billing.replace("errors_billing", "biling"), databases.dagster)
    refused_in_one_line(found, "/biling) does not exist on this server: create it, or check the name")


def test_tls_that_the_server_does_not_offer_is_named(databases: Databases, tmp_path: Path) -> None:
    found = run(tmp_path, "totals", f"{databases.billing}?sslmode=require", databases.dagster)
    refused_in_one_line(found, "offers no TLS, but sslmode asks for it")


@pytest.mark.parametrize("option", ["sslmode=bogus", "sslmode=prefer&sslmode=disable", "gssencmode=maybe"])
def test_an_option_whose_value_the_client_refuses_is_named(databases: Databases, tmp_path: Path, option: str) -> None:
    found = run(tmp_path, "totals", f"{databases.billing}?{option}", databases.dagster)
    refused_in_one_line(found, "is not named right: check its port, and the options after ?", "value")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://me:p@ss/word@127.0.0.1:5432/billing", "percent-encoded"),
        ("postgresql://me:hunter2@127.0.0.1:port/billing", "percent-encoded"),
        ("mysql://me:hunter2@127.0.0.1/billing", "begins with mysql://: fly_billing needs PostgreSQL"),
        ("127.0.0.1:5432", "is not a database URL: write postgresql://user:password@host:port/database"),
        ("host=127.0.0.1 password=hunter2", "is not a database URL"),
        ("postgresql://me:hunter2@127.0.0.1/billing?schema=public", "has an option after"),
        ("postgresql://me:hunter2@127.0.0.1/billing?pgbouncer=true&sslmode=require", "has an option after"),
        ("postgresql://me:hunter2@127.0.0.1/billing?ssl=true", r"\?ssl=true \(use \?sslmode=require\)"),
        ("postgresql://me:hunter2@127.0.0.1/billing?connect_timeout=soon", "a value that it can't parse"),
        ("postgresql://me:hunter2%00@127.0.0.1/billing", "is not a database URL"),
    ],
)
@pytest.mark.parametrize(
    "make", [BillingDatabase, partial(ReadingDatabase, limits=DatabaseLimits.from_environment({}))]
)
def test_an_invalid_database_url_is_named_and_not_shown(make: Callable[[str], object], url: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as raised:
        make(url)
    assert "DATABASE_URL" in str(raised.value)
    assert not re.search("ss/word|hunter2", str(raised.value))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:p%40ss%2Fword@127.0.0.1:5433/billing?sslmode=disable&connect_timeout=7",
        "postgres+psycopg://me@database.example/billing",
        "postgresql://[::1]:5432/billing",
        "postgresql:///billing?host=/run/postgresql",
        " postgresql://127.0.0.1/ ",
        "postgresql://me:50%/50? yes#no:%40@127.0.0.1:5433/billing?sslmode=disable",
        "postgresql://me@first.example,second.example/billing",
    ],
)
def test_a_connection_without_an_engine_goes_to_the_same_database(url: str) -> None:
    of_engine = read_address(url, "DATABASE_URL")
    _, expected = of_engine.get_dialect()().create_connect_args(of_engine)
    assert read_parameters(url, "DATABASE_URL") == {name: str(value) for name, value in expected.items()}
    assert ReadingDatabase(url, DatabaseLimits.from_environment({})).place == BillingDatabase(url).place


def test_dagsters_url_may_be_written_without_a_driver_or_with_the_wrong_one(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dagster.yaml").write_text(INSTANCE_FILE.read_text(encoding="utf-8"), encoding="utf-8")
    for scheme in ("postgresql://", "postgres://", "postgresql+psycopg://"):
        monkeypatch.setenv("DAGSTER_DATABASE_URL", databases.dagster.replace("postgresql://", scheme))
        with DagsterInstance.from_config(str(tmp_path)) as instance:
            instance.report_runless_asset_event(AssetMaterialization("invoices", partition=scheme))
            assert scheme in instance.get_materialized_partitions(AssetKey("invoices"))


def test_one_database_for_both_urls_is_refused(databases: Databases, tmp_path: Path) -> None:
    found = run(tmp_path, "bill 2026-10", databases.billing, databases.billing)
    refused_in_one_line(found, "DATABASE_URL and DAGSTER_DATABASE_URL must name two different databases")


def test_dagsters_database_is_not_migrated_as_the_billing_one(databases: Databases, tmp_path: Path) -> None:
    assert run(tmp_path, "land", databases.billing, databases.dagster).returncode == 0  # makes Dagster's tables
    found = run(tmp_path, "migrate", databases.dagster, databases.dagster)
    refused_in_one_line(
        found, "has Dagster's tables: DATABASE_URL and DAGSTER_DATABASE_URL must name two different databases"
    )


@pytest.mark.parametrize("command", ["bill 2026-10", "totals"])
def test_the_error_of_a_database_without_tables_gives_the_command_to_run(
    command: str, databases: Databases, tmp_path: Path
) -> None:
    create_database(databases.server, "errors_empty")
    try:
        url = databases.server.url("errors_empty", "postgresql")
        found = run(tmp_path, command, url, databases.dagster)
    finally:
        drop_database(databases.server, "errors_empty")
    refused_in_one_line(found, "has no tables yet: run `fly-billing migrate`")


@pytest.mark.parametrize("command", ["bill 2026-10", "migrate"])
def test_a_database_from_before_the_first_release_says_that_a_new_one_is_needed(
    command: str, databases: Databases, tmp_path: Path
) -> None:
    databases.execute(databases.billing, "update alembic_version set version_num = '0038'")
    found = run(tmp_path, command, databases.billing, databases.dagster)
    refused_in_one_line(
        found, "is at migration 0038, which a development version made before the first release", "empty database"
    )


@pytest.mark.parametrize("command", ["bill 2026-10", "migrate"])
def test_a_database_newer_than_the_code_is_not_changed(command: str, databases: Databases, tmp_path: Path) -> None:
    databases.execute(databases.billing, "update alembic_version set version_num = '9999'")
    found = run(tmp_path, command, databases.billing, databases.dagster)
    refused_in_one_line(
        found, "is at migration 9999", f"but this code ends at {newest_migration()}: deploy the newer code"
    )


def test_a_run_and_a_sensor_refuse_a_database_newer_than_the_code_too(databases: Databases) -> None:
    databases.execute(databases.billing, "update alembic_version set version_num = '9999'")
    with pytest.raises(DatabaseProblem, match="is at migration 9999"):
        BillingPostgres(url=databases.billing).database()


def test_a_write_to_a_read_only_server_names_it(databases: Databases) -> None:
    databases.execute(databases.billing, "alter database errors_billing set default_transaction_read_only = on")
    database = BillingDatabase(databases.billing)
    assert database.rows("months_to_sync") == []
    with pytest.raises(DatabaseProblem, match=r"is read-only \(a standby, or default_transaction_read_only\)"):
        database.rows("slow_down_requests", bucket="x", per_second=1, factor=1, least_per_second=1, recovery_seconds=1,
                      hold_seconds=1)  # fmt: skip
    database.engine.dispose()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "EUC_JP"])
def test_a_database_that_can_not_hold_every_name_is_refused_before_anything_starts(
    databases: Databases, tmp_path: Path, encoding: str
) -> None:
    drop_database(databases.server, "errors_billing")
    databases.execute(
        databases.server.url("postgres", "postgresql", role=USER),
        f"create database errors_billing owner {OWNER} encoding '{encoding}' lc_collate 'C' lc_ctype 'C'"
        " locale_provider libc template template0",
    )
    found = run(tmp_path, "migrate", databases.billing, databases.dagster)
    refused_in_one_line(found, f"stores text as {encoding}", "create the database again with encoding 'UTF8'")


def test_a_database_whose_search_path_names_no_schema_is_refused_before_anything_starts(
    databases: Databases, tmp_path: Path
) -> None:
    databases.execute(databases.billing, "alter database errors_billing set search_path = nowhere")
    found = run(tmp_path, "migrate", databases.billing, databases.dagster)
    refused_in_one_line(found, "has no schema for tables: its search_path names no existing schema")


def test_too_few_connections_are_refused_before_anything_starts(databases: Databases, tmp_path: Path) -> None:
    databases.execute(databases.billing, "alter database errors_billing connection limit 5")
    found = run(tmp_path, "migrate", databases.billing, databases.dagster)
    refused_in_one_line(
        found, "allows this user 5 connections at the same time, and 24 are needed: raise max_connections"
    )


def test_sixteen_processes_need_the_connections_of_eight_more(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two each; the first eight use those that a sync would use at another time."""
    databases.execute(databases.billing, "alter database errors_billing connection limit 39")
    monkeypatch.setenv("FLY_BILLING_PROCESSES", "16")
    found = run(tmp_path, "migrate", databases.billing, databases.dagster)
    refused_in_one_line(found, "allows this user 39 connections at the same time, and 40 are needed")


def test_a_database_without_a_free_connection_is_named(databases: Databases) -> None:
    """A limit does not apply to superusers."""
    database = named_user(databases, "errors_crowded", connection_limit=1)
    with database.engine.connect(), pytest.raises(DatabaseProblem, match="has no connection left"):
        database.rows("months_to_sync")
    database.engine.dispose()


def test_a_missing_right_of_the_user_is_named(databases: Databases) -> None:
    database = named_user(databases, "errors_stranger", connection_limit=-1)
    with pytest.raises(DatabaseProblem, match=r"this user may not do that \(permission denied for table"):
        database.rows("months_to_sync")
    database.engine.dispose()


def named_user(databases: Databases, name: str, connection_limit: int) -> BillingDatabase:
    server = databases.server
    with psycopg.connect(server.url("errors_billing", "postgresql", role=USER), autocommit=True) as connection:
        known = connection.execute("select from pg_roles where rolname = %s", [name]).fetchone()
        if known is None:
            statement = sql.SQL("create role {} login password 'secret' connection limit {}")
            connection.execute(statement.format(sql.Identifier(name), sql.Literal(connection_limit)))
    return BillingDatabase(f"postgresql://{name}:secret@127.0.0.1:{server.port}/errors_billing")


def test_dagsters_own_database_is_named_when_it_can_not_be_reached(tmp_path: Path, databases: Databases) -> None:
    found = run(tmp_path, "bill 2026-10", databases.billing, "postgresql://me:hunter2@127.0.0.1:1/dagster")
    refused_in_one_line(found, "DAGSTER_DATABASE_URL (127.0.0.1:1/dagster) is not running there")
    wrong = databases.dagster.replace(databases.server.password, "hunter2")
    refused_in_one_line(
        run(tmp_path, "land", databases.billing, wrong), "DAGSTER_DATABASE_URL (", "refuses the user name or password"
    )


def test_every_process_that_opens_dagsters_storage_refuses_it_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, databases: Databases
) -> None:
    """The UI and the daemon don't start through our command line."""
    (tmp_path / "dagster.yaml").write_text(INSTANCE_FILE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setenv("DAGSTER_DATABASE_URL", databases.billing)
    refused = pytest.raises(ActionableError, match="must name two different databases")
    with refused, DagsterInstance.from_config(str(tmp_path)) as instance:
        instance.run_storage  # noqa: B018  (opens it)
