"""PostgreSQL 15, 16 and 17 bill a month to the cent; 14 is refused. All other tests run on 18."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from fly_billing.embedded_postgres.roles import DAGSTER, OWNER
from fly_billing.embedded_postgres.server import connect, prepare
from fly_billing.stripe_sandbox import SandboxServer
from tests.servers.older_servers import older_server
from tests.servers.whole_month import Databases, bill_october, command, refused


@pytest.mark.parametrize("major", [15, 16, 17])
def test_a_month_is_billed_to_the_cent(
    major: int, sandbox: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with older_server(major) as server:
        prepare(server, ("billing", "dagster"))
        databases = Databases.on(server)
        bill_october(databases, tmp_path, sandbox, monkeypatch)
        shown = command(databases, tmp_path, "statement", "acme", "2026-10")
        with psycopg.connect(databases.billing) as connection:
            assert connection.info.server_version // 10_000 == major
    assert shown.returncode == 0, shown.stderr
    assert "$16.77" in shown.stdout


@pytest.mark.parametrize("arguments", [["demo"], ["migrate"]])
def test_postgresql_14_is_refused_in_one_line_before_anything_is_written(arguments: list[str], tmp_path: Path) -> None:
    with older_server(14) as server:
        with connect(server.port, server.superuser_password) as connection:
            connection.execute(f"create database billing owner {OWNER}".encode())
            connection.execute(f"create database dagster owner {DAGSTER}".encode())
        databases = Databases.on(server)
        found = command(databases, tmp_path, *arguments)
        with psycopg.connect(databases.owner) as connection:
            tables = connection.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone()
    refused(found, "is PostgreSQL 14: fly_billing needs 15 or newer")
    assert tables == (0,)
