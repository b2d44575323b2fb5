"""Package: units are sold in whole packages.

Works like Stripe's transform_quantity (docs.stripe.com/billing/subscriptions/usage-based/transform-quantities).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Self

from fly_billing.money import EXACT, grouped, plain
from fly_billing.pricing.rules.fields import as_text, check_amount, check_size, read_number, refuse_other_word
from fly_billing.pricing.rules.models.step import PriceStep
from fly_billing.pricing.rules.transformed_quantity import ROUNDINGS, whole_steps


@dataclass(frozen=True)
class Package:
    """Charges `unit_amount` for a package of `per` units. `round` decides if a started package counts: `up`, `down`.

    Packages are counted over the whole month: a part does not pay again for a package that an earlier part started.
    """

    NAME: ClassVar[str] = "package"
    FIELDS: ClassVar[frozenset[str]] = frozenset({"unit_amount", "per", "round"})

    unit_amount: Decimal
    per: Decimal
    round: str = "up"

    def __post_init__(self) -> None:
        check_amount("unit_amount", self.unit_amount)
        check_size("per", self.per)
        refuse_other_word("round", self.round, ROUNDINGS)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        return cls(read_number(data, "unit_amount"), read_number(data, "per"), data.get("round", "up"))

    def to_data(self) -> dict[str, Any]:
        return {"unit_amount": as_text(self.unit_amount), "per": as_text(self.per), "round": self.round}

    def steps(
        self, quantity: Decimal, already_used: Decimal = Decimal(0), month_total: Decimal | None = None
    ) -> list[PriceStep]:
        """Return one step: the number of packages, for all units."""
        if not quantity:
            return []
        begun_after = self._packages(EXACT.add(already_used, quantity))
        packages = EXACT.subtract(begun_after, self._packages(already_used))
        label = f"packages of {grouped(plain(self.per))}, rounded {self.round}"
        return [PriceStep.of(label, packages, self.unit_amount, units=quantity)]

    def steps_at_zero(self) -> list[PriceStep]:
        return []

    def _packages(self, quantity: Decimal) -> Decimal:
        return whole_steps(quantity, self.per, self.round)
