"""The interface of price models: frozen values that turn a quantity into steps, and read and write their own fields."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar, Protocol, Self

from fly_billing.pricing.rules.models.step import PriceStep


class PriceModel(Protocol):
    """A way to charge a quantity. `pricing.rules.rating` adds allowances, minimums and maximums.

    If a price changes inside a month, each version charges the usage of its time, a part of the month. Tiers, packages
    and flat fees cover the whole month, so each part gets the units of the parts before. Under one price, a month costs
    the same wherever it is split.
    """

    NAME: ClassVar[str]
    FIELDS: ClassVar[frozenset[str]]

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Read the model's own fields. Raises ValueError naming the field that is wrong."""
        ...

    def to_data(self) -> dict[str, Any]:
        """Return the model's own fields, JSON-ready, without those that have their default."""
        ...

    def steps(
        self, quantity: Decimal, already_used: Decimal = Decimal(0), month_total: Decimal | None = None
    ) -> list[PriceStep]:
        """Charge a part of a month. The steps' units add up to the quantity; a quantity of 0 has no steps.

        Args:
            quantity: The billable units of the part.
            already_used: The billable units of the parts before.
            month_total: The billable units of the month. None: this is the last part.
        """
        ...

    def steps_at_zero(self) -> list[PriceStep]:
        """Charge a month without billable units, if the price has `at_zero: item`."""
        ...
