"""Dagster's bookkeeping in Postgres: open connections are used again, and closed ones are noticed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from dagster import AssetKey, AssetMaterialization, DagsterInstance

from fly_billing.resources.embedded_postgres import PostgresServer, create_database, drop_database
from fly_billing.resources.settings import PROJECT


@pytest.fixture
def server_url(postgres: PostgresServer) -> Iterator[str]:
    create_database(postgres, "dagster_pooled")
    yield postgres.url("dagster_pooled", "postgresql")
    drop_database(postgres, "dagster_pooled")


@pytest.fixture
def instance(
    postgres: PostgresServer, server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DagsterInstance]:
    """An instance of the project's own dagster.yaml."""
    (tmp_path / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())
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


def test_recording_a_hundred_partitions_opens_no_connection_for_each(
    instance: DagsterInstance, server_url: str
) -> None:
    record(instance, "the first opens them")
    before = connections_made(server_url)
    for number in range(100):
        record(instance, f"org-{number}")
    assert connections_made(server_url) - before <= 5
    assert len(instance.get_materialized_partitions(AssetKey("invoices"))) == 101


def test_a_run_goes_on_after_the_server_closed_its_connections(instance: DagsterInstance, server_url: str) -> None:
    """As a failover or a restart does."""
    record(instance, "before")
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
    record(instance, "after")
    assert instance.get_materialized_partitions(AssetKey("invoices")) == {"before", "after"}
