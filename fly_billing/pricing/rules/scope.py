"""Kinds of invoice items, and scopes, which select the items of a discount, commitment, credit or tax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fly_billing.pricing.rules.fields import did_you_mean, quoted, read_match, refuse_unknown

# The kinds of items, in the order in which an invoice shows them.
KINDS = (
    "usage", "subscription", "one_off", "adjustment", "discount", "minimum", "maximum", "credit", "tax", "rounding",
)  # fmt: skip


# The kinds of items that an organization bought. The others are discounts, top-ups, payments by credit and taxes.
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
    """Selects items of an invoice by their kind and, unless a field is empty, by the other fields.

    Attributes:
        match: Selects items whose price matches only these values. `{"region": ("ams",)}` does not select an item whose
            price is for ams and fra, or for all regions.
    """

    kinds: tuple[str, ...] = CHARGES
    products: tuple[str, ...] = ()
    price_keys: tuple[str, ...] = ()
    meter: str | None = None
    match: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def from_data(cls, data: Mapping[str, Any], kinds: tuple[str, ...] = CHARGES) -> Scope:
        """Read a scope from plain data; `kinds` is the default of its kinds. Raises ValueError."""
        refuse_unknown(data, frozenset(cls.__dataclass_fields__), "a scope")
        unknown = set(data.get("kinds", ())) - set(KINDS)
        if unknown:
            meant = "".join(did_you_mean(kind, KINDS) for kind in sorted(unknown))
            raise ValueError(f"kinds {quoted(sorted(unknown))} of a scope{meant}; known are {', '.join(KINDS)}")
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
