"""Reads closed accounting months. Not here: closing them (`accounting.closing`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection

from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import records


@dataclass(frozen=True)
class ClosedPeriod:
    """A closed accounting month, its first day, and who closed it when.

    Attributes:
        accepted_differences: The differences with Stripe that it was closed with, as text; None: it had none.
        why: Why they were accepted.
    """

    month: date
    closed_at: datetime
    closed_by: str
    accepted_differences: str | None = None
    why: str | None = None


def last_period(connection: Connection) -> ClosedPeriod | None:
    """Return the accounting month that was closed last; None: none is."""
    return next(iter(records(connection, ClosedPeriod, "last_closed_period")), None)


def period_of(connection: Connection, month: BillingMonth) -> ClosedPeriod | None:
    """Return the closing of a month: its own, or the first one, which closed all earlier months; None: it is open."""
    last = last_period(connection)
    if last is None or month.first_day > last.month:
        return None
    return next(iter(records(connection, ClosedPeriod, "accounting_period", month=month.first_day)), last)
