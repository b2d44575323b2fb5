"""Percentage: a percentage of an amount of money. The quantity is that amount, in the price's currency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self

from fly_billing.pricing.rules.fields import as_text, check_amount, fee_data, read_number
from fly_billing.pricing.rules.models.step import PriceStep

HUNDRED = Decimal(100)


@dataclass(frozen=True)
class Percentage:
    """Charges `percent` of the quantity, and `flat_amount` once a month if there is usage: 1.5 % of 200.00 is 3.00."""

    NAME: ClassVar[str] = "percentage"
    FIELDS: ClassVar[frozenset[str]] = frozenset({"percent", "flat_amount"})

    percent: Decimal
    flat_amount: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        check_amount("percent", self.percent)
        check_amount("flat_amount", self.flat_amount)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        return cls(read_number(data, "percent"), read_number(data, "flat_amount", "0"))

    def to_data(self) -> dict[str, Any]:
        return {"percent": as_text(self.percent)} | fee_data(self.flat_amount)

    def steps(
        self, quantity: Decimal, already_used: Decimal = Decimal(0), month_total: Decimal | None = None
    ) -> list[PriceStep]:
        """Return the percentage and, in the first part of the month, the flat fee."""
        if not quantity:
            return []
        fee = [] if already_used else self.steps_at_zero()
        return [PriceStep.of("percent of all", quantity, self.percent, HUNDRED), *fee]

    def steps_at_zero(self) -> list[PriceStep]:
        return [PriceStep.fee("flat fee", self.flat_amount)] if self.flat_amount else []
