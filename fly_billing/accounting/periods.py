"""Closes accounting months. Later postings count in the first open month; the database refuses anything else.

Not here: invoices of a month (`invoicing`), whose usage may still be corrected; the correction counts in an open month.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection

from fly_billing.accounting.recognition import LOCK, defer_missing, defer_revenue
from fly_billing.errors import ActionableError
from fly_billing.money import counted
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, records, values

# The name in the trigger `wait_for_closing`.
POSTING = "post to the ledger"


class PeriodNotClosed(ActionableError):
    """The accounting month can't be closed; the message says why. Nothing was changed."""


@dataclass(frozen=True)
class ClosedPeriod:
    """A closed accounting month, its first day, and who closed it when."""

    month: date
    closed_at: datetime
    closed_by: str


def close_period(
    database: BillingDatabase, month: BillingMonth, closed_by: str, now: datetime, *, leave_open: bool = False
) -> tuple[ClosedPeriod, bool]:
    """Close an accounting month. Its journal never changes again.

    Args:
        month: The month after the last closed one. The first one closes all earlier months as well.
        closed_by: Who closes it.
        now: The time.
        leave_open: Close it although invoices of the month are open: they will count in a later month.

    Returns:
        The closed month, and False if it was closed before.

    Raises:
        PeriodNotClosed: It has not ended, is not the next one, has open invoices, or revenue that can't be read.
    """
    _refuse_unreadable(database)
    with database.transaction() as connection:
        lock_until_commit(connection, LOCK)
        lock_until_commit(connection, POSTING)
        for period in records(connection, ClosedPeriod, "last_closed_period"):
            if month.first_day <= period.month:
                closed = records(connection, ClosedPeriod, "accounting_period", month=month.first_day)
                return (closed or [period])[0], False
            _refuse_gap(month, period)
        _refuse_early(connection, month, now, leave_open=leave_open)
        defer_missing(connection)
        (closed_now,) = records(
            connection, ClosedPeriod, "close_accounting_period",
            month=month.first_day, closed_at=now, closed_by=closed_by,
        )  # fmt: skip
    return closed_now, True


def period_of(connection: Connection, month: BillingMonth) -> ClosedPeriod | None:
    """Return the closing of a month: its own, or the first one, which closed all earlier months; None: it is open."""
    last = records(connection, ClosedPeriod, "last_closed_period")
    if not last or month.first_day > last[0].month:
        return None
    return (records(connection, ClosedPeriod, "accounting_period", month=month.first_day) or last)[0]


def _refuse_unreadable(database: BillingDatabase) -> None:
    """Store missing deferrals before the locks are taken, so that closing takes them for a short time only."""
    if failed := defer_revenue(database).failed:
        raise PeriodNotClosed(f"the revenue of these invoices can't be read: {'; '.join(map(str, failed))}")


def _refuse_gap(month: BillingMonth, last: ClosedPeriod) -> None:
    following = BillingMonth(last.month.year, last.month.month).next()
    if month != following:
        raise PeriodNotClosed(f"the accounting month after the last closed one is {following}: close it before {month}")


def _refuse_early(connection: Connection, month: BillingMonth, now: datetime, *, leave_open: bool) -> None:
    if month.end > now:
        raise PeriodNotClosed(f"{month} has not ended yet: close it from {month.next().first_day} on")
    (waiting,) = values(connection, "open_invoices_until", month=month.first_day)
    if waiting and not leave_open:
        raise PeriodNotClosed(
            f"{counted(waiting, 'invoice')} of {month} or earlier are open: finalize them first"
            f" (`fly-billing status`), or add --leave-open to count them in a later month"
        )
