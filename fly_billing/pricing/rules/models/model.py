"""What every price model is: a frozen value that turns a quantity into steps, and reads and writes itself."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar, Protocol, Self

from fly_billing.pricing.rules.models.step import PriceStep


class PriceModel(Protocol):
    """One way to charge. The models know nothing of allowances, minimums or months: `pricing.rules.rating` does.

    A month may have parts: where a price changes inside it, each version charges the usage of its time. Tiers,
    packages and flat fees nevertheless belong to the whole month. So each model is told what the parts before it used.
    Split at will, a month costs the same under one price.
    """

    NAME: ClassVar[str]
    FIELDS: ClassVar[frozenset[str]]

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Read the model's own fields. Raises ValueError naming the field that is wrong."""
        ...

    def to_data(self) -> dict[str, Any]:
        """Return the model's own fields, JSON-ready, without those that stand at their default."""
        ...

    def steps(
        self, quantity: Decimal, already_used: Decimal = Decimal(0), month_total: Decimal | None = None
    ) -> list[PriceStep]:
        """Charge `quantity` billable units, of which earlier parts of the month had `already_used`.

        `month_total` are the month's billable units over all its parts (None: nothing follows). The steps' units add up
        to the quantity. A quantity of 0 has no steps.
        """
        ...

    def steps_at_zero(self) -> list[PriceStep]:
        """Charge a month without any billable unit, under a price that says so (`at_zero: item`)."""
        ...
