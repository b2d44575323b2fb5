"""After a first start is killed at any moment, the next one works: Dagster's tables are whole, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from dagster import AssetKey, AssetMaterialization, DagsterInstance

from fly_billing.dagster_storage import INSTANCE_FILE
from fly_billing.embedded_postgres import PostgresServer, create_database, drop_database, remove, running
from fly_billing.embedded_postgres.roles import DAGSTER, OWNER, ROLES
from fly_billing.embedded_postgres.server import USER

# Creates Dagster's tables repeatedly, each time killed one statement later, until one attempt finishes; after each kill
# this project's storage opens the database. Prints the state after each attempt: the number of kills, and what then
# existed. `stock` is dagster-postgres itself, which made the data folders of earlier versions.
ATTEMPTS = """
import json, os, signal, sys
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from dagster_postgres import DagsterPostgresStorage
from fly_billing.dagster_storage.set_up import set_up
storage, text, step = sys.argv[1], sys.argv[2], int(sys.argv[3])
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
        DagsterPostgresStorage(text) if storage == "stock" else set_up(url, "DAGSTER_DATABASE_URL")
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


# Starts the server on a folder, and is killed when a step of it begins ("call") or ends ("return") for the nth time,
# within another one; "killed": with the program that the step has started.
STARTER = """
import os, signal, sys
from pathlib import Path
from fly_billing.embedded_postgres import running
(outer, step), when, left = sys.argv[2].split("/"), sys.argv[3], int(sys.argv[4])
def within(frame):
    return frame is not None and (frame.f_code.co_qualname == outer or within(frame.f_back))
def watch(frame, happened, argument):
    global left
    if happened == when.replace("killed", "return") and frame.f_code.co_qualname == step and within(frame):
        left -= 1
        if left == 0:
            if when == "killed":
                os.killpg(argument.pid, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
sys.setprofile(watch)
with running(Path(sys.argv[1]), databases=("billing", "dagster")):
    pass
"""
# In the order in which a first start reaches them; finished steps are not repeated.
STEPS = (
    ("ensure_running/_write_private", "return", 1),  # the password
    ("_initialise/SystemUser._start", "killed", 1),  # initdb has just begun
    ("_initialise/SystemUser._start", "return", 1),  # initdb is running, and continues alone
    ("ensure_running/_initialise", "call", 1),
    ("_initialise/SystemUser.run", "return", 1),  # initdb is done, and its folder not yet in its place
    ("ensure_running/_initialise", "return", 1),
    ("_start/SystemUser._start", "killed", 1),  # pg_ctl has just begun
    ("_start/SystemUser._start", "return", 1),  # pg_ctl is starting the server
    ("running/prepare", "call", 1),
    ("prepare/password_of", "call", 1),  # none of four roles is made
    ("prepare/password_of", "call", 2),
    ("prepare/password_of", "return", 2),
    ("prepare/make_missing", "return", 1),
    ("prepare/create_database", "call", 1),
    ("prepare/create_database", "return", 1),  # made, but not yet given to its owner
    ("prepare/adopt", "return", 1),
    ("prepare/create_database", "return", 1),  # the second one
    ("prepare/adopt", "return", 2),
)
# Migrates the billing database, and is killed before its nth statement.
MIGRATOR = """
import os, signal, sys
from sqlalchemy import Engine, event
from fly_billing.postgres.migrate import migrate
from fly_billing.postgres.database import BillingDatabase
left = int(sys.argv[2])
def count(*arguments):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
event.listen(Engine, "before_cursor_execute", count)
migrate(BillingDatabase(sys.argv[1]))
print(int(sys.argv[2]) - left)
"""


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    names = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-W", "ignore", "-c", code, *(str(argument) for argument in arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env=names, check=False, timeout=600, encoding="utf-8"
    )


def kill_programs_on(root: Path) -> None:
    """Kill the programs that a killed program started in a separate session, such as the server of pg_ctl.

    Looks until it finds none three times: a program has no command line at the moment when another one replaces it.
    """
    looks_without = 0
    while looks_without < 3:
        started = programs_on(root)
        for pid in started:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        looks_without = 0 if started else looks_without + 1
        time.sleep(0.1)


def programs_on(root: Path) -> list[int]:
    command = ["/bin/ps", "-axww", "-o", "pid=,command="]
    listed = subprocess.run(command, capture_output=True, check=True, encoding="utf-8", errors="surrogateescape")
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if str(root) in line]


def test_after_kills_at_every_step_the_next_start_has_the_server_with_all_roles_and_databases(tmp_path: Path) -> None:
    root = tmp_path / "postgres"
    try:
        for step in STEPS:
            found = run(STARTER, root, *step)
            assert found.returncode == -signal.SIGKILL, (step, found.stderr)
            if step[1] == "killed":
                kill_programs_on(root)
        with running(root, databases=("billing", "dagster")) as server:
            for role, database in ((OWNER, "billing"), (DAGSTER, "dagster")):
                with psycopg.connect(server.url(database, "postgresql", role=role)) as connection:
                    connection.execute("create table made_by_its_owner ()")
            with psycopg.connect(server.url("billing", "postgresql", role=USER)) as connection:
                roles = connection.execute(
                    "select rolname from pg_roles where rolname ~ '^fly_billing_' and rolcanlogin and not rolsuper"
                ).fetchall()
        assert {name for (name,) in roles} == set(ROLES)
    finally:
        remove(root)


def test_migrations_that_are_killed_leave_nothing_and_the_next_ones_make_everything(postgres: PostgresServer) -> None:
    create_database(postgres, "killed_migrations")
    url, shape = (
        postgres.url("killed_migrations", "postgresql"),
        (
            "select table_name, column_name, data_type from information_schema.columns where table_schema = 'public'"
            " order by 1, 2"
        ),
    )
    try:
        for statement in (1, 6, 40, 90):
            assert run(MIGRATOR, url, statement).returncode == -signal.SIGKILL
            with psycopg.connect(url) as connection:
                assert connection.execute(shape).fetchall() == []
        found = run(MIGRATOR, url, 1000)
        assert found.returncode == 0, found.stderr
        assert int(found.stdout) > 90
        with (
            psycopg.connect(url) as made,
            psycopg.connect(postgres.url("billing_template", "postgresql")) as expected,
        ):
            assert made.execute(shape).fetchall() == expected.execute(shape).fetchall() != []
    finally:
        drop_database(postgres, "killed_migrations")


@pytest.fixture
def dagster_url(postgres: PostgresServer) -> Iterator[str]:
    create_database(postgres, "first_start")
    yield postgres.url("first_start", "postgresql+psycopg2")
    drop_database(postgres, "first_start")


@pytest.mark.parametrize(("storage", "step"), [("stock", 43), ("ours", 61)])
def test_after_a_kill_at_any_statement_the_next_start_has_all_tables_indexes_and_notes(
    storage: str, step: int, dagster_url: str
) -> None:
    command = [sys.executable, "-W", "ignore", "-c", ATTEMPTS, storage, dagster_url, str(step)]
    names = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    found = subprocess.run(command, capture_output=True, text=True, env=names, check=False, encoding="utf-8")
    assert found.returncode == 0, found.stderr[-3000:]
    report = json.loads(found.stdout)
    assert report["killed"] > 50
    assert (report["wrong"], report["ended"]) == ([], 0)


def test_tables_in_use_keep_their_rows_and_get_missing_tables_and_indexes(
    dagster_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dagster.yaml").write_text(INSTANCE_FILE.read_text(encoding="utf-8"), encoding="utf-8")
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
