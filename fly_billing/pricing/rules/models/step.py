"""One line of the sum behind an amount: so much of something at such a price."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from fly_billing.money import exact_product, plain


@dataclass(frozen=True)
class PriceStep:
    """`quantity x unit_amount / per = amount`, with the label a person reads (`0 to 10`, `packages of 1,000`).

    `units` is how much of the usage the step accounts for. Mostly that is its quantity; but 3 packages of 1,000 may
    account for 2,100 requests, and a flat fee accounts for none. The units of an item's steps add up to its billable
    quantity, their amounts to its amount.
    """

    label: str
    quantity: Decimal
    unit_amount: Decimal
    per: Decimal
    amount: Decimal
    units: Decimal

    @classmethod
    def of(
        cls,
        label: str,
        quantity: Decimal,
        unit_amount: Decimal,
        per: Decimal = Decimal(1),
        units: Decimal | None = None,
    ) -> PriceStep:
        """Make a step that accounts for its quantity, or for `units` where that is another number."""
        amount = exact_product(quantity, unit_amount, per)
        return cls(label, quantity, unit_amount, per, amount, quantity if units is None else units)

    @classmethod
    def fee(cls, label: str, amount: Decimal) -> PriceStep:
        """Make a step for an amount that is owed whatever the number of units: `1 x amount`, for no units."""
        return cls.of(label, Decimal(1), amount, units=Decimal(0))

    def as_data(self) -> dict[str, str]:
        """Return the step as JSON-ready text values: decimals stay exact. `units` is there where it says more."""
        data = {
            "label": self.label,
            "quantity": plain(self.quantity),
            "unit_amount": plain(self.unit_amount),
            "per": plain(self.per),
            "amount": plain(self.amount),
        }
        if self.units != self.quantity:
            data["units"] = plain(self.units)
        return data
