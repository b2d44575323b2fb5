"""Dagster's bookkeeping in Postgres: open connections are used again, and closed ones are noticed."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dagster import AssetKey, AssetMaterialization, DagsterInstance
from sqlalchemy import make_url

from fly_billing.dagster_storage import INSTANCE_FILE
from fly_billing.embedded_postgres import PostgresServer, create_database, drop_database
from fly_billing.errors import ActionableError
from tests.support.pooling_proxy import alternating


@pytest.fixture
def server_url(postgres: PostgresServer) -> Iterator[str]:
    create_database(postgres, "dagster_pooled")
    yield postgres.url("dagster_pooled", "postgresql")
    drop_database(postgres, "dagster_pooled")


@pytest.fixture
def instance(
    postgres: PostgresServer, server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DagsterInstance]:
    """Make an instance from the project's dagster.yaml."""
    (tmp_path / "dagster.yaml").write_text(INSTANCE_FILE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setenv("DAGSTER_DATABASE_URL", postgres.url("dagster_pooled", "postgresql+psycopg2"))
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def record(instance: DagsterInstance, partition: str) -> None:
    instance.report_runless_asset_event(AssetMaterialization("invoices", partition=partition))


def connections_made(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute("select sessions from pg_stat_database where datname = current_database()")
        ((made,),) = found.fetchall()
    assert isinstance(made, int)
    return made


def test_recording_a_hundred_partitions_reuses_connections(instance: DagsterInstance, server_url: str) -> None:
    record(instance, "the first opens them")
    before = connections_made(server_url)
    for number in range(100):
        record(instance, f"org-{number}")
    assert connections_made(server_url) - before <= 5
    assert len(instance.get_materialized_partitions(AssetKey("invoices"))) == 101


def test_a_run_continues_after_the_server_closed_its_connections(instance: DagsterInstance, server_url: str) -> None:
    """A failover or a restart closes them."""
    record(instance, "before")
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'"
        )
    record(instance, "after")
    assert instance.get_materialized_partitions(AssetKey("invoices")) == {"before", "after"}


def test_every_connection_times_out_if_the_servers_machine_vanishes(instance: DagsterInstance) -> None:
    """Unacknowledged bytes time out after FLY_BILLING_SILENCE_SECONDS (60), not after 15 minutes."""
    record(instance, "opens them")
    for part in (instance.run_storage, instance.event_log_storage, instance.schedule_storage):
        opened: Any = part
        with (
            opened._engine.connect() as connection,
            socket.socket(fileno=os.dup(connection.connection.driver_connection.fileno())) as found,
        ):
            assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
            assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30


def test_a_pooler_that_swaps_connections_is_refused_for_dagsters_storage_too(
    server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock for creating its tables would stay on a connection that by then belongs to another client."""
    (tmp_path / "dagster.yaml").write_text(INSTANCE_FILE.read_text(encoding="utf-8"), encoding="utf-8")
    with alternating(server_url) as proxy:
        elsewhere = make_url(server_url).set(port=proxy.port).render_as_string(hide_password=False)
        monkeypatch.setenv("DAGSTER_DATABASE_URL", elsewhere)
        refused = pytest.raises(ActionableError, match=r"DAGSTER_DATABASE_URL \(.*in transaction or statement mode")
        with refused, DagsterInstance.from_config(str(tmp_path)) as instance:
            instance.run_storage  # noqa: B018  (opens it)
    with psycopg.connect(server_url) as connection:
        assert connection.execute("select to_regclass('runs'), to_regclass('event_logs')").fetchone() == (None, None)
        left = connection.execute("select count(*) from pg_locks where locktype = 'advisory'").fetchone()
    assert left == (0,)
