"""Places the bars, lines and labels of a plot of amounts: one bar per month, or per age. The template draws them.

Horizontal positions are in percent, vertical ones in pixels, as in `statements.page.daily_plot`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fly_billing.money import format_cents
from fly_billing.statements.page.daily_plot import BAR, HEIGHT, Label, Scale, amount_label, nice


@dataclass(frozen=True)
class AmountBar:
    """The bar of one amount; `x` and `width` are in percent, `y` and `height` in pixels."""

    x: float
    y: float
    width: float
    height: float
    tooltip: str


@dataclass(frozen=True)
class BarPlot:
    """A plot of amounts in one currency; vertical positions are in pixels.

    Attributes:
        name: What it shows; also the text for people who can't see it.
        axis: The line of zero.
        grid: The lines of the highest and the lowest amount.
    """

    name: str
    height: int
    bars: tuple[AmountBar, ...]
    axis: float
    grid: tuple[float, ...]
    labels: tuple[Label, ...]


def bar_plot(name: str, amounts: Sequence[tuple[str, int]], currency: str) -> BarPlot:
    """Place a bar for each amount.

    Args:
        amounts: (label, cents), from left to right.
    """
    cents = [amount for _, amount in amounts]
    scale = Scale(nice(max(0, *cents)), -nice(-min(0, *cents)))
    slot = 100 / len(amounts)
    bounds = [bound for bound in (scale.highest, scale.lowest) if bound]
    return BarPlot(
        name=name,
        height=HEIGHT,
        bars=tuple(_bar(label, amount, scale, n * slot, slot, currency) for n, (label, amount) in enumerate(amounts)),
        axis=scale.y(0),
        grid=tuple(scale.y(bound) for bound in bounds),
        labels=(
            *(amount_label(bound, scale, currency) for bound in bounds),
            *(Label(round((n + 0.5) * slot, 2), HEIGHT - 6, label, "middle") for n, (label, _) in enumerate(amounts)),
        ),
    )


def _bar(label: str, cents: int, scale: Scale, left: float, slot: float, currency: str) -> AmountBar:
    top, bottom = sorted((scale.y(cents), scale.y(0)))
    x, width = left + slot * (1 - BAR) / 2, slot * BAR
    tooltip = f"{label}: {format_cents(cents, currency)}"
    return AmountBar(round(x, 2), top, round(width, 2), round(bottom - top, 1), tooltip)
