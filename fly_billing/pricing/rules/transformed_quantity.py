"""Converts quantities to whole steps of other units before they are charged: 301 seconds are two five-minute steps.

A price transforms the month's quantity (`TransformedQuantity`), a meter rounds each event (`EventRounding`). This works
like Stripe's transform_quantity (docs.stripe.com/billing/subscriptions/usage-based/transform-quantities), with a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fly_billing.money import EXACT
from fly_billing.pricing.rules.fields import (
    as_text,
    check_size,
    has_more_decimals,
    read_number,
    refuse_other_word,
    refuse_unknown,
)

ROUNDINGS = ("up", "down")


@dataclass(frozen=True)
class TransformedQuantity:
    """Divides a quantity by `divide_by` and rounds it, `up` or `down`, to a multiple of `step` of the new units.

    Raises ValueError naming the field that is wrong.
    """

    divide_by: Decimal = Decimal(1)
    step: Decimal = Decimal(1)
    round: str = "up"

    def __post_init__(self) -> None:
        check_size("transform_quantity: divide_by", self.divide_by)
        check_size("transform_quantity: step", self.step)
        refuse_other_word("transform_quantity: round", self.round, ROUNDINGS)

    @classmethod
    def from_data(cls, data: Any) -> TransformedQuantity:
        """Read the fields from plain data. Raises ValueError naming the problem."""
        if not isinstance(data, Mapping) or not data:
            raise ValueError(f"transform_quantity {data!r} needs fields: divide_by, step, round")
        refuse_unknown(data, frozenset({"divide_by", "step", "round"}), "transform_quantity")
        return cls(read_number(data, "divide_by", "1"), read_number(data, "step", "1"), data.get("round", "up"))

    def to_data(self) -> dict[str, str]:
        """Return JSON-ready data for `from_data`."""
        return {"divide_by": as_text(self.divide_by), "step": as_text(self.step), "round": self.round}

    def apply(self, quantity: Decimal) -> Decimal:
        """Return the quantity, at least 0, in whole steps of the new units. Exact."""
        steps = whole_steps(quantity, EXACT.multiply(self.divide_by, self.step), self.round)
        return EXACT.multiply(steps, self.step)


@dataclass(frozen=True)
class EventRounding:
    """Rounds the quantity of each event, `up` or `down`, to a multiple of `step`, before aggregation.

    In steps of 6, two calls of 61 seconds are 132. `step` is below 10^12 with at most 15 decimals, as quantities are.
    Raises ValueError naming the field that is wrong.
    """

    step: Decimal
    round: str = "up"

    def __post_init__(self) -> None:
        check_size("round_each_event: step", self.step)
        if has_more_decimals(self.step, 15) or self.step >= 10**12:
            raise ValueError(f"round_each_event: step {self.step} must be below 10^12, with at most 15 decimals")
        refuse_other_word("round_each_event: round", self.round, ROUNDINGS)

    @classmethod
    def from_data(cls, data: Any) -> EventRounding:
        """Read the fields from plain data. Raises ValueError naming the problem."""
        if not isinstance(data, Mapping) or "step" not in data:
            raise ValueError(f"round_each_event {data!r} needs a step, such as {{step: 6, round: up}}")
        refuse_unknown(data, frozenset({"step", "round"}), "round_each_event")
        return cls(read_number(data, "step"), data.get("round", "up"))

    def apply(self, quantity: Decimal) -> Decimal:
        """Return the quantity, at least 0, in whole steps. Exact."""
        return EXACT.multiply(whole_steps(quantity, self.step, self.round), self.step)


def whole_steps(quantity: Decimal, size: Decimal, rounding: str) -> Decimal:
    """Return the number of steps of this size in the quantity. `up`: a started step counts. `down`: it does not."""
    whole, begun = EXACT.divmod(quantity, size)
    return EXACT.add(whole, Decimal(1)) if begun and rounding == "up" else whole
