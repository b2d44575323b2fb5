"""Graduated percentage: a percentage of an amount of money, by tier. The quantity is that amount.

As in getlago.com/docs/guide/plans/charges/charge-models/graduated-percentage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar, Self

from fly_billing.pricing.rules.fields import as_text, check_amount, fee_data, read_number
from fly_billing.pricing.rules.models.graduated import Graduated
from fly_billing.pricing.rules.models.percentage import HUNDRED
from fly_billing.pricing.rules.models.step import PriceStep
from fly_billing.pricing.rules.models.tiers import Tier, bound_data, check_tiers, read_bound, read_tiers


@dataclass(frozen=True)
class PercentTier:
    """Charges `percent` of the amount up to and including `up_to` (None: all the rest).

    `flat_amount` is charged once a month if the tier is reached.
    """

    up_to: Decimal | None
    percent: Decimal
    flat_amount: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        check_amount("percent", self.percent)
        check_amount("flat_amount", self.flat_amount)

    @classmethod
    def list_from(cls, data: Mapping[str, Any]) -> tuple[Self, ...]:
        return read_tiers(data, frozenset({"up_to", "percent", "flat_amount"}), cls._from_data)

    @classmethod
    def _from_data(cls, tier: Mapping[str, Any]) -> Self:
        return cls(read_bound(tier), read_number(tier, "percent"), read_number(tier, "flat_amount", "0"))

    def to_data(self) -> dict[str, str | None]:
        return bound_data(self.up_to) | {"percent": as_text(self.percent)} | fee_data(self.flat_amount)


@dataclass(frozen=True)
class GraduatedPercentage:
    """Tiers in rising order, the last one open, for the whole month. Raises ValueError if they are not."""

    NAME: ClassVar[str] = "graduated_percentage"
    FIELDS: ClassVar[frozenset[str]] = frozenset({"tiers"})

    tiers: tuple[PercentTier, ...]

    def __post_init__(self) -> None:
        check_tiers(self.tiers, "graduated_percentage")

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        return cls(PercentTier.list_from(data))

    def to_data(self) -> dict[str, Any]:
        return {"tiers": [tier.to_data() for tier in self.tiers]}

    def steps(
        self, quantity: Decimal, already_used: Decimal = Decimal(0), month_total: Decimal | None = None
    ) -> list[PriceStep]:
        """Return a step for each tier that the amount reaches (`500 x 1 per 100`), and one for each flat fee."""
        return self._per_hundred.steps(quantity, already_used)

    def steps_at_zero(self) -> list[PriceStep]:
        """Return the flat fee of the first tier, because tiers start at 0."""
        return self._per_hundred.steps_at_zero()

    @cached_property
    def _per_hundred(self) -> Graduated:
        return Graduated(tuple(Tier(tier.up_to, tier.percent, tier.flat_amount) for tier in self.tiers), HUNDRED)
