"""Per unit: every unit costs the same.

As in docs.stripe.com/products-prices/pricing-models#usage-based-pricing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self

from fly_billing.pricing.rules.fields import as_text, check_amount, check_size, per_data, read_number
from fly_billing.pricing.rules.models.step import PriceStep


@dataclass(frozen=True)
class PerUnit:
    """Charges `unit_amount` for `per` units, linearly: at 1.94 per 2,592,000 seconds, a second is 1.94 / 2,592,000."""

    NAME: ClassVar[str] = "per_unit"
    FIELDS: ClassVar[frozenset[str]] = frozenset({"unit_amount", "per"})

    unit_amount: Decimal
    per: Decimal = Decimal(1)

    def __post_init__(self) -> None:
        check_amount("unit_amount", self.unit_amount)
        check_size("per", self.per)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        return cls(read_number(data, "unit_amount"), read_number(data, "per", "1"))

    def to_data(self) -> dict[str, Any]:
        return {"unit_amount": as_text(self.unit_amount)} | per_data(self.per)

    def steps(
        self, quantity: Decimal, already_used: Decimal = Decimal(0), month_total: Decimal | None = None
    ) -> list[PriceStep]:
        """Return one step; none if there are no billable units."""
        return [PriceStep.of("all", quantity, self.unit_amount, self.per)] if quantity else []

    def steps_at_zero(self) -> list[PriceStep]:
        return []
