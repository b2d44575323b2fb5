"""Flat: one amount a month, for any usage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self

from fly_billing.pricing.rules.fields import as_text, check_amount, read_number
from fly_billing.pricing.rules.models.step import PriceStep


@dataclass(frozen=True)
class Flat:
    """Charges `flat_amount` once a month: if there is usage, or always if the price has `at_zero: item`."""

    NAME: ClassVar[str] = "flat"
    FIELDS: ClassVar[frozenset[str]] = frozenset({"flat_amount"})

    flat_amount: Decimal

    def __post_init__(self) -> None:
        check_amount("flat_amount", self.flat_amount)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        return cls(read_number(data, "flat_amount"))

    def to_data(self) -> dict[str, Any]:
        return {"flat_amount": as_text(self.flat_amount)}

    def steps(
        self, quantity: Decimal, already_used: Decimal = Decimal(0), month_total: Decimal | None = None
    ) -> list[PriceStep]:
        """Return one step: the amount in the first part of the month, nothing in the later ones."""
        if not quantity:
            return []
        if already_used:
            return [PriceStep.of("already charged in this month", quantity, Decimal(0))]
        return [PriceStep.of("flat amount", Decimal(1), self.flat_amount, units=quantity)]

    def steps_at_zero(self) -> list[PriceStep]:
        return [PriceStep.fee("flat amount", self.flat_amount)]
