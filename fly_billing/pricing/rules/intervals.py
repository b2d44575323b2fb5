"""Billing intervals: the consecutive periods of a recurring fee, half-open, in UTC.

Periods are whole months from an anchor: the calendar's (1 January, so that quarters begin in January, April, July and
October) or the subscription's own. They begin on the anchor's day of the month, at its time of day; in a shorter month,
on its last day. Periods anchored to the 31st begin on 31 January, 28 (or 29) February, 31 March, 30 April: each is
counted from the anchor, so that a short month does not affect later ones.
Not here: the charge for a period (`invoicing.rules.steps.subscriptions`).
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
    """One whole interval, `[start, end)`. At most one interval of a fee ends in a billing month."""

    start: datetime
    end: datetime

    def is_over_by(self, month: BillingMonth) -> bool:
        """Return True if the period ends by the end of the month."""
        return self.end <= month.end

    @property
    def months(self) -> int:
        return (self.end.year - self.start.year) * 12 + self.end.month - self.start.month


def fee_periods(interval: str, anchor: datetime, start: datetime, end: datetime) -> Iterator[FeePeriod]:
    """Yield the periods that overlap `[start, end)`, in order. None begins before the anchor."""
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
