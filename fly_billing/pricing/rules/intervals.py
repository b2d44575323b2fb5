"""Billing intervals: the periods that a recurring fee is charged for, one after the other, half-open, in UTC.

Periods are counted in whole months from an anchor: the calendar's (1 January, so that a quarter begins in January,
April, July or October) or a moment of the subscription's own. They begin on the anchor's day of the month, at its time
of day; in a month that is too short, on its last day. Anchored to the 31st, periods begin on 31 January, 28 (or 29)
February, 31 March, 30 April: each is counted from the anchor, so that a short month shortens no later one.
Keeps out: what is charged for a period (`billing_steps.subscriptions`).
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from fly_billing.periods import BillingMonth

# The months of each interval.
INTERVALS = {"month": 1, "quarter": 3, "half-year": 6, "year": 12}
CALENDAR = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, order=True)
class FeePeriod:
    """One whole interval, `[start, end)`. It ends in exactly one billing month, and no other one of its fee does."""

    start: datetime
    end: datetime

    def is_over_by(self, month: BillingMonth) -> bool:
        """Return True if the period has ended when the month has."""
        return self.end <= month.end

    @property
    def months(self) -> int:
        return (self.end.year - self.start.year) * 12 + self.end.month - self.start.month


def fee_periods(interval: str, anchor: datetime, start: datetime, end: datetime) -> Iterator[FeePeriod]:
    """Yield the whole periods that have a part in `[start, end)`, in order; none of them begins before the anchor."""
    months = INTERVALS[interval]
    anchor = anchor.astimezone(UTC).replace(microsecond=0)
    number = max(0, ((start.year - anchor.year) * 12 + start.month - anchor.month) // months - 1)
    begins = _boundary(anchor, number * months)
    while begins < end:
        number += 1
        ends = _boundary(anchor, number * months)
        if start < ends:
            yield FeePeriod(begins, ends)
        begins = ends


def _boundary(anchor: datetime, months: int) -> datetime:
    month = BillingMonth(anchor.year, anchor.month).plus(months)
    day = min(anchor.day, monthrange(month.year, month.month)[1])
    return anchor.replace(year=month.year, month=month.month, day=day)
