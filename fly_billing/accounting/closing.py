"""Closes accounting months. Later postings count in the first open month; the database refuses anything else.

Not here: invoices of a month (`invoicing`), whose usage may still be corrected; the correction counts in an open month.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from fly_billing.accounting.books import BooksDiffer, book_differences
from fly_billing.accounting.periods import ClosedPeriod, last_period, period_of
from fly_billing.accounting.recognition import LOCK, defer_missing, defer_revenue
from fly_billing.accounting.rules.book_differences import BookDifferences
from fly_billing.errors import ActionableError
from fly_billing.money import counted
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, records, values

# The name in the trigger `wait_for_closing`.
POSTING = "post to the ledger"


class PeriodNotClosed(ActionableError):
    """The accounting month can't be closed; the message says why. Nothing was changed."""


@dataclass(frozen=True)
class Closing:
    """A person's decision about closing a month.

    Attributes:
        closed_by: Who closes it.
        leave_open: Close it although invoices of the month are open: they will count in a later month.
        accepted: The differences with Stripe that it is closed with, in cents by currency.
        code: The code of these differences (`BookDifferences.code`).
        why: Why they are accepted.
    """

    closed_by: str
    leave_open: bool = False
    accepted: Mapping[str, int] = field(default_factory=dict)
    code: str = ""
    why: str | None = None


def close_period(
    database: BillingDatabase, month: BillingMonth, closing: Closing, now: datetime
) -> tuple[ClosedPeriod, bool]:
    """Close an accounting month. Its journal never changes again.

    Args:
        month: The month after the last closed one. The first one closes all earlier months as well.
        closing: The person who closes it, and the differences that this person accepts.
        now: The time.

    Returns:
        The closed month, and False if it was closed before.

    Raises:
        PeriodNotClosed: It has not ended, is not the next one, has open invoices, or revenue that can't be read.
        BooksDiffer: The ledger differs from its sources, or from what Stripe asks for, and that was not accepted.
    """
    with database.transaction() as connection:
        if closed := period_of(connection, month):
            return closed, False
        _refuse_early(connection, month, now, closing)
    _refuse_unreadable(database)
    # Before the locks: comparing takes seconds in which nothing could be posted. Triggers post what happens meanwhile.
    differences = _accepted(book_differences(database, month), closing)
    with database.transaction() as connection:
        lock_until_commit(connection, LOCK)
        lock_until_commit(connection, POSTING)
        if closed := period_of(connection, month):
            return closed, False
        _refuse_early(connection, month, now, closing)
        defer_missing(connection)
        (closed_now,) = records(
            connection, ClosedPeriod, "close_accounting_period", month=month.first_day, closed_at=now,
            closed_by=closing.closed_by, accepted="\n".join(differences.lines) or None,
            why=closing.why if differences else None,
        )  # fmt: skip
    return closed_now, True


def _accepted(differences: BookDifferences, closing: Closing) -> BookDifferences:
    """Return the differences, all of which were accepted. Raises BooksDiffer."""
    if not differences and not closing.accepted:
        return differences
    problem = differences.why_not_accepted(closing.accepted, closing.code)
    if closing.accepted and problem:
        raise BooksDiffer(f"{differences.month} can't be closed: {problem}")
    if problem:
        raise BooksDiffer(differences.refusal(f"{differences.month} can't be closed"))
    if not (closing.why and closing.why.strip()):
        raise BooksDiffer("accepting differences needs a reason: --why REASON")
    return differences


def _refuse_unreadable(database: BillingDatabase) -> None:
    """Store missing deferrals before the locks are taken, so that closing takes them for a short time only."""
    if failed := defer_revenue(database).failed:
        raise PeriodNotClosed(f"the revenue of these invoices can't be read: {'; '.join(map(str, failed))}")


def _refuse_early(connection: Connection, month: BillingMonth, now: datetime, closing: Closing) -> None:
    if last := last_period(connection):
        following = BillingMonth(last.month.year, last.month.month).next()
        if month != following:
            raise PeriodNotClosed(
                f"the accounting month after the last closed one is {following}: close it before {month}"
            )
    if month.end > now:
        raise PeriodNotClosed(f"{month} has not ended yet: close it from {month.next().first_day} on")
    (waiting,) = values(connection, "open_invoices_until", month=month.first_day)
    if waiting and not closing.leave_open:
        raise PeriodNotClosed(
            f"{counted(waiting, 'invoice')} of {month} or earlier are open: finalize them first"
            f" (`fly-billing status`), or add --leave-open to count them in a later month"
        )
