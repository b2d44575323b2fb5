"""The billing database: connections, statements by name, bulk COPY. Keeps out: what the statements mean."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import psycopg
from psycopg import sql as compose
from pydantic import SecretStr
from sqlalchemy import URL, Connection, Engine, text
from sqlalchemy.pool import NullPool

from fly_billing.postgres.connecting import KEPT_OPEN, POOLED, DatabaseAddress, make_engine, read_address
from fly_billing.postgres.statements import sql
from fly_billing.settings import DatabaseLimits, SettingsError

# A row of a result, by column name.
Row = Mapping[str, Any]
Record = TypeVar("Record")


class BillingDatabase:
    """The billing Postgres behind one URL. Cheap to make; connects when used."""

    def __init__(
        self, url: str | SecretStr | None, setting: str = "DATABASE_URL", limits: DatabaseLimits | None = None
    ) -> None:
        """Name the database.

        Args:
            url: Its address; connects with psycopg.
            setting: What messages call the URL.
            limits: How long its sessions may take; None: those of the settings.

        Raises:
            SettingsError: It is no database URL.
        """
        if not url:
            raise SettingsError(f"{setting} is not set: `make dev` starts an embedded Postgres, or name your server")
        self._url = read_address(url.get_secret_value() if isinstance(url, SecretStr) else url, setting)
        self._setting = setting
        self._limits = limits or DatabaseLimits.from_environment()

    @property
    def place(self) -> str:
        """The setting that names it, and its address without user and password: for messages."""
        return str(DatabaseAddress.of(self._setting, self._url))

    @property
    def engine(self) -> Engine:
        return _engine(self._url, self._setting, self._limits)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection in a transaction: committed if the block ends well, rolled back if not."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def one_moment(self) -> Iterator[Connection]:
        """Yield a connection that sees the database as it is now, whoever writes meanwhile, and can't write itself."""
        with self.transaction() as connection:
            rows(connection, "read_one_moment")
            yield connection

    def rows(self, name: str, /, **parameters: Any) -> list[Row]:
        """Run a statement in a transaction of its own and return its rows."""
        # One statement is a transaction anyway: without BEGIN and COMMIT it is one round trip instead of three.
        with self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            return rows(connection, name, **parameters)

    def records(self, into: Callable[..., Record], name: str, /, **parameters: Any) -> list[Record]:
        """Run a statement in a transaction of its own and return its rows as `into(**row)`."""
        with self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            return records(connection, into, name, **parameters)

    @contextmanager
    def session_locks(self) -> Iterator[SessionLocks]:
        """Yield advisory locks on one connection of their own.

        They end with the connection: a killed process leaves none behind.
        """
        engine = make_engine(self._url, self._setting, self._limits, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            yield SessionLocks(connection)

    @contextmanager
    def session_lock(self, name: str) -> Iterator[bool]:
        """Hold one advisory lock on a connection of its own; yields False where another process holds it."""
        with self.session_locks() as locks, locks.lock(name) as is_ours:
            yield is_ours

    def __repr__(self) -> str:
        return f"BillingDatabase({self._url.render_as_string(hide_password=True)})"


class SessionLocks:
    """Advisory locks that one connection holds. May be shared by threads: a lock is held by one of them at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # Postgres lets a session take its own lock twice, and a connection does one thing at a time.
        self._mine: set[str] = set()
        self._guard = threading.Lock()

    @contextmanager
    def lock(self, name: str) -> Iterator[bool]:
        """Hold the lock `name`; yields False where another thread or process holds it."""
        is_ours = self._take(name)
        try:
            yield is_ours
        finally:
            if is_ours:
                self._release(name)

    def _take(self, name: str) -> bool:
        with self._guard:
            if name in self._mine:
                return False
            is_ours = bool(self._connection.execute(text(sql("try_session_lock")), {"name": name}).scalar_one())
            if is_ours:
                self._mine.add(name)
            return is_ours

    def _release(self, name: str) -> None:
        with self._guard:
            self._connection.execute(text(sql("release_session_lock")), {"name": name})
            self._mine.remove(name)


@cache
def _engine(url: URL, setting: str, limits: DatabaseLimits) -> Engine:
    return make_engine(url, setting, limits, pool_size=KEPT_OPEN, max_overflow=POOLED - KEPT_OPEN, pool_pre_ping=True)


def rows(connection: Connection, name: str, /, **parameters: Any) -> list[Row]:
    """Run a statement and return its rows, none where it returns nothing. `records` gives typed rows."""
    result = connection.execute(text(sql(name)), parameters)
    if not result.returns_rows:
        return []
    columns = tuple(result.keys())
    return [dict(zip(columns, row, strict=True)) for row in result.all()]


def records(connection: Connection, into: Callable[..., Record], name: str, /, **parameters: Any) -> list[Record]:
    """Run a statement and return each of its rows as `into(**row)`: a frozen dataclass with a field per column.

    Raises TypeError if the statement's columns and the fields differ.
    """
    result = connection.execute(text(sql(name)), parameters)
    columns = tuple(result.keys())
    return [into(**dict(zip(columns, row, strict=True))) for row in result.all()]


def copy_rows(connection: Connection, table: str, columns: Sequence[str], values: Iterable[Sequence[Any]]) -> None:
    """COPY rows into a table: about 50 times the speed of single inserts."""
    statement = compose.SQL("copy {} ({}) from stdin").format(
        compose.Identifier(table), compose.SQL(", ").join(map(compose.Identifier, columns))
    )
    with driver_connection(connection).cursor() as cursor, cursor.copy(statement) as copy:
        for row in values:
            copy.write_row(row)


def driver_connection(connection: Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def lock_until_commit(connection: Connection, name: str) -> None:
    """Wait for the advisory lock `name`; it is held until the transaction ends, so two runs never interleave."""
    rows(connection, "lock_until_commit", name=name)
