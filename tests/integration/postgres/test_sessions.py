"""A session on the billing database names the lock that it waits for, times out, and never shares its locks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, make_url, text

from fly_billing.embedded_postgres import PostgresServer
from fly_billing.embedded_postgres.roles import OWNER
from fly_billing.postgres.connections import DatabaseProblem
from fly_billing.postgres.connections.engines import make_engine
from fly_billing.postgres.connections.pools import try_idle_connections
from fly_billing.postgres.connections.watched_connection import Watch
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, rows
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.settings import DatabaseLimits
from tests.support.builders import at
from tests.support.pooling_proxy import alternating, forwarding


@contextmanager
def bounded(url: str, monkeypatch: pytest.MonkeyPatch, **seconds: int) -> Iterator[BillingDatabase]:
    for name, value in seconds.items():
        monkeypatch.setenv(f"FLY_BILLING_{name.upper()}_SECONDS", str(value))
    database = BillingDatabase(url)
    yield database
    database.engine.dispose()


@pytest.fixture
def url(billing_database: BillingDatabase) -> str:
    return billing_database.engine.url.render_as_string(hide_password=False)


def test_a_resource_may_set_the_limits_of_a_session(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLY_BILLING_STATEMENT_SECONDS", "90")
    monkeypatch.setenv("FLY_BILLING_LOCK_SECONDS", "60")
    database = BillingPostgres(url=url, statement_seconds=30).database()
    with database.transaction() as connection:
        limits = [
            connection.execute(text(f"show {name}")).scalar_one() for name in ("statement_timeout", "lock_timeout")
        ]
    database.engine.dispose()
    assert limits == ["30s", "1min"]


@dataclass
class Hurried:
    """A clock that goes on by `step` seconds each time it is read, so a wait is checked even on a slow machine.

    Once it shows `due` it does `what`.
    """

    due: float = float("inf")
    what: Callable[[], object] = lambda: None
    step: int = 1
    now: int = 0

    def __call__(self) -> float:
        self.now += self.step
        if self.now >= self.due:
            self.due = float("inf")
            self.what()
        return self.now


def watch_of(connection: Connection) -> Watch:
    watch = connection.connection.driver_connection.watch  # type: ignore[union-attr]
    assert isinstance(watch, Watch)
    return watch


def check_at_once(watch: Watch) -> None:
    """Let a wait be checked soon on any machine, and stop its clock when it has seen the session that blocks.

    The session is named only if it was seen shortly before the end of the wait, by this clock.
    """
    hurried = Hurried()
    watch.clock = lambda: hurried.now if watch.blocker else hurried()


def through(url: str, port: int) -> str:
    """Return the URL with another port and a separate user name, so that no engine is shared with other tests."""
    return BillingDatabase(url).engine.url.set(port=port).render_as_string(hide_password=False)


def test_a_pooler_that_swaps_connections_is_refused_before_anything_is_read(url: str) -> None:
    with alternating(url.replace("+psycopg", "")) as proxy:
        database = BillingDatabase(through(url, proxy.port))
        with pytest.raises(DatabaseProblem, match=r"in transaction or statement mode.*use pool_mode = session"):
            database.rows("months_to_sync")
        with pytest.raises(DatabaseProblem, match="in transaction or statement mode"), database.session_lock("one"):
            pass
        database.engine.dispose()
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        left = connection.execute("select count(*) from pg_locks where locktype = 'advisory'").fetchone()
    assert left == (0,)


def test_a_run_that_waits_for_a_row_names_the_blocking_session_and_times_out(
    url: str, billing_database: BillingDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add = "insert into organizations (id, name, billing_group, created_at) values ('acme', 'Acme', 'acme', now())"
    with billing_database.transaction() as connection:
        connection.exec_driver_sql(add)
    with (
        psycopg.connect(url.replace("+psycopg", ""), application_name="an open psql") as someone,
        bounded(url, monkeypatch, lock=5) as database,
        caplog.at_level(logging.WARNING, "fly_billing.waiting"),
    ):
        someone.execute("update organizations set name = 'Acme Inc.'")
        with (
            pytest.raises(DatabaseProblem, match=r"gave up waiting for a lock that process \d+ \(an open psql, role"),
            database.transaction() as connection,
        ):
            check_at_once(watch_of(connection))
            connection.exec_driver_sql("update organizations set name = 'ACME'")
    assert "for a lock that process" in caplog.text
    assert "an open psql" in caplog.text
    assert "in a transaction since" in caplog.text


def test_a_run_that_waits_for_another_run_times_out_with_the_same_message(
    url: str, billing_database: BillingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with billing_database.transaction() as other, bounded(url, monkeypatch, lock=5) as database:
        lock_until_commit(other, "invoices")
        with (
            pytest.raises(DatabaseProblem, match=r"gave up waiting for a lock that process \d+ \(fly_billing"),
            database.transaction() as connection,
        ):
            check_at_once(watch_of(connection))
            lock_until_commit(connection, "invoices")


def test_a_statement_over_its_time_limit_is_cancelled(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        bounded(url, monkeypatch, statement=1) as database,
        database.engine.connect() as connection,
        pytest.raises(DatabaseProblem, match=r"statement timeout.*FLY_BILLING_STATEMENT_SECONDS"),
    ):
        connection.exec_driver_sql("select pg_sleep(60)")


def test_an_idle_transaction_releases_its_locks(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with bounded(url, monkeypatch, idle_transaction=1) as database, database.engine.connect() as other:
        lock_until_commit(other, "invoices")
        with psycopg.connect(url.replace("+psycopg", "")) as connection:  # waits until the server ends the other one
            connection.execute("select pg_advisory_xact_lock(hashtextextended('invoices', 0))")
        with pytest.raises(DatabaseProblem, match="idle in a transaction for too long"):
            rows(other, "months_to_sync")


@contextmanager
def with_defaults(postgres: PostgresServer, database: BillingDatabase, **defaults: str) -> Iterator[BillingDatabase]:
    """Give the database other defaults than a new server has, as its administrators may; sessions begin with them."""
    name = str(database.engine.url.database)
    with psycopg.connect(postgres.url(name, "postgresql", role=OWNER), autocommit=True) as connection:
        for parameter, value in defaults.items():
            connection.execute(f"alter database {name} set {parameter} = '{value}'".encode())
    database.engine.dispose()
    yield database


@pytest.mark.parametrize(
    "defaults",
    [
        {"datestyle": "German, DMY"},
        {"datestyle": "SQL, MDY", "intervalstyle": "sql_standard"},
        {"timezone": "Pacific/Auckland"},
        {"standard_conforming_strings": "off"},
        {"quote_all_identifiers": "on"},
        {"client_encoding": "LATIN1"},
        {"default_transaction_isolation": "serializable"},
    ],
)
def test_the_servers_defaults_do_not_change_results(
    postgres: PostgresServer, billing_database: BillingDatabase, defaults: dict[str, str]
) -> None:
    with with_defaults(postgres, billing_database, **defaults) as database, database.transaction() as connection:
        (row,) = connection.exec_driver_sql(
            r"select timestamptz '2026-09-03T22:30:00-05:00' as time, date '2026-09-03' as day, '\d東京€' as text,"
            " pg_get_constraintdef(oid) as rule from pg_constraint where conname = 'code_says_what_to_do'"
        ).mappings()
    assert row["time"] == at("2026-09-04T03:30:00")
    assert (row["day"].day, row["text"]) == (3, r"\d東京€")
    assert '"' not in row["rule"]


def test_a_read_under_a_lock_sees_the_commits_of_its_previous_owner(
    postgres: PostgresServer, billing_database: BillingDatabase
) -> None:
    """A stricter default would read the state from before the wait: two runs would both find the month unbilled."""
    stricter = {"default_transaction_isolation": "repeatable read"}
    with (
        with_defaults(postgres, billing_database, **stricter) as database,
        database.engine.connect() as first,
        database.engine.connect() as second,
    ):
        lock_until_commit(first, "invoices")
        before = second.exec_driver_sql("select count(*) from coupons").scalar_one()  # before it asks for the lock
        first.exec_driver_sql("insert into coupons (code, description, percent) values ('ten', 'ten off', 10)")
        first.commit()
        lock_until_commit(second, "invoices")
        after = second.exec_driver_sql("select count(*) from coupons").scalar_one()
    assert (before, after) == (0, 1)


def test_migrations_may_take_longer_than_any_statement(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with bounded(url, monkeypatch, statement=1) as database, database.transaction() as connection:
        rows(connection, "remove_time_limit")
        assert connection.exec_driver_sql("show statement_timeout").scalar_one() == "0"


def test_a_session_behind_a_silent_proxy_times_out(
    url: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy keeps acknowledging bytes, so TCP notices nothing."""
    with (
        forwarding("127.0.0.1", postgres.port) as proxy,
        bounded(through(url, proxy.port), monkeypatch) as database,
        database.engine.connect() as connection,
    ):
        connection.exec_driver_sql("select 1")
        proxy.is_silent.set()
        watch_of(connection).clock = Hurried(step=60)
        watch_of(connection).parameters["connect_timeout"] = 2
        with pytest.raises(DatabaseProblem, match=r"does not answer.*no answer for \d+ s"):
            connection.exec_driver_sql("select 1")
        with (
            bounded(through(url, proxy.port), monkeypatch, connect=2) as another,
            pytest.raises(DatabaseProblem, match="does not answer"),
        ):
            another.rows("months_to_sync")


def test_limits_and_the_watch_add_no_round_trip_to_a_statement(url: str, tmp_path: Path) -> None:
    database = BillingDatabase(url)
    with database.engine.connect() as connection, (tmp_path / "messages").open("w+", encoding="utf-8") as messages:
        connection.exec_driver_sql("select 1")
        connection.connection.driver_connection.pgconn.trace(messages.fileno())  # type: ignore[union-attr]
        for number in range(3):
            connection.exec_driver_sql(f"select {number}").all()
        connection.connection.driver_connection.pgconn.untrace()  # type: ignore[union-attr]
        messages.seek(0)
        assert messages.read().count("ReadyForQuery") == 3


def test_a_slow_statement_on_a_living_server_is_waited_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for ten times as long as a silent server would be given."""
    with (
        psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as someone,
        bounded(url, monkeypatch) as database,
        database.engine.connect() as connection,
    ):
        someone.execute("select pg_advisory_lock(7)")
        watch = watch_of(connection)
        watch.clock = Hurried(10 * watch.silence, lambda: someone.execute("select pg_advisory_unlock(7)"), step=3)
        assert connection.exec_driver_sql("select 7 from pg_advisory_xact_lock(7)").scalar_one() == 7
    assert watch.blocker  # the server answered with the lock that it waits for


def test_a_wait_for_a_session_that_the_server_no_longer_has_ends(
    url: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message that it ended never arrived."""
    with (
        forwarding("127.0.0.1", postgres.port) as proxy,
        bounded(through(url, proxy.port), monkeypatch) as database,
        database.engine.connect() as connection,
    ):
        connection.exec_driver_sql("select 1")
        proxy.is_silent.set()
        watch = watch_of(connection)
        watch.clock = Hurried()
        watch.parameters["port"] = postgres.port  # the server itself can be asked
        with psycopg.connect(url.replace("+psycopg", "")) as someone:
            ended = someone.execute("select pg_terminate_backend(%s, 300000)", [watch.pid]).fetchone()
            assert ended == (True,)  # it waited until the session was gone
        with pytest.raises(DatabaseProblem, match="the server no longer has this session"):
            connection.exec_driver_sql("select 1")


def test_a_connection_that_broke_while_it_was_idle_is_replaced_before_its_next_use(url: str) -> None:
    """A connection that was used within the last second is trusted, so a restart in that second is noticed by a use."""
    clock = [0.0]
    engine = make_engine(make_url(url), "DATABASE_URL", DatabaseLimits.from_environment(), pool_size=1, max_overflow=0)
    try_idle_connections(engine, seconds=1.0, clock=lambda: clock[0])

    def session() -> int:
        with engine.connect() as connection:
            return int(connection.execute(text("select pg_backend_pid()")).scalar_one())

    first = session()
    clock[0] = 1.0
    assert session() == first
    _end_session(url, first)
    clock[0] = 2.5
    second = session()
    assert second != first
    _end_session(url, second)
    clock[0] = 3.5  # a second later: trusted
    with pytest.raises(DatabaseProblem):
        session()
    assert session() not in (first, second)
    engine.dispose()


def _end_session(url: str, session: int) -> None:
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("select pg_terminate_backend(%s, 60000)", [session])
