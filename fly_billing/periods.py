"""Billing periods: calendar months in UTC, half-open. Keeps out: what is billed in them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol


class Span(Protocol):
    """Half-open time, `[start, end)`: a billing month, or the period of a fee."""

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
        """Read `2026-10` or `2026-10-01` (a Dagster month key). Raises ValueError naming what was read."""
        found = re.fullmatch(r"(\d{4})-(\d{2})(-01)?", text.strip())
        if not found:
            raise ValueError(f"not a month: {text!r}; write it as YYYY-MM, for example 2026-10")
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def containing(cls, moment: datetime) -> BillingMonth:
        """Return the month that `moment` (aware) falls into, in UTC."""
        if moment.tzinfo is None:
            raise ValueError(f"a time without offset belongs to no month: {moment}")
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
        """Length of the month in seconds (UTC days of 86,400 s; POSIX time has no leap seconds)."""
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
        """Return when the month is closed for late usage and its invoices may be finalized."""
        return self.end + grace

    def last_landing_day(self, grace: timedelta) -> date:
        """Return the last day on which usage of the month may land and still be on its invoice."""
        return (self.closes_at(grace) - timedelta(microseconds=1)).date()

    def is_closed(self, now: datetime, grace: timedelta) -> bool:
        return now >= self.closes_at(grace)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"


# The first month whose usage is billed. Of earlier months there are no partitions and no landing days.
FIRST_MONTH = BillingMonth(2023, 1)


def months_between(first: BillingMonth, last: BillingMonth) -> list[BillingMonth]:
    """List the months from `first` to `last`, both included; empty when `last` comes first."""
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    return [first.plus(n) for n in range(count)]


def overlap_seconds(span: Span, started_at: datetime, ended_at: datetime | None) -> int:
    """Return how many seconds of `span` lie in `[started_at, ended_at)`; `None` means still running.

    Each moment counts as the beginning of its second: what ends where another begins leaves no second out, and none is
    in both.
    """
    start = max(span.start, started_at.replace(microsecond=0))
    end = min(span.end, ended_at.replace(microsecond=0)) if ended_at is not None else span.end
    return max(0, int((end - start).total_seconds()))


def overlap_days(span: Span, started_at: datetime, ended_at: datetime | None) -> int:
    """Return how many UTC days of `span` count: the day on which it starts does, the one on which it ends does not."""
    first = max(span.start.date(), started_at.astimezone(UTC).date())
    last = span.end.date() if ended_at is None else min(span.end.date(), ended_at.astimezone(UTC).date())
    return max(0, (last - first).days)


def span_text(start: datetime, end: datetime) -> str:
    """Write half-open time for people: `2026-09-01 to 2026-10-01`, with the time of day where it is not midnight."""
    return f"{moment_text(start)} to {moment_text(end)}"


def moment_text(moment: datetime) -> str:
    """Write a moment in UTC for people: a date at midnight, else with the time of day."""
    text = f"{moment:%Y-%m-%d %H:%M:%S}" if moment.microsecond == 0 else f"{moment:%Y-%m-%d %H:%M:%S.%f}"
    return text.removesuffix(" 00:00:00")


def stretches(days: Iterable[date]) -> list[tuple[date, date]]:
    """Group days into unbroken stretches, each as (first, last)."""
    found: list[tuple[date, date]] = []
    for day in sorted(days):
        if found and day - found[-1][1] == timedelta(days=1):
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found
