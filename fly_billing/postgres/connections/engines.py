"""SQLAlchemy engines for the billing Postgres, with errors in one line. Not here: opening a connection (`opening`)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, OperationalError

from fly_billing.postgres.connections.opening import open_connection, tcp_limits
from fly_billing.postgres.connections.poolers import refuse_swapping_pooler
from fly_billing.postgres.connections.problems import DatabaseAddress, DatabaseProblem, describe
from fly_billing.postgres.connections.watched_connection import BoundedConnection, WatchedConnection
from fly_billing.settings import DatabaseLimits


class DatabaseFailed(DatabaseProblem, OperationalError):
    """A DatabaseProblem in place of a driver's error. Also an OperationalError of SQLAlchemy, for code that retries."""

    def __init__(self, line: str, problem: DBAPIError) -> None:
        original = problem.orig or problem
        OperationalError.__init__(self, None, None, original, connection_invalidated=problem.connection_invalidated)
        self.args = (line,)

    def __str__(self) -> str:
        return str(self.args[0])


def make_engine(url: URL, setting: str, limits: DatabaseLimits, **options: Any) -> Engine:
    """Make an engine that refuses poolers that swap sessions. Its connection errors are DatabaseProblems."""
    place = DatabaseAddress.of(setting, url)
    engine = create_engine(url, **options)

    @event.listens_for(engine, "do_connect")
    def connect(dialect: object, record: object, arguments: list[Any], parameters: dict[str, Any]) -> WatchedConnection:
        return open_connection(place, limits, *arguments, **parameters)

    @event.listens_for(engine, "handle_error")
    def explain(context: ExceptionContext) -> BaseException | None:
        if context.is_pre_ping or not isinstance(context.sqlalchemy_exception, DBAPIError):
            return None
        line = describe(context.original_exception, place, waited_for=_waited_for(context))
        return DatabaseFailed(line, context.sqlalchemy_exception) if line else None

    return engine


def refuse_pooler_of(url: URL, setting: str, limits: DatabaseLimits) -> None:
    """Raise DatabaseProblem if a URL of another driver goes through a pooler that swaps connections."""
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)

    def connect() -> BoundedConnection:
        opened = BoundedConnection.connect(address, **tcp_limits(limits))
        opened.bound = float(limits.connect_seconds)
        return opened

    refuse_swapping_pooler(connect, DatabaseAddress.of(setting, url))


def _waited_for(context: ExceptionContext) -> str:
    driver = getattr(getattr(context.connection, "connection", None), "driver_connection", None)
    watch = driver.watch if isinstance(driver, WatchedConnection) else None
    return watch.last_blocker() if watch else ""
