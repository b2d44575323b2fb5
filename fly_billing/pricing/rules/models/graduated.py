"""Graduated: each unit has the price of its own tier.

As in docs.stripe.com/products-prices/pricing-models#graduated-pricing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self

from fly_billing.money import EXACT
from fly_billing.pricing.rules.fields import check_size, per_data, read_number
from fly_billing.pricing.rules.models.step import PriceStep
from fly_billing.pricing.rules.models.tiers import Tier, check_tiers, range_label, with_lower_bounds


@dataclass(frozen=True)
class Graduated:
    """Tiers in rising order, the last one open. Raises ValueError if they are not.

    The tiers cover the whole month: a part of it starts in the tier in which the part before ended, and the part that
    enters a tier charges its flat fee.
    """

    NAME: ClassVar[str] = "graduated"
    FIELDS: ClassVar[frozenset[str]] = frozenset({"tiers", "per"})

    tiers: tuple[Tier, ...]
    per: Decimal = Decimal(1)

    def __post_init__(self) -> None:
        check_tiers(self.tiers, "graduated")
        check_size("per", self.per)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        return cls(Tier.list_from(data), read_number(data, "per", "1"))

    def to_data(self) -> dict[str, Any]:
        return {"tiers": [tier.to_data() for tier in self.tiers]} | per_data(self.per)

    def steps(
        self, quantity: Decimal, already_used: Decimal = Decimal(0), month_total: Decimal | None = None
    ) -> list[PriceStep]:
        """Return a step for each tier that the units reach, and one for each flat fee."""
        steps = []
        end = EXACT.add(already_used, quantity)
        for lower, tier in with_lower_bounds(self.tiers):
            start = max(lower, already_used)
            stop = end if tier.up_to is None else min(end, tier.up_to)
            if stop > start:
                units = EXACT.subtract(stop, start)
                steps.append(PriceStep.of(range_label(lower, tier.up_to), units, tier.unit_amount, self.per))
                steps += tier.fee(lower) if start == lower else []
        return steps

    def steps_at_zero(self) -> list[PriceStep]:
        """Return the flat fee of the first tier, because tiers start at 0."""
        return self.tiers[0].fee(Decimal(0))
