"""One step of the calculation of an amount: a quantity times a unit amount."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from fly_billing.money import exact_product, plain


@dataclass(frozen=True)
class PriceStep:
    """A step `quantity x unit_amount / per = amount`. An item's amount is the sum of its steps.

    Attributes:
        label: For people: `0 to 10`, `packages of 1,000`.
        units: The part of the usage that the step covers. Usually this is its quantity, but 3 packages of 1,000 may
            cover 2,100 requests, and a flat fee covers none. An item's steps cover its billable quantity.
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
        """Make a step that covers its quantity, or `units` if that is another number."""
        amount = exact_product(quantity, unit_amount, per)
        return cls(label, quantity, unit_amount, per, amount, quantity if units is None else units)

    @classmethod
    def fee(cls, label: str, amount: Decimal) -> PriceStep:
        """Make a step for an amount that does not depend on units: `1 x amount`, which covers no units."""
        return cls.of(label, Decimal(1), amount, units=Decimal(0))

    def as_data(self) -> dict[str, str]:
        """Return the step as JSON-ready texts, so that decimals stay exact; `units` only if it is not the quantity."""
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
