"""Places the stacked bars, lines and labels of a month's plot. The template draws them.

Horizontal positions are in percent, vertical ones in pixels: bars stretch with the page, text does not. A day that is
far above all others is cut off with a visible break, so that the other days can still be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from fly_billing.money import format_cents
from fly_billing.statements.rules.daily_costs import CostDay

HEIGHT = 172
TOP, BOTTOM = 20, 24
# The height of the stacked plot.
STACKED_HEIGHT = 236
# The part of a day's width that its bar fills.
BAR = 0.72
# At most this many days are cut off, and each is more than this many times the largest other day.
MOST_CUT, CUT_ABOVE = 2, 4
# Round amounts at which the axis may end, in tenths of a power of ten.
_TENTHS = (0, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)


@dataclass(frozen=True)
class Segment:
    """The part of a bar that belongs to a column (its position in `DailyCosts.columns`), in pixels."""

    column: int
    y: float
    height: float


@dataclass(frozen=True)
class DayBar:
    """The bar of one day; `x` and `width` are in percent.

    Attributes:
        is_cut: It is cut off at the top: its segments show the shares of the day, not its amount.
        is_future: The day can't have usage yet.
    """

    x: float
    width: float
    cost: CostDay
    segments: tuple[Segment, ...]
    is_cut: bool
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
        axis: The line of zero.
        top: Where a bar that is cut off ends.
        grid: The lines of the labelled amounts.
        amounts: Their labels, which end at the right of a column of their own.
        weeks: The labels below the bars.
    """

    height: int
    top: float
    bars: tuple[DayBar, ...]
    axis: float
    grid: tuple[float, ...]
    amounts: tuple[Label, ...]
    weeks: tuple[Label, ...]

    @property
    def cut(self) -> tuple[CostDay, ...]:
        """The days that are cut off."""
        return tuple(bar.cost for bar in self.bars if bar.is_cut)


def daily_plot(days: Sequence[CostDay], currency: str, until: date | None) -> DailyPlot:
    """Place a stacked bar for each day: amounts above zero upwards, amounts below zero downwards.

    Args:
        until: The last day that can have usage. None: all can.
    """
    ups = [sum(cents for cents in day.cents if cents > 0) for day in days]
    downs = [-sum(cents for cents in day.cents if cents < 0) for day in days]
    highest = shown_up_to(ups)
    scale = Scale(nice(highest), -nice(max(downs, default=0)), STACKED_HEIGHT)
    slot = 100 / len(days)
    bars = [
        DayBar(
            x=round(n * slot + slot * (1 - BAR) / 2, 2),
            width=round(slot * BAR, 2),
            cost=day,
            segments=tuple(_segments(day, scale, up if (is_cut := up > highest) else None)),
            is_cut=is_cut,
            is_future=until is not None and day.day > until,
        )
        for n, (day, up) in enumerate(zip(days, ups, strict=True))
    ]
    bounds = [cents for cents in (scale.highest, _half(scale.highest), scale.lowest) if cents]
    return DailyPlot(
        height=STACKED_HEIGHT,
        top=scale.y(scale.highest),
        bars=tuple(bars),
        axis=scale.y(0),
        grid=tuple(scale.y(cents) for cents in bounds),
        amounts=tuple(
            Label(100, round(scale.y(cents) + 4, 1), _short_money(cents, currency), "end") for cents in (*bounds, 0)
        ),
        weeks=tuple(_weeks(days, slot)),
    )


def shown_up_to(amounts: Sequence[int]) -> int:
    """Return the largest amount that is drawn in full. At most MOST_CUT amounts far above it are cut off."""
    largest = [*sorted((max(0, amount) for amount in amounts), reverse=True), 0]
    cut = [n for n in range(1, min(MOST_CUT, len(largest) - 1) + 1) if largest[n - 1] > CUT_ABOVE * largest[n] > 0]
    return largest[max(cut, default=0)]


@dataclass(frozen=True)
class Scale:
    """The highest and lowest amount on the plot, in cents, and its height in pixels."""

    highest: int
    lowest: int
    height: int = HEIGHT

    def y(self, cents: int) -> float:
        """Return the position of an amount, in pixels from the top."""
        pixels = (self.height - TOP - BOTTOM) / max(1, self.highest - self.lowest)
        return round(TOP + (self.highest - cents) * pixels, 1)


def nice(cents: int) -> int:
    """Round up to a number of one or two digits and zeros, a little above the highest bar."""
    power = int("1".ljust(len(str(cents)), "0"))
    return next(power * tenths // 10 for tenths in _TENTHS if power * tenths >= cents * 10)


def _half(cents: int) -> int:
    """Return half of the highest amount; 0 if that is not a whole number of cents."""
    return cents // 2 if cents % 2 == 0 and cents > 1 else 0


def _segments(day: CostDay, scale: Scale, cut_from: int | None) -> list[Segment]:
    """Stack the day's amounts. `cut_from`: the amount that is scaled down to the plot's highest one."""
    up = down = 0
    found = []
    for column, cents in enumerate(day.cents):
        if cents > 0:
            start, up = up, up + cents
            low, high = (_scaled(each, cut_from, scale.highest) for each in (start, up))
        elif cents < 0:
            high, down = down, down + cents
            low = down
        else:
            continue
        top, bottom = scale.y(high), scale.y(low)
        found.append(Segment(column, top, round(bottom - top, 1)))
    return found


def _scaled(cents: int, cut_from: int | None, highest: int) -> int:
    return cents if cut_from is None else cents * highest // cut_from


def _short_money(cents: int, currency: str) -> str:
    return format_cents(cents, currency).removesuffix(".00")


def amount_label(cents: int, scale: Scale, currency: str) -> Label:
    y = scale.y(cents)
    return Label(0, round(y - 5 if cents > 0 else y + 13, 1), _short_money(cents, currency))


def _weeks(days: Sequence[CostDay], slot: float) -> list[Label]:
    """Label every seventh day below its bar. The last label ends where its bar ends, as the page may end there too."""
    gap = slot * (1 - BAR) / 2
    *first, last = [(n * slot, f"{cost.day.day} {cost.day:%b}") for n, cost in enumerate(days) if n % 7 == 0]
    return [
        *(Label(round(x + gap, 2), STACKED_HEIGHT - 6, text) for x, text in first),
        Label(round(last[0] + slot - gap, 2), STACKED_HEIGHT - 6, last[1], "end"),
    ]
