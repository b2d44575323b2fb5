"""Reads the rows of queries from a foreign database: read-only, in one snapshot, a few thousand rows at a time.

Postgres and SQLite refuse a query that writes. Other databases get no commit, so nothing is kept there; give them a
user that may only read. Not here: what the rows mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr
from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from fly_billing.errors import ActionableError
from fly_billing.foreign_text import visible
from fly_billing.money import counted
from fly_billing.postgres.connections import DatabaseAddress, describe
from fly_billing.postgres.connections.addresses import SCHEMES, read_address

# Rows per fetch, and the most rows of one query: all of them are compared in memory.
FETCHED, MOST_ROWS = 2_000, 2_000_000
CONNECT_SECONDS = 10
_POSTGRES = (
    "set transaction isolation level repeatable read, read only",
    "set local statement_timeout = {milliseconds}",
    "set local idle_in_transaction_session_timeout = {milliseconds}",
    "set local timezone = 'UTC'",
)


class PlatformDatabaseProblem(ActionableError):
    """The platform's database can't be read, so nothing was changed. The message is one line, without the password."""


@dataclass(frozen=True)
class ForeignDatabase:
    """A database that others own.

    Attributes:
        name: For messages.
        setting: The environment variable that has its URL.
        statement_seconds: The longest that a query may take.
    """

    name: str
    setting: str
    url: SecretStr
    statement_seconds: int = 300


class Snapshot:
    """An open transaction on a foreign database, in which all queries see the same rows."""

    def __init__(self, foreign: ForeignDatabase, connection: Connection) -> None:
        self._foreign = foreign
        self._connection = connection

    @contextmanager
    def columns_and_rows(self, title: str, query: str) -> Iterator[tuple[Sequence[str], Iterator[Sequence[Any]]]]:
        """Run a query and yield the names of its columns, and its rows as they arrive. `title`: for messages.

        Raises:
            PlatformDatabaseProblem: The database refuses the query, or it has too many rows or no columns.
        """
        options = {"stream_results": True, "yield_per": FETCHED, "no_parameters": True}
        with _explained(self._foreign, title):
            result = self._connection.execution_options(**options).exec_driver_sql(query)
            if not result.returns_rows:
                raise PlatformDatabaseProblem(f"{self._foreign.name}: {title}: it returns no rows: write a select")
            with result:
                yield tuple(result.keys()), self._bounded(title, result)

    def _bounded(self, title: str, result: Any) -> Iterator[Sequence[Any]]:
        for number, row in enumerate(result, start=1):
            if number > MOST_ROWS:
                raise PlatformDatabaseProblem(f"{self._foreign.name}: {title}: more than {counted(MOST_ROWS, 'row')}")
            yield tuple(row)


@contextmanager
def foreign_snapshot(foreign: ForeignDatabase) -> Iterator[Snapshot]:
    """Connect and yield a snapshot. Nothing is ever committed.

    Raises:
        PlatformDatabaseProblem: The URL can't be used, or the database can't be reached.
    """
    engine = _engine(foreign)
    try:
        with _explained(foreign), engine.connect() as connection:
            _make_read_only(connection, foreign.statement_seconds)
            try:
                yield Snapshot(foreign, connection)
            finally:
                connection.rollback()
    finally:
        engine.dispose()


def _engine(foreign: ForeignDatabase) -> Engine:
    url = _url(foreign)
    known: dict[str, Any] = {}
    if url.get_backend_name() == "postgresql" and "connect_timeout" not in url.query:
        known["connect_args"] = {"connect_timeout": CONNECT_SECONDS}
    if url.get_backend_name() not in ("postgresql", "sqlite"):
        known["isolation_level"] = "REPEATABLE READ"
    try:
        return create_engine(url, poolclass=NullPool, **known)
    except (ImportError, NoSuchModuleError) as problem:
        missing = problem.name if isinstance(problem, ImportError) else url.drivername
        raise PlatformDatabaseProblem(
            f"{foreign.name}: the driver {missing} of {foreign.setting} is not installed: install it, or name another"
            " one in the URL, such as mysql+pymysql://"
        ) from None
    except (ArgumentError, SQLAlchemyError):
        raise PlatformDatabaseProblem(f"{foreign.name}: {foreign.setting} can't be used as a database URL") from None


def _url(foreign: ForeignDatabase) -> URL:
    text = foreign.url.get_secret_value().strip()
    try:
        scheme = text.partition(":")[0].partition("+")[0]
        if scheme in ("ecto", *SCHEMES):  # Phoenix's URLs may begin with ecto://
            return read_address(text.replace("ecto:", "postgresql:", 1), foreign.setting)
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise PlatformDatabaseProblem(
            f"{foreign.name}: {foreign.setting} is no SQLAlchemy URL: write such as"
            " postgresql://user:password@host:port/database"
        ) from None
    if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
        return url.set(database=f"file:{quote(str(url.database))}", query={"mode": "ro", "uri": "true"})
    return url


def _make_read_only(connection: Connection, seconds: int) -> None:
    backend = connection.engine.dialect.name
    if backend == "postgresql":
        for statement in _POSTGRES:
            connection.exec_driver_sql(statement.format(milliseconds=seconds * 1000))
    if backend == "sqlite":
        connection.exec_driver_sql("pragma query_only = on")
        connection.exec_driver_sql("begin")


@contextmanager
def _explained(foreign: ForeignDatabase, title: str | None = None) -> Iterator[None]:
    """Turn an error of the driver into one line without the password."""
    try:
        yield
    except DBAPIError as problem:
        raise PlatformDatabaseProblem(_line(foreign, title, problem)) from None
    except SQLAlchemyError as problem:
        raise PlatformDatabaseProblem(f"{_start(foreign, title)}: {type(problem).__name__}") from None


def _start(foreign: ForeignDatabase, title: str | None) -> str:
    return f"{foreign.name}: {title}" if title else foreign.name


def _line(foreign: ForeignDatabase, title: str | None, problem: DBAPIError) -> str:
    url = _url(foreign)
    is_connecting = url.get_backend_name() == "postgresql" and (title is None or problem.connection_invalidated)
    known = describe(problem, DatabaseAddress.of(foreign.setting, url)) if is_connecting else None
    text = known or _first_line(problem)
    for secret in {url.password, foreign.url.get_secret_value()} - {None, ""}:
        text = text.replace(str(secret), "***")
    return visible(f"{_start(foreign, title)}: {text}")


def _first_line(problem: DBAPIError) -> str:
    primary = getattr(getattr(problem.orig, "diag", None), "message_primary", None)
    lines = str(primary or problem.orig).strip().splitlines()
    return lines[0][:300] if lines else type(problem.orig).__name__
