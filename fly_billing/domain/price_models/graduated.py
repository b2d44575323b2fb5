"""Graduated: each unit costs what its own tier says.

As in docs.stripe.com/products-prices/pricing-models#graduated-pricing.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from fly_billing.domain.money import EXACT, plain
from fly_billing.domain.price_models.step import PriceStep


@dataclass(frozen=True)
class Tier:
    """Units up to and including `up_to` (None: all the rest) cost `unit_amount` for every `per` of them."""

    up_to: Decimal | None
    unit_amount: Decimal


@dataclass(frozen=True)
class Graduated:
    """Tiers in rising order, the last one open. Raises ValueError where they are not."""

    tiers: tuple[Tier, ...]
    per: Decimal = Decimal(1)

    def __post_init__(self) -> None:
        bounds = [tier.up_to for tier in self.tiers]
        closed = [bound for bound in bounds[:-1] if bound is not None]
        if not bounds or bounds[-1] is not None or len(closed) != len(bounds) - 1:
            raise ValueError("graduated tiers need an up_to each, and none on the last")
        if any(low >= high for low, high in zip([Decimal(0), *closed], closed, strict=False)):
            raise ValueError("graduated tiers must rise from above 0")

    def steps(self, quantity: Decimal) -> list[PriceStep]:
        """Return one step per tier that the quantity reaches; zero usage reaches none."""
        steps, lower = [], Decimal(0)
        for tier in self.tiers:
            upper = quantity if tier.up_to is None else min(quantity, tier.up_to)
            if upper > lower:
                label = f"above {plain(lower)}" if tier.up_to is None else f"{plain(lower)} to {plain(tier.up_to)}"
                steps.append(PriceStep.of(label, EXACT.subtract(upper, lower), tier.unit_amount, self.per))
                lower = upper
        return steps
