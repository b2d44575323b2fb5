"""A person with a calculator: recalculates a printed explanation from the printed numbers alone.

It uses fractions only, and none of this project's arithmetic. Not here: expected amounts.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from fractions import Fraction

from rich.console import Group

from fly_billing.cli.explain import explanation_parts
from fly_billing.cli.terminal import Terminal
from fly_billing.statements.rules.explanation import Explanation

NUMBER = r"-?[\d,]+(?:\.\d+)?"
PRODUCT = re.compile(rf"({NUMBER}) x ({NUMBER})(?: / ({NUMBER}))? = +({NUMBER}) *$")
PLAIN = re.compile(rf" ({NUMBER}) *$")
TOTAL = re.compile(rf"^ +({NUMBER})(?: .*)?$")
# The tolerance for a division that does not end: half a unit of the 20th decimal place.
ROUNDED = Fraction(1, 2 * 10**20)


@dataclass(frozen=True)
class Redone:
    """A printed calculation that gave the same total when it was repeated."""

    title: str
    total: Fraction
    lines: int


def printed(explanation: Explanation, width: int = 400) -> str:
    """Print the calculations of an explanation as `fly-billing explain` does, with room for any number."""
    out = io.StringIO()
    Terminal(file=out, width=width).print(Group(*explanation_parts(explanation, None)))
    return out.getvalue()


def redo(text: str) -> dict[str, Redone]:
    """Recalculate every printed calculation; return them by title. Fails if a line or a total is wrong."""
    redone: dict[str, Redone] = {}
    title, amounts, is_total_next = "", list[Fraction](), False
    for line in text.splitlines():
        if line.strip() and not line.startswith(" "):
            title, amounts = line.strip(), []
        elif set(line.strip()) == {"─"}:
            is_total_next = True
        elif is_total_next:
            total = number(found(TOTAL, line)[1])
            assert sum(amounts) == total, f"{title}: {amounts} do not add up to {total}"
            redone[title], is_total_next = Redone(title, total, len(amounts)), False
        elif title not in ("", "Rounding") and (product := PRODUCT.search(line)):
            quantity, unit_amount, per, amount = (number(factor or "1") for factor in product.groups())
            assert abs(quantity * unit_amount / per - amount) <= ROUNDED, line
            amounts.append(amount)
        elif title not in ("", "Rounding") and (alone := PLAIN.search(line)):
            amounts.append(number(alone[1]))
    return redone


def number(text: str) -> Fraction:
    return Fraction(text.replace(",", ""))


def found(pattern: re.Pattern[str], line: str) -> re.Match[str]:
    match = pattern.search(line)
    assert match, f"no number in {line!r}"
    return match
