"""Volume: the tier that the month's total reaches prices all units.

As in docs.stripe.com/products-prices/pricing-models#volume-pricing. So one unit more may lower the total.
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
class Volume:
    """Tiers in rising order, the last one open. Raises ValueError if they are not.

    The units of the whole month choose the tier for each part of it. The first part charges the flat fee.
    """

    NAME: ClassVar[str] = "volume"
    FIELDS: ClassVar[frozenset[str]] = frozenset({"tiers", "per"})

    tiers: tuple[Tier, ...]
    per: Decimal = Decimal(1)

    def __post_init__(self) -> None:
        check_tiers(self.tiers, "volume")
        check_size("per", self.per)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        return cls(Tier.list_from(data), read_number(data, "per", "1"))

    def to_data(self) -> dict[str, Any]:
        return {"tiers": [tier.to_data() for tier in self.tiers]} | per_data(self.per)

    def steps(
        self, quantity: Decimal, already_used: Decimal = Decimal(0), month_total: Decimal | None = None
    ) -> list[PriceStep]:
        """Return one step for all units, and one for the tier's flat fee."""
        if not quantity:
            return []
        lower, tier = self._reached(EXACT.add(already_used, quantity) if month_total is None else month_total)
        label = f"all at {range_label(lower, tier.up_to)}"
        fee = [] if already_used else tier.fee(lower)
        return [PriceStep.of(label, quantity, tier.unit_amount, self.per), *fee]

    def steps_at_zero(self) -> list[PriceStep]:
        """Return the flat fee of the first tier, because tiers start at 0."""
        return self.tiers[0].fee(Decimal(0))

    def _reached(self, total: Decimal) -> tuple[Decimal, Tier]:
        return next(
            (lower, tier) for lower, tier in with_lower_bounds(self.tiers) if tier.up_to is None or total <= tier.up_to
        )
