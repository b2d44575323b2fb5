"""Isolates bad records, so that one organization's error does not stop the others.

A set of organizations is read or written in one go. If that fails because of a value, it is rolled back and tried again
with each half of the set, down to the organizations that fail. So a bad row costs a few more statements, and a month
without bad rows costs none. Broken connections, locks and errors in SQL are not isolated: they stop the run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import psycopg

from fly_billing.bounds import refuse_incomplete
from fly_billing.errors import BillingError, not_computable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from fly_billing.postgres.database import Row

T = TypeVar("T")
R = TypeVar("R")

# Errors of a value that can't be read, used in a calculation or written. Connection errors are not among them.
VALUE_ERRORS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_ROW_ERRORS = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.RaiseException)


@dataclass(frozen=True)
class UnreadableRow:
    """A row that can't be used in a calculation, and its organization. `reason` names the column."""

    organization_id: str
    reason: str

    def __str__(self) -> str:
        return f"{self.organization_id}: {self.reason}"


def is_row_error(problem: Exception) -> bool:
    """Return True if the error comes from the rows, not from the server, the connection or the statement."""
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError  # here, because a statement reads without an engine

    if isinstance(problem, DBAPIError):
        return isinstance(problem.orig, _ROW_ERRORS)
    return isinstance(problem, (*_ROW_ERRORS, *VALUE_ERRORS)) and not isinstance(problem, SQLAlchemyError)


def isolate_failures(
    connection: Connection, some: Sequence[T], act: Callable[[Sequence[T]], R]
) -> tuple[list[tuple[Sequence[T], R]], list[tuple[T, Exception]]]:
    """Call `act` with all of `some`; if that fails because of a row, with each half, and so on.

    The writes of a failed call are rolled back.

    Returns:
        The successful calls, each as (its items, the result of `act`), and the failed items, each as (item, error).
    """
    if not some:
        return [], []
    savepoint = connection.begin_nested()
    try:
        result = act(some)
    except Exception as problem:
        savepoint.rollback()
        if not is_row_error(problem):
            raise
        if len(some) == 1:
            return [], [(some[0], problem)]
        middle = len(some) // 2
        first, second = (isolate_failures(connection, half, act) for half in (some[:middle], some[middle:]))
        return first[0] + second[0], first[1] + second[1]
    savepoint.commit()
    return [(some, result)], []


def readable_rows(found: Iterable[Row], may_be_missing: Collection[str] = ()) -> tuple[list[Row], list[UnreadableRow]]:
    """Split rows (with an `organization_id`) into the usable ones and the unreadable ones, with the reason."""
    good: list[Row] = []
    bad: list[UnreadableRow] = []
    for row in found:
        try:
            refuse_incomplete(row, may_be_missing)
        except VALUE_ERRORS as problem:
            bad.append(UnreadableRow(str(row["organization_id"]), reason_of(problem)))
        else:
            good.append(row)
    return good, bad


def unreadable(what: str, problem: Exception) -> BillingError:
    """Return the error for an organization whose records can't be used in a calculation. `what` names the records."""
    return not_computable("unreadable_record", f"{what}: {reason_of(problem)}: correct it, then bill the month again")


def unwritable(what: str, problem: Exception) -> BillingError:
    """Return the error for an organization whose invoice the database rejects."""
    return not_computable(
        "invoice_refused",
        f"{what}: the database rejects it: {reason_of(problem)}: correct that, then bill the month again",
    )


def reason_of(problem: Exception) -> str:
    """Describe the problem in one line. A database's message is cut to its first part, which does not quote rows."""
    error = getattr(problem, "orig", None) or problem  # SQLAlchemy's errors have the driver's
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        return error.diag.message_primary
    text = str(error).splitlines()[0] if str(error) else ""
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__} {text}".strip()
