"""Keeps what is wrong with one organization's records from stopping the others.

A set of organizations is read or written at once. Where that fails because of a value, it is undone and done again for
each half of them, down to the ones that can't be done: a bad row costs a few statements more, a good month none.
Keeps out: connections that broke, locks, mistakes in SQL. Those stop the run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import psycopg
import sqlalchemy.exc
from sqlalchemy import Connection

from fly_billing.bounds import refuse_incomplete
from fly_billing.errors import BillingError, not_computable
from fly_billing.postgres.database import Row

T = TypeVar("T")
R = TypeVar("R")

# A value that can't be read, calculated with or written; never a server that is away.
ABOUT_A_VALUE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_ABOUT_A_ROW = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.RaiseException)


@dataclass(frozen=True)
class UnreadableRow:
    """A row that can't be calculated with, by whose it is; `reason` names the column."""

    organization_id: str
    reason: str

    def __str__(self) -> str:
        return f"{self.organization_id}: {self.reason}"


def is_about_a_row(problem: Exception) -> bool:
    """Tell whether the rows are to blame, rather than the server, the connection or the statement."""
    if isinstance(problem, sqlalchemy.exc.DBAPIError):
        return isinstance(problem.orig, _ABOUT_A_ROW)
    return isinstance(problem, (*_ABOUT_A_ROW, *ABOUT_A_VALUE)) and not isinstance(
        problem, sqlalchemy.exc.SQLAlchemyError
    )


def each_alone(
    connection: Connection, some: Sequence[T], act: Callable[[Sequence[T]], R]
) -> tuple[list[tuple[Sequence[T], R]], list[tuple[T, Exception]]]:
    """Do `act` to all of `some` at once, or to as many of them at once as it can be done to.

    What `act` wrote for those that failed is undone. Returns what was done, with what `act` returned, and each one that
    failed with the reason.
    """
    if not some:
        return [], []
    savepoint = connection.begin_nested()
    try:
        result = act(some)
    except Exception as problem:
        savepoint.rollback()
        if not is_about_a_row(problem):
            raise
        if len(some) == 1:
            return [], [(some[0], problem)]
        middle = len(some) // 2
        first, second = (each_alone(connection, half, act) for half in (some[:middle], some[middle:]))
        return first[0] + second[0], first[1] + second[1]
    savepoint.commit()
    return [(some, result)], []


def readable_rows(found: Iterable[Row], may_be_missing: Collection[str] = ()) -> tuple[list[Row], list[UnreadableRow]]:
    """Part rows (with `organization_id`) into those that can be calculated with, and the others with what is wrong."""
    good: list[Row] = []
    bad: list[UnreadableRow] = []
    for row in found:
        try:
            refuse_incomplete(row, may_be_missing)
        except ABOUT_A_VALUE as problem:
            bad.append(UnreadableRow(str(row["organization_id"]), reason_of(problem)))
        else:
            good.append(row)
    return good, bad


def unreadable(what: str, problem: Exception) -> BillingError:
    """Make the error of an organization whose records can't be read or calculated with. `what` names them."""
    return not_computable("unreadable_record", f"{what}: {reason_of(problem)}: put it right, then bill the month again")


def unwritable(what: str, problem: Exception) -> BillingError:
    """Make the error of an organization whose invoice the database refuses."""
    return not_computable(
        "invoice_refused",
        f"{what}: the database refuses it: {reason_of(problem)}: put that right, then bill the month again",
    )


def reason_of(problem: Exception) -> str:
    """Name the problem in one line; a database's message without the rows that it shows."""
    said = problem.orig if isinstance(problem, sqlalchemy.exc.DBAPIError) and problem.orig else problem
    if isinstance(said, psycopg.Error) and said.diag.message_primary:
        return said.diag.message_primary
    text = str(said).splitlines()[0] if str(said) else ""
    return text if isinstance(said, ValueError) and text else f"{type(said).__name__} {text}".strip()
