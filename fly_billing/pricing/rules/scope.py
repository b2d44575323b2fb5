"""Kinds of invoice items, and scopes: which items a discount, a credit or a tax is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fly_billing.pricing.rules.fields import read_match, refuse_unknown

# The kinds of items, in the order in which an invoice shows them.
KINDS = (
    "usage", "subscription", "one_off", "adjustment", "discount", "minimum", "maximum", "credit", "tax", "rounding",
)  # fmt: skip


# What an organization bought, as against what is given off, topped up, paid by credit or owed to the state.
CHARGES = ("usage", "subscription", "one_off")


class ScopedItem(Protocol):
    """The part of an invoice item that decides whether a scope covers it."""

    @property
    def kind(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def product(self) -> str: ...
    @property
    def price_key(self) -> str | None: ...
    @property
    def meter(self) -> str | None: ...
    @property
    def match(self) -> Mapping[str, Sequence[str]]: ...


@dataclass(frozen=True)
class Scope:
    """Which items something is about: those of its `kinds`. Any other empty field leaves nothing out.

    `match` restricts it to items whose price matches only values named here: `{"region": ("ams",)}` leaves out an item
    whose price holds in ams and fra, or in every region.
    """

    kinds: tuple[str, ...] = CHARGES
    products: tuple[str, ...] = ()
    price_keys: tuple[str, ...] = ()
    meter: str | None = None
    match: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def from_data(cls, data: Mapping[str, Any], kinds: tuple[str, ...] = CHARGES) -> Scope:
        """Read a scope from plain data; `kinds` is what it is about unless it says so. Raises ValueError."""
        refuse_unknown(data, frozenset(cls.__dataclass_fields__), "a scope")
        unknown = set(data.get("kinds", ())) - set(KINDS)
        if unknown:
            raise ValueError(f"kinds {sorted(unknown)} of a scope; known are {', '.join(KINDS)}")
        return cls(
            kinds=tuple(data.get("kinds", kinds)),
            products=tuple(data.get("products", ())),
            price_keys=tuple(data.get("price_keys", ())),
            meter=data.get("meter"),
            match=read_match(data),
        )

    def covers(self, item: ScopedItem) -> bool:
        return (
            item.kind in self.kinds
            and (not self.products or item.product in self.products)
            and (not self.price_keys or item.price_key in self.price_keys)
            and (self.meter is None or item.meter == self.meter)
            and all(self._is_within(item, name) for name in self.match)
        )

    def _is_within(self, item: ScopedItem, name: str) -> bool:
        priced = set(item.match.get(name, ()))
        return bool(priced) and priced <= set(self.match[name])
