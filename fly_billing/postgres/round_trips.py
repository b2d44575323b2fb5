"""Sends several statements to Postgres at once and waits for all of them: one round trip instead of one for each.

Most of the time of a small statement goes into sending it and waking up for the answer. So a reader that needs many
small statements asks them together (libpq's pipeline mode). Not here: single statements (`postgres.database`).

    with round_trip(connection) as trip:
        months = trip.records(Month, "months_of_statement", organization_id="acme")
        credits = trip.records(Credit, "credits_of_statement", organization_id="acme", now=now)
    newest = months.all()[0]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Generic, TypeVar

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.dialects import registry
from sqlalchemy.exc import DBAPIError

from fly_billing.postgres.connections.problems import DatabaseFailed, describe
from fly_billing.postgres.database import driver_connection
from fly_billing.postgres.statements import sql

Record = TypeVar("Record")
_DIALECT = registry.load("postgresql.psycopg")()


class PendingRows(Generic[Record]):
    """The rows of one statement of a round trip; they are there once its block has ended."""

    def __init__(self, into: Callable[..., Record], cursor: psycopg.Cursor[Any]) -> None:
        self._into = into
        self._cursor = cursor

    def all(self) -> list[Record]:
        """Return each row as `into(**row)`. Raises TypeError if the statement's columns and the fields differ."""
        result = self._cursor.pgresult
        # The names alone: the cursor's description makes an object of each column, which takes longer than a few rows.
        names = tuple(map(result.fname, range(result.nfields))) if result else ()
        return [*map(_maker(self._into, names), self._cursor.fetchall())]

    def values(self) -> list[Any]:
        """Return the only column of the rows. Raises ValueError if there is more than one column."""
        return [value for (value,) in self._cursor.fetchall()]


@cache
def _maker(into: Callable[..., Record], names: tuple[bytes | None, ...]) -> Callable[[Sequence[Any]], Record]:
    """Return a function that makes `into(**row)` of a row with columns of these names.

    A plain dataclass gets all fields at once: a frozen one sets them one by one, which takes three times as long.
    """
    kind: Any = into
    columns = tuple((name or b"").decode() for name in names)
    is_plain = is_dataclass(kind) and not hasattr(kind, "__post_init__") and "__slots__" not in vars(kind)
    if not is_plain or {field.name for field in fields(kind)} != set(columns):
        return lambda row: into(**dict(zip(columns, row, strict=True)))

    def make(row: Sequence[Any]) -> Any:
        made = object.__new__(kind)
        made.__dict__.update(zip(columns, row, strict=True))
        return made

    return make


class RoundTrip:
    """Takes the statements of one round trip, in the order in which the server runs them."""

    def __init__(self, driver: psycopg.Connection[Any]) -> None:
        self._driver = driver

    def records(self, into: Callable[..., Record], name: str, /, **parameters: Any) -> PendingRows[Record]:
        """Send a statement. See `database.records`."""
        return PendingRows(into, self._driver.execute(_driver_text(name), parameters))

    def values(self, name: str, /, **parameters: Any) -> PendingRows[Any]:
        """Send a statement whose rows have one column. See `database.values`."""
        return self.records(dict, name, **parameters)


@contextmanager
def round_trip(connection: Connection) -> Iterator[RoundTrip]:
    """Yield a round trip in the connection's transaction. The block sends; its end waits for all answers.

    Raises:
        DatabaseFailed: The connection broke, or a limit in time ended a statement.
        DBAPIError: A statement failed for another reason. Those after it did not run.
    """
    driver = driver_connection(connection)
    try:
        with driver.pipeline():
            yield RoundTrip(driver)
    except psycopg.Error as problem:
        if driver.closed:
            connection.invalidate(problem)
        # SQLAlchemy explains the errors of statements that it sent itself. These are of the same types.
        failed = DBAPIError.instance(None, None, problem, psycopg.Error, connection_invalidated=driver.closed)
        assert isinstance(failed, DBAPIError)
        line = describe(problem)
        raise (DatabaseFailed(line, failed) if line else failed) from problem


@cache
def _driver_text(name: str) -> bytes:
    """Return a statement with the driver's placeholders: `%(name)s` for `:name`."""
    return str(text(sql(name)).compile(dialect=_DIALECT)).encode()
