"""The billing database: connections, transactions, locks, statements by name, and bulk COPY."""

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

from fly_billing.group_parts import lock_of
from fly_billing.postgres.connections import DatabaseAddress, PoolPolicy, read_address
from fly_billing.postgres.connections.engines import make_engine
from fly_billing.postgres.connections.pools import pooled_engine
from fly_billing.postgres.statements import sql
from fly_billing.settings import DatabaseLimits, refuse_missing_address

# A row of a result by column name. Prefer `records`, which returns typed rows.
Row = Mapping[str, Any]
Record = TypeVar("Record")


class BillingDatabase:
    """The billing Postgres behind one URL. Cheap to make; connects when used."""

    def __init__(
        self,
        url: str | SecretStr | None,
        setting: str = "DATABASE_URL",
        limits: DatabaseLimits | None = None,
        pool: PoolPolicy | None = None,
    ) -> None:
        """Set the address. Nothing connects yet.

        Args:
            url: The database's URL.
            setting: The setting that has the URL, for messages.
            limits: Time limits of a session; None: from the settings.
            pool: How connections are kept; None: as a run needs them.

        Raises:
            SettingsError: The URL is missing or invalid.
        """
        self._url = read_address(
            refuse_missing_address(url.get_secret_value() if isinstance(url, SecretStr) else url, setting), setting
        )
        self._setting = setting
        self._limits = limits or DatabaseLimits.from_environment()
        self._pool = pool or PoolPolicy()

    @property
    def place(self) -> str:
        """The setting and the address without user and password, for messages."""
        return str(DatabaseAddress.of(self._setting, self._url))

    @property
    def engine(self) -> Engine:
        return _engine(self._url, self._setting, self._limits, self._pool)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection in a transaction: committed if the block ends without an error, otherwise rolled back."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def consistent_read(self) -> Iterator[Connection]:
        """Yield a read-only connection to a snapshot of the database: it does not see later changes."""
        # The driver sends these with its BEGIN, so they take no round trip.
        snapshot = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self.engine.execution_options(**snapshot).begin() as connection:
            yield connection

    def rows(self, name: str, /, **parameters: Any) -> list[Row]:
        """Run a statement in a transaction of its own and return its rows."""
        # A single statement is a transaction by itself. Without BEGIN and COMMIT it takes one round trip, not three.
        with self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            return rows(connection, name, **parameters)

    def records(self, into: Callable[..., Record], name: str, /, **parameters: Any) -> list[Record]:
        """Run a statement in a transaction of its own and return its rows as `into(**row)`."""
        with self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            return records(connection, into, name, **parameters)

    def values(self, name: str, /, **parameters: Any) -> list[Any]:
        """Run a statement in a transaction of its own and return the only column of its rows."""
        with self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            return values(connection, name, **parameters)

    @contextmanager
    def session_locks(self) -> Iterator[SessionLocks]:
        """Yield advisory locks on a separate connection. They end with it, even if the process is killed."""
        engine = make_engine(self._url, self._setting, self._limits, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            yield SessionLocks(connection)

    @contextmanager
    def session_lock(self, name: str) -> Iterator[bool]:
        """Take one advisory lock on a separate connection. Yields False if another process has it."""
        with self.session_locks() as locks, locks.lock(name) as is_ours:
            yield is_ours

    def __repr__(self) -> str:
        return f"BillingDatabase({self._url.render_as_string(hide_password=True)})"


class SessionLocks:
    """Advisory locks on one connection. Threads can share it: only one of them has a lock at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # Postgres lets a session take a lock twice, so we must know our own. A connection runs one statement at a time.
        self._mine: set[str] = set()
        self._guard = threading.Lock()

    @contextmanager
    def lock(self, name: str) -> Iterator[bool]:
        """Take the lock `name`. Yields False if another thread or process has it."""
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
def _engine(url: URL, setting: str, limits: DatabaseLimits, pool: PoolPolicy) -> Engine:
    return pooled_engine(url, setting, limits, pool)


def rows(connection: Connection, name: str, /, **parameters: Any) -> list[Row]:
    """Run a statement and return its rows, or [] if it returns none. Prefer `records`, whose rows are typed."""
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


def tuples(connection: Connection, name: str, /, **parameters: Any) -> Sequence[Sequence[Any]]:
    """Run a statement and return its rows as tuples. For so many rows that `records` would take too long."""
    return connection.execute(text(sql(name)), parameters).all()


def values(connection: Connection, name: str, /, **parameters: Any) -> list[Any]:
    """Run a statement and return the only column of its rows. Raises ValueError if there is more than one column."""
    return [value for (value,) in connection.execute(text(sql(name)), parameters)]


def copy_rows(connection: Connection, table: str, columns: Sequence[str], values: Iterable[Sequence[Any]]) -> None:
    """Insert rows by COPY, which is about 50 times as fast as single inserts."""
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


def lock_until_commit(connection: Connection, name: str, *, is_shared: bool = False) -> None:
    """Take the advisory lock `name` until the transaction ends, and wait for it if another run has it.

    Args:
        is_shared: Wait only for a run that does not share it. Such a run waits for all that do.
    """
    rows(connection, "share_lock_until_commit" if is_shared else "lock_until_commit", name=name)


def lock_groups_until_commit(
    connection: Connection, name: str, groups: Iterable[str], *, is_shared: bool = False
) -> None:
    """Take the lock of each of these billing groups in the family `name`, as `lock_until_commit` does.

    Whoever takes the lock `name` alone waits for all groups only if their holders share the lock `name`.
    """
    statement = "share_groups_until_commit" if is_shared else "lock_groups_until_commit"
    rows(connection, statement, name=name, locks=sorted({lock_of(group) for group in groups}))
