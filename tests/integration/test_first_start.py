"""Whenever the first start is killed, the next one works: the tables of Dagster are whole, and nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from dagster import AssetKey, AssetMaterialization, DagsterInstance

from fly_billing.resources.embedded_postgres import PostgresServer, create_database, drop_database
from fly_billing.resources.settings import PROJECT

# Makes Dagster's tables again and again, each time killed one statement later, until one attempt gets to its end; after
# each kill this project's storage opens the database. Prints what each attempt left: how often it was killed, and what
# then was there. `stock` is dagster-postgres itself, as data folders of earlier versions were made by it.
ATTEMPTS = """
import json, os, signal, sys
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from dagster_postgres import DagsterPostgresStorage
from fly_billing.resources.dagster_set_up import set_up
how, text, step = sys.argv[1], sys.argv[2], int(sys.argv[3])
url = make_url(text)

def in_child(work):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]

def killed_at(number):
    def work():
        left = [number]
        def count(*arguments):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        event.listen(Engine, "before_cursor_execute", count)
        DagsterPostgresStorage(text) if how == "stock" else set_up(url, "DAGSTER_DATABASE_URL")
    return work

def state():
    engine = create_engine(url)
    with engine.connect() as connection:
        shape = connection.exec_driver_sql(
            "select tablename, count(indexname) from pg_tables left join pg_indexes using (schemaname, tablename)"
            " where schemaname = 'public' group by 1 order by 1").all()
        notes = connection.exec_driver_sql("select name from secondary_indexes order by 1").all()
        version = connection.exec_driver_sql("select count(*) from alembic_version").scalar_one()
    engine.dispose()
    return json.dumps([[list(row) for row in shape], [row[0] for row in notes], version])

def clear():
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("drop schema if exists fly_billing_unfinished cascade")
        connection.exec_driver_sql("drop schema public cascade")
        connection.exec_driver_sql("create schema public")
    engine.dispose()

set_up(url, "DAGSTER_DATABASE_URL")
whole, wrong, number = state(), [], 1
while True:
    clear()
    status = in_child(killed_at(number))
    if not os.WIFSIGNALED(status):
        break
    if in_child(lambda: set_up(url, "DAGSTER_DATABASE_URL")) != 0 or state() != whole:
        wrong.append(number)
    number += step
print(json.dumps({"killed": number - 1, "wrong": wrong, "ended": status}))
"""


@pytest.fixture
def dagster_url(postgres: PostgresServer) -> Iterator[str]:
    create_database(postgres, "first_start")
    yield postgres.url("first_start", "postgresql+psycopg2")
    drop_database(postgres, "first_start")


@pytest.mark.parametrize(("how", "step"), [("stock", 11), ("ours", 17)])
def test_after_a_kill_at_any_statement_the_next_start_has_all_tables_indexes_and_notes(
    how: str, step: int, dagster_url: str
) -> None:
    command = [sys.executable, "-W", "ignore", "-c", ATTEMPTS, how, dagster_url, str(step)]
    names = {**os.environ, "PYTHONPATH": str(PROJECT)}
    found = subprocess.run(command, capture_output=True, text=True, env=names, check=False)
    assert found.returncode == 0, found.stderr[-3000:]
    told = json.loads(found.stdout)
    assert told["killed"] > 50
    assert (told["wrong"], told["ended"]) == ([], 0)


def test_tables_that_are_in_use_keep_their_rows_and_get_what_is_missing(
    dagster_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())
    monkeypatch.setenv("DAGSTER_DATABASE_URL", dagster_url)
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        instance.report_runless_asset_event(AssetMaterialization("invoices", partition="kept"))
    with psycopg.connect(dagster_url.replace("+psycopg2", ""), autocommit=True) as connection:
        connection.execute("drop table fly_billing_dagster_is_set_up, asset_daemon_asset_evaluations")
        ((index,),) = connection.execute(
            "select indexname from pg_indexes where tablename = 'event_logs' and indexdef !~ 'UNIQUE'"
            " order by 1 limit 1"
        ).fetchall()
        connection.execute(f"drop index {index}".encode())
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.get_materialized_partitions(AssetKey("invoices")) == {"kept"}
    with psycopg.connect(dagster_url.replace("+psycopg2", "")) as connection:
        found = connection.execute(
            "select to_regclass('asset_daemon_asset_evaluations')::text, to_regclass(%s)::text", [index]
        )
        assert found.fetchone() == ("asset_daemon_asset_evaluations", index)
