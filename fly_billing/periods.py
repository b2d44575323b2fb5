"""Billing periods: calendar months in UTC, half-open."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol


class Span(Protocol):
    """A half-open period, `[start, end)`: a billing month, or the period of a fee."""

    @property
    def start(self) -> datetime: ...

    @property
    def end(self) -> datetime: ...


@dataclass(frozen=True, order=True)
class BillingMonth:
    """One calendar month, `[start, end)` in UTC: an event exactly at `end` belongs to the next month."""

    year: int
    month: int

    def __post_init__(self) -> None:
        if not (1 <= self.month <= 12 and 1 <= self.year <= 9998):
            raise ValueError(f"no such month: {self.year}-{self.month}")

    @classmethod
    def parse(cls, text: str) -> BillingMonth:
        """Parse `2026-10` or `2026-10-01` (Dagster's key of a month). Raises ValueError that quotes the text."""
        match = re.fullmatch(r"(\d{4})-(\d{2})(-01)?", text.strip())
        if not match:
            raise ValueError(f"not a month: {text!r}; write it as YYYY-MM, for example 2026-10")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def containing(cls, moment: datetime) -> BillingMonth:
        """Return the month in UTC that contains `moment`, an aware datetime."""
        if moment.tzinfo is None:
            raise ValueError(f"this time has no UTC offset, so its month is unknown: {moment}")
        utc = moment.astimezone(UTC)
        return cls(utc.year, utc.month)

    @property
    def first_day(self) -> date:
        return date(self.year, self.month, 1)

    @property
    def start(self) -> datetime:
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        return datetime(self.year + self.month // 12, self.month % 12 + 1, 1, tzinfo=UTC)

    @property
    def seconds(self) -> int:
        """The month's length in seconds. A UTC day has 86,400: POSIX time has no leap seconds."""
        return int((self.end - self.start).total_seconds())

    @property
    def days(self) -> int:
        return (self.end - self.start).days

    def next(self) -> BillingMonth:
        return self.plus(1)

    def plus(self, months: int) -> BillingMonth:
        year, month0 = divmod(self.year * 12 + self.month - 1 + months, 12)
        return BillingMonth(year, month0 + 1)

    def closes_at(self, grace: timedelta) -> datetime:
        """Return when the month closes: no more usage is added, and its invoices may be finalized."""
        return self.end + grace

    def last_landing_day(self, grace: timedelta) -> date:
        """Return the last day on which usage can land and still be on this month's invoice."""
        return (self.closes_at(grace) - timedelta(microseconds=1)).date()

    def is_closed(self, now: datetime, grace: timedelta) -> bool:
        return now >= self.closes_at(grace)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"


def open_months(now: datetime, grace: timedelta) -> list[BillingMonth]:
    """List the months that are still open: the current one, after the one before it during its grace period."""
    running = BillingMonth.containing(now)
    return [month for month in (running.plus(-1), running) if not month.is_closed(now, grace)]


# The first month whose usage is billed. Earlier months have no partitions and no landing days.
FIRST_MONTH = BillingMonth(2023, 1)
# The last month that the constraints of the billing database allow.
LAST_MONTH = BillingMonth(2199, 12)


def why_not_billable(month: BillingMonth, now: datetime) -> str | None:
    """Return why nothing can be billed for the month, naming the first or last valid month; None if it can be.

    A month can be billed from FIRST_MONTH on, as soon as it has begun.
    """
    if month < FIRST_MONTH:
        return f"{month} is before {FIRST_MONTH}, the first month that can be billed"
    if month.start > now:
        return f"{month} has not begun. The last month that can be billed is {BillingMonth.containing(now)}"
    return None


def months_between(first: BillingMonth, last: BillingMonth) -> list[BillingMonth]:
    """List the months from `first` to `last`, both included. Empty if `last` is earlier than `first`."""
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    return [first.plus(n) for n in range(count)]


def overlap_seconds(span: Span, started_at: datetime, ended_at: datetime | None) -> int:
    """Return the number of seconds of `span` in `[started_at, ended_at)`. `ended_at` is None while it still runs.

    Fractions of a second are cut off both times. So when one period ends where the next begins, every second is counted
    exactly once.
    """
    start = max(span.start, started_at.replace(microsecond=0))
    end = min(span.end, ended_at.replace(microsecond=0)) if ended_at is not None else span.end
    return max(0, int((end - start).total_seconds()))


def overlap_days(span: Span, started_at: datetime, ended_at: datetime | None) -> int:
    """Return the number of UTC days of `span` in `[started_at, ended_at)`: its first day counts, its last does not."""
    first = max(span.start.date(), started_at.astimezone(UTC).date())
    last = span.end.date() if ended_at is None else min(span.end.date(), ended_at.astimezone(UTC).date())
    return max(0, (last - first).days)


def span_text(start: datetime, end: datetime) -> str:
    """Format a half-open period for people: `2026-09-01 to 2026-10-01`, with the time of day unless it is midnight."""
    return f"{moment_text(start)} to {moment_text(end)}"


def moment_text(moment: datetime) -> str:
    """Format a UTC time for people: the date, and the time of day unless it is midnight."""
    text = f"{moment:%Y-%m-%d %H:%M:%S}" if moment.microsecond == 0 else f"{moment:%Y-%m-%d %H:%M:%S.%f}"
    return text.removesuffix(" 00:00:00")


def stretches(days: Iterable[date]) -> list[tuple[date, date]]:
    """Group days into runs of consecutive days, each as (first, last)."""
    runs: list[tuple[date, date]] = []
    for day in sorted(days):
        if runs and day - runs[-1][1] == timedelta(days=1):
            runs[-1] = (runs[-1][0], day)
        else:
            runs.append((day, day))
    return runs
