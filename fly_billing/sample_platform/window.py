"""The months and days that the sample covers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from fly_billing.periods import BillingMonth, months_between

GRACE = timedelta(days=3)


@dataclass(frozen=True)
class Window:
    """The sample's usage is from the first day of `months[0]` to yesterday, in files that land up to `today`.

    The last one or two months are open: the current one, and the one before it during its grace period.
    """

    today: date
    closed_months: tuple[BillingMonth, ...]
    open_months: tuple[BillingMonth, ...]

    @property
    def months(self) -> tuple[BillingMonth, ...]:
        return self.closed_months + self.open_months

    @property
    def first_day(self) -> date:
        return self.months[0].first_day

    @property
    def now(self) -> datetime:
        """The start of today in UTC. Nothing in the sample happens later."""
        return datetime(self.today.year, self.today.month, self.today.day, tzinfo=UTC)

    @property
    def usage_days(self) -> list[date]:
        return [self.first_day + timedelta(days=n) for n in range((self.today - self.first_day).days)]


def window_before(today: date, closed_months: int) -> Window:
    """Return the window with `closed_months` closed months. A month closes after three days of grace."""
    current = BillingMonth(today.year, today.month)
    midnight = datetime(today.year, today.month, today.day, tzinfo=UTC)
    first_open = current if current.plus(-1).is_closed(midnight, GRACE) else current.plus(-1)
    closed = tuple(first_open.plus(n) for n in range(-closed_months, 0))
    return Window(today, closed, tuple(months_between(first_open, current)))
