"""Sends several statements to Postgres at once and waits for all of them: one round trip instead of one for each.

Most of the time of a small statement goes into sending it and waking up for the answer. So a reader that needs many
small statements asks them together (libpq's pipeline mode). Not here: single statements (`postgres.database`).

    with round_trip(connection) as trip:
        months = trip.records(Month, "months_of_statement", organization_id="acme")
        credits = trip.records(Credit, "credits_of_statement", organization_id="acme", now=now)
    newest = months.all()[0]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import psycopg

from fly_billing.postgres.connections.problems import describe
from fly_billing.postgres.statements import sql

if TYPE_CHECKING:
    from sqlalchemy import Connection

    # Of `BillingDatabase`, or of `ReadingDatabase`, which does without SQLAlchemy.
    AnyConnection: TypeAlias = Connection | psycopg.Connection[Any]

Record = TypeVar("Record")
# A parameter, and an escaped colon, as SQLAlchemy's `text` finds them. A test compares all statements.
_PARAMETER = re.compile(r"(?<![:\w$\\]):([\w$]+)(?![:\w$])")
_ESCAPED = re.compile(r"\\(:[\w$]*)(?![:\w$])")


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
        return PendingRows(into, self._driver.execute(driver_text(name), parameters))

    def values(self, name: str, /, **parameters: Any) -> PendingRows[Any]:
        """Send a statement whose rows have one column. See `database.values`."""
        return self.records(dict, name, **parameters)


@contextmanager
def round_trip(connection: AnyConnection) -> Iterator[RoundTrip]:
    """Yield a round trip in the connection's transaction. The block sends; its end waits for all answers.

    Raises:
        DatabaseFailed: The connection of an engine broke, or a limit in time ended a statement.
        DBAPIError: A statement failed for another reason. Those after it did not run.
        psycopg.Error: The same, on a connection without an engine.
    """
    if isinstance(connection, psycopg.Connection):
        with connection.pipeline():
            yield RoundTrip(connection)
        return
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    try:
        with driver.pipeline():
            yield RoundTrip(driver)
    except psycopg.Error as problem:
        raise as_of_engine(problem, connection, driver) from problem


def as_of_engine(problem: psycopg.Error, connection: Connection, driver: psycopg.Connection[Any]) -> Exception:
    """Return an error as SQLAlchemy raises it for the statements that it sends itself."""
    from sqlalchemy.exc import DBAPIError  # here and below, because a connection without an engine does not need them

    from fly_billing.postgres.connections.engines import DatabaseFailed

    if driver.closed:
        connection.invalidate(problem)
    failed = DBAPIError.instance(None, None, problem, psycopg.Error, connection_invalidated=driver.closed)
    assert isinstance(failed, DBAPIError)
    line = describe(problem)
    return DatabaseFailed(line, failed) if line else failed


@cache
def driver_text(name: str) -> bytes:
    """Return a statement with the driver's placeholders: `%(name)s` for `:name`."""
    return _ESCAPED.sub(r"\1", _PARAMETER.sub(r"%(\1)s", sql(name).replace("%", "%%"))).encode()
