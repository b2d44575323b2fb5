"""Reads the billing database over one connection without SQLAlchemy, for commands that only read.

Loading SQLAlchemy takes a quarter of the CPU of such a command. Servers and runs use `database.BillingDatabase`, which
keeps a pool of connections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import psycopg

from fly_billing.postgres.connections.addresses import read_parameters
from fly_billing.postgres.connections.opening import open_connection
from fly_billing.postgres.connections.problems import DatabaseAddress, DatabaseProblem, describe
from fly_billing.postgres.connections.watched_connection import WatchedConnection
from fly_billing.postgres.round_trips import round_trip
from fly_billing.settings import DatabaseLimits, refuse_missing_address

if TYPE_CHECKING:
    from fly_billing.postgres.round_trips import AnyConnection

Record = TypeVar("Record")


class ReadableDatabase(Protocol):
    """A database that statements are read from: `ReadingDatabase` or `database.BillingDatabase`."""

    @property
    def place(self) -> str: ...
    def consistent_read(self) -> AbstractContextManager[AnyConnection]: ...
    def records(self, into: Callable[..., Record], name: str, /, **parameters: Any) -> list[Record]: ...
    def values(self, name: str, /, **parameters: Any) -> list[Any]: ...


class ReadingDatabase:
    """The billing Postgres behind one URL, for one thread. It connects when first used, and stays connected."""

    def __init__(self, url: str | None, limits: DatabaseLimits, setting: str = "DATABASE_URL") -> None:
        """Set the address. See `BillingDatabase`."""
        self._parameters = read_parameters(refuse_missing_address(url, setting), setting)
        self._place = DatabaseAddress.of_parameters(setting, self._parameters)
        self._limits = limits
        self._open: WatchedConnection | None = None

    @property
    def place(self) -> str:
        """The setting and the address without user and password, for messages."""
        return str(self._place)

    @contextmanager
    def consistent_read(self) -> Iterator[psycopg.Connection[Any]]:
        """Yield a read-only connection to a snapshot of the database. Raises DatabaseProblem."""
        with self._explained() as connection, connection.transaction():
            yield connection

    def records(self, into: Callable[..., Record], name: str, /, **parameters: Any) -> list[Record]:
        """Run a statement, and return its rows as `into(**row)`. Raises DatabaseProblem."""
        with self.consistent_read() as connection:
            with round_trip(connection) as trip:
                found = trip.records(into, name, **parameters)
            return found.all()

    def values(self, name: str, /, **parameters: Any) -> list[Any]:
        """Run a statement, and return the only column of its rows. Raises DatabaseProblem."""
        with self.consistent_read() as connection:
            with round_trip(connection) as trip:
                found = trip.values(name, **parameters)
            return found.values()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._open:
            self._open.close()
            self._open = None

    @contextmanager
    def _explained(self) -> Iterator[WatchedConnection]:
        """Yield the connection. An error of the driver becomes a DatabaseProblem, if it is about the connection."""
        try:
            yield self._connected()
        except psycopg.Error as problem:
            watch = self._open.watch if self._open else None
            line = describe(problem, self._place, waited_for=watch.last_blocker() if watch else "")
            if line is None:
                raise
            raise DatabaseProblem(line) from problem

    def _connected(self) -> WatchedConnection:
        if self._open is None or self._open.closed:
            opened = open_connection(self._place, self._limits, **self._parameters)
            opened.autocommit = True
            opened.isolation_level, opened.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
            self._open = opened
        return self._open
