"""Where the bars, lines and labels of a month's plot are. Keeps out: how they are drawn (the template does that).

Positions across are in percent and down in pixels: bars stretch with the page, text does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from fly_billing.money import format_cents
from fly_billing.statements.rules.spend import DailySpend, DaySpend

HEIGHT = 172
TOP, BOTTOM = 20, 24
# The part of a day's width that its bar takes.
BAR = 0.72
# How far up the axis may end, in tenths of a power of ten.
_TENTHS = (0, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)


@dataclass(frozen=True)
class Bar:
    """One day. `x` and `width` in percent, `y` and `height` in pixels; `is_to_come`: the day lies ahead."""

    x: float
    y: float
    width: float
    height: float
    day: date
    amount_cents: int
    is_to_come: bool


@dataclass(frozen=True)
class Label:
    """A text at `x` percent and `y` pixels: that is where it begins, or ends (`anchor`: start, end)."""

    x: float
    y: float
    text: str
    anchor: str = "start"


@dataclass(frozen=True)
class DailyPlot:
    """`axis` is the line of nothing spent, `grid` are the lines of the highest and lowest amount; in pixels."""

    height: int
    bars: tuple[Bar, ...]
    axis: float
    grid: tuple[float, ...]
    labels: tuple[Label, ...]

    @property
    def has_days_to_come(self) -> bool:
        return any(bar.is_to_come and bar.amount_cents for bar in self.bars)


def daily_plot(spend: DailySpend, currency: str, until: date | None) -> DailyPlot:
    """Place the days. Those after `until` are still to come: what is on them already is for a fee, say."""
    amounts = [one.amount_cents for one in spend.days]
    scale = _Scale(_nice(max(0, *amounts)), -_nice(-min(0, *amounts)))
    slot = 100 / len(spend.days)
    bars = [
        _bar(one, scale, n * slot, slot, is_to_come=until is not None and one.day > until)
        for n, one in enumerate(spend.days)
    ]
    bounds = [cents for cents in (scale.highest, scale.lowest) if cents]
    return DailyPlot(
        height=HEIGHT,
        bars=tuple(bars),
        axis=scale.y(0),
        grid=tuple(scale.y(cents) for cents in bounds),
        labels=(*(_amount(cents, scale, currency) for cents in bounds), *_weeks(spend.days, slot)),
    )


@dataclass(frozen=True)
class _Scale:
    """The highest and lowest amount on the plot, in cents."""

    highest: int
    lowest: int

    def y(self, cents: int) -> float:
        """Return where an amount is, in pixels from the top."""
        pixels = (HEIGHT - TOP - BOTTOM) / max(1, self.highest - self.lowest)
        return round(TOP + (self.highest - cents) * pixels, 1)


def _nice(cents: int) -> int:
    """Round up to a number of one or two digits and zeros, a little above the highest bar."""
    power = int("1".ljust(len(str(cents)), "0"))
    return next(power * tenths // 10 for tenths in _TENTHS if power * tenths >= cents * 10)


def _bar(one: DaySpend, scale: _Scale, left: float, slot: float, *, is_to_come: bool) -> Bar:
    top, bottom = sorted((scale.y(one.amount_cents), scale.y(0)))
    x, width = left + slot * (1 - BAR) / 2, slot * BAR
    return Bar(round(x, 2), top, round(width, 2), round(bottom - top, 1), one.day, one.amount_cents, is_to_come)


def _amount(cents: int, scale: _Scale, currency: str) -> Label:
    y = scale.y(cents)
    return Label(0, round(y - 5 if cents > 0 else y + 13, 1), format_cents(cents, currency).removesuffix(".00"))


def _weeks(days: Sequence[DaySpend], slot: float) -> list[Label]:
    """Name every seventh day, below its bar; the last name ends with its bar, as the page may end there too."""
    gap = slot * (1 - BAR) / 2
    *first, last = [(n * slot, f"{one.day.day} {one.day:%b}") for n, one in enumerate(days) if n % 7 == 0]
    return [
        *(Label(round(x + gap, 2), HEIGHT - 6, text) for x, text in first),
        Label(round(last[0] + slot - gap, 2), HEIGHT - 6, last[1], "end"),
    ]
