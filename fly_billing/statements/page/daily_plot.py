"""Places the bars, lines and labels of a month's plot. The template draws them.

Horizontal positions are in percent, vertical ones in pixels: bars stretch with the page, text does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from fly_billing.money import format_cents
from fly_billing.statements.rules.spend import DailySpend, DaySpend

HEIGHT = 172
TOP, BOTTOM = 20, 24
# The part of a day's width that its bar fills.
BAR = 0.72
# Round amounts at which the axis may end, in tenths of a power of ten.
_TENTHS = (0, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)


@dataclass(frozen=True)
class Bar:
    """The bar of one day; `x` and `width` are in percent, `y` and `height` in pixels."""

    x: float
    y: float
    width: float
    height: float
    day: date
    amount_cents: int
    is_future: bool


@dataclass(frozen=True)
class Label:
    """A text that begins (`anchor` start) or ends (`anchor` end) at `x` percent and `y` pixels."""

    x: float
    y: float
    text: str
    anchor: str = "start"


@dataclass(frozen=True)
class DailyPlot:
    """The plot of a month; vertical positions are in pixels.

    Attributes:
        axis: The line of zero spend.
        grid: The lines of the highest and the lowest amount.
    """

    height: int
    bars: tuple[Bar, ...]
    axis: float
    grid: tuple[float, ...]
    labels: tuple[Label, ...]

    @property
    def has_future_spend(self) -> bool:
        return any(bar.is_future and bar.amount_cents for bar in self.bars)


def daily_plot(spend: DailySpend, currency: str, until: date | None) -> DailyPlot:
    """Place a bar for each day.

    Args:
        until: The last day that can have usage; later days are in the future and show fees only. None: all can.
    """
    amounts = [spent.amount_cents for spent in spend.days]
    scale = Scale(nice(max(0, *amounts)), -nice(-min(0, *amounts)))
    slot = 100 / len(spend.days)
    bars = [
        _bar(spent, scale, n * slot, slot, is_future=until is not None and spent.day > until)
        for n, spent in enumerate(spend.days)
    ]
    bounds = [cents for cents in (scale.highest, scale.lowest) if cents]
    return DailyPlot(
        height=HEIGHT,
        bars=tuple(bars),
        axis=scale.y(0),
        grid=tuple(scale.y(cents) for cents in bounds),
        labels=(*(amount_label(cents, scale, currency) for cents in bounds), *_weeks(spend.days, slot)),
    )


@dataclass(frozen=True)
class Scale:
    """The highest and lowest amount on the plot, in cents."""

    highest: int
    lowest: int

    def y(self, cents: int) -> float:
        """Return the position of an amount, in pixels from the top."""
        pixels = (HEIGHT - TOP - BOTTOM) / max(1, self.highest - self.lowest)
        return round(TOP + (self.highest - cents) * pixels, 1)


def nice(cents: int) -> int:
    """Round up to a number of one or two digits and zeros, a little above the highest bar."""
    power = int("1".ljust(len(str(cents)), "0"))
    return next(power * tenths // 10 for tenths in _TENTHS if power * tenths >= cents * 10)


def _bar(spent: DaySpend, scale: Scale, left: float, slot: float, *, is_future: bool) -> Bar:
    top, bottom = sorted((scale.y(spent.amount_cents), scale.y(0)))
    x, width = left + slot * (1 - BAR) / 2, slot * BAR
    return Bar(round(x, 2), top, round(width, 2), round(bottom - top, 1), spent.day, spent.amount_cents, is_future)


def amount_label(cents: int, scale: Scale, currency: str) -> Label:
    y = scale.y(cents)
    return Label(0, round(y - 5 if cents > 0 else y + 13, 1), format_cents(cents, currency).removesuffix(".00"))


def _weeks(days: Sequence[DaySpend], slot: float) -> list[Label]:
    """Label every seventh day below its bar. The last label ends where its bar ends, as the page may end there too."""
    gap = slot * (1 - BAR) / 2
    *first, last = [(n * slot, f"{spent.day.day} {spent.day:%b}") for n, spent in enumerate(days) if n % 7 == 0]
    return [
        *(Label(round(x + gap, 2), HEIGHT - 6, text) for x, text in first),
        Label(round(last[0] + slot - gap, 2), HEIGHT - 6, last[1], "end"),
    ]
