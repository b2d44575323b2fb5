"""One line of the sum behind an amount: so much of the quantity at such a price."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from fly_billing.domain.money import exact_product, plain


@dataclass(frozen=True)
class PriceStep:
    """`quantity x unit_amount / per = amount`, with the label a person reads (`first 10,000`)."""

    label: str
    quantity: Decimal
    unit_amount: Decimal
    per: Decimal
    amount: Decimal

    @classmethod
    def of(cls, label: str, quantity: Decimal, unit_amount: Decimal, per: Decimal = Decimal(1)) -> PriceStep:
        return cls(label, quantity, unit_amount, per, exact_product(quantity, unit_amount, per))

    def as_data(self) -> dict[str, str]:
        """Return the step as JSON-ready text values: decimals stay exact."""
        numbers = {"quantity": self.quantity, "unit_amount": self.unit_amount, "per": self.per, "amount": self.amount}
        return {"label": self.label} | {name: plain(value) for name, value in numbers.items()}
