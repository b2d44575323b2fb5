"""Tiers, for all models that have them. A tier includes its upper bound, as with Stripe's `up_to`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any, Protocol, Self, TypeVar

from fly_billing.money import plain
from fly_billing.pricing.rules.fields import (
    as_text,
    bounded_number,
    check_amount,
    fee_data,
    read_number,
    refuse_unknown,
)
from fly_billing.pricing.rules.models.step import PriceStep

AnyTier = TypeVar("AnyTier")


class Bounded(Protocol):
    """A tier of any model; `up_to` None: all the rest."""

    @property
    def up_to(self) -> Decimal | None: ...


@dataclass(frozen=True)
class Tier:
    """Charges `unit_amount` for every `per` units up to and including `up_to` (None: all the rest).

    `flat_amount` is charged once a month if the tier is reached.
    """

    up_to: Decimal | None
    unit_amount: Decimal
    flat_amount: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        check_amount("unit_amount", self.unit_amount)
        check_amount("flat_amount", self.flat_amount)

    @classmethod
    def list_from(cls, data: Mapping[str, Any]) -> tuple[Self, ...]:
        """Read the field `tiers`. A tier with a flat amount needs no unit amount."""
        return read_tiers(data, frozenset({"up_to", "unit_amount", "flat_amount"}), cls._from_data)

    @classmethod
    def _from_data(cls, tier: Mapping[str, Any]) -> Self:
        return cls(
            read_bound(tier),
            read_number(tier, "unit_amount", "0" if "flat_amount" in tier else None),
            read_number(tier, "flat_amount", "0"),
        )

    def to_data(self) -> dict[str, str | None]:
        return bound_data(self.up_to) | {"unit_amount": as_text(self.unit_amount)} | fee_data(self.flat_amount)

    def fee(self, lower: Decimal) -> list[PriceStep]:
        """Return the step of the flat fee, if the tier has one. `lower` is the bound of the tier before."""
        label = f"flat fee of {range_label(lower, self.up_to)}"
        return [PriceStep.fee(label, self.flat_amount)] if self.flat_amount else []


def check_tiers(tiers: Sequence[Bounded], what: str) -> None:
    """Refuse tiers that do not rise, or whose last one is not the only open one. `what` names them."""
    bounds = [tier.up_to for tier in tiers]
    closed = [bound for bound in bounds[:-1] if bound is not None]
    if not bounds or bounds[-1] is not None or len(closed) != len(bounds) - 1:
        raise ValueError(f"{what} tiers need an up_to each, and none on the last")
    if any(low >= high for low, high in pairwise([Decimal(0), *closed])):
        raise ValueError(f"{what} tiers must rise from above 0")


def with_lower_bounds(tiers: Sequence[Tier]) -> Iterator[tuple[Decimal, Tier]]:
    """Yield each tier with its lower bound, exclusive."""
    lower = Decimal(0)
    for tier in tiers:
        yield lower, tier
        lower = lower if tier.up_to is None else tier.up_to


def range_label(lower: Decimal, up_to: Decimal | None) -> str:
    return f"above {plain(lower)}" if up_to is None else f"{plain(lower)} to {plain(up_to)}"


def read_tiers(
    data: Mapping[str, Any], known: frozenset[str], read: Callable[[Mapping[str, Any]], AnyTier]
) -> tuple[AnyTier, ...]:
    """Read each tier of the field `tiers`, a mapping of `known` fields.

    Raises ValueError that names the problem of every wrong tier.
    """
    found: list[AnyTier] = []
    wrong: dict[int, str] = {}
    for number, tier in enumerate(_tier_list(data), start=1):
        try:
            refuse_unknown(tier, known, "a tier")
            found.append(read(tier))
        except ValueError as problem:
            wrong[number] = str(problem)
    if len(wrong) == 1:
        raise ValueError(*wrong.values())
    if wrong:
        raise ValueError("; ".join(f"tiers {number}: {problem}" for number, problem in wrong.items()))
    return tuple(found)


def _tier_list(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    tiers = data.get("tiers")
    if tiers is None:
        raise ValueError("tiers is missing")
    if not isinstance(tiers, list | tuple) or not all(isinstance(tier, Mapping) for tier in tiers):
        raise ValueError(f"tiers {tiers!r} is not a list of tiers")
    return list(tiers)


def read_bound(tier: Mapping[str, Any]) -> Decimal | None:
    up_to = tier.get("up_to")
    return None if up_to is None else bounded_number("up_to", up_to)


def bound_data(up_to: Decimal | None) -> dict[str, str | None]:
    return {"up_to": None if up_to is None else as_text(up_to)}
