"""Per unit: every unit costs the same."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from fly_billing.domain.price_models.step import PriceStep


@dataclass(frozen=True)
class PerUnit:
    """`unit_amount` buys `per` units, linearly: 1.94 per 2,592,000 seconds charges one second 1.94 / 2,592,000."""

    unit_amount: Decimal
    per: Decimal = Decimal(1)

    def steps(self, quantity: Decimal) -> list[PriceStep]:
        """Return one step; none where nothing was used (or all of it was free)."""
        return [PriceStep.of("all", quantity, self.unit_amount, self.per)] if quantity else []
