"""Prices and the price book: which price holds for a usage, when. Keeps out: what a customer used.

The plain-dict shape of a price (`Price.from_data`) is the shape of the YAML files in `fly_billing/price_book`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from itertools import product as combinations
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from fly_billing.domain.errors import BillingError, not_computable
from fly_billing.domain.price_models import Graduated, PerUnit, PriceModel, Tier

PRICES = uuid5(NAMESPACE_URL, "fly_billing/prices")


@dataclass(frozen=True)
class Price:
    """One version of one price: in force for usage in `[effective_from, effective_until)`.

    `meter` is None for a recurring fee. `match` restricts it to usage whose dimensions have one of the named values.
    `free_allowance` units per organization and month cost nothing.
    """

    book: str
    key: str
    meter: str | None
    product: str
    description: str
    unit: str
    currency: str
    model: PriceModel
    effective_from: datetime
    effective_until: datetime | None = None
    free_allowance: Decimal = Decimal(0)
    match: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def id(self) -> UUID:
        return uuid5(PRICES, f"{self.book}|{self.key}|{self.effective_from.isoformat()}")

    def is_in_force(self, moment: datetime) -> bool:
        return self.effective_from <= moment and (self.effective_until is None or moment < self.effective_until)

    @classmethod
    def from_data(cls, book: str, data: Mapping[str, Any]) -> Price:
        """Read one price from plain data. Raises ValueError naming the price and the field that is wrong."""
        key = str(data.get("key", "?"))
        unknown = set(data) - _FIELDS
        if unknown:
            raise ValueError(f"price {book}/{key}: unknown fields {sorted(unknown)}; known are {sorted(_FIELDS)}")
        try:
            return cls._read(book, data)
        except (KeyError, TypeError, ValueError, InvalidOperation) as problem:
            raise ValueError(f"price {book}/{key}: {problem!r}") from problem

    @classmethod
    def _read(cls, book: str, data: Mapping[str, Any]) -> Price:
        until = data.get("effective_until")
        return cls(
            book=book,
            key=data["key"],
            meter=data.get("meter"),
            product=data["product"],
            description=data["description"],
            unit=data["unit"],
            currency=data.get("currency", "USD"),
            model=_read_model(data),
            effective_from=_read_time(data["effective_from"]),
            effective_until=None if until is None else _read_time(until),
            free_allowance=_read_decimal(data.get("free_allowance", "0"), "free_allowance"),
            match={name: tuple(_as_list(values)) for name, values in (data.get("match") or {}).items()},
        )


_FIELDS = frozenset(
    "key meter product description unit currency model unit_amount per tiers free_allowance match"
    " effective_from effective_until".split()
)


def _read_model(data: Mapping[str, Any]) -> PriceModel:
    per = _read_decimal(data.get("per", "1"), "per")
    if per <= 0:
        raise ValueError("per must be above 0")
    name = data.get("model", "per_unit")
    if name == "per_unit":
        return PerUnit(_read_decimal(data["unit_amount"], "unit_amount"), per)
    if name == "graduated":
        return Graduated(tuple(_read_tier(tier) for tier in data["tiers"]), per)
    raise ValueError(f"model {name!r}; known are per_unit, graduated")


def _read_tier(tier: Mapping[str, Any]) -> Tier:
    up_to = tier.get("up_to")
    bound = None if up_to is None else _read_decimal(up_to, "up_to")
    return Tier(bound, _read_decimal(tier["unit_amount"], "unit_amount"))


def _read_decimal(value: Any, name: str) -> Decimal:
    if isinstance(value, float):
        raise ValueError(f"{name} {value!r} is a float: write it in quotes, it must stay exact")
    number = Decimal(value)
    if not number.is_finite() or number < 0:
        raise ValueError(f"{name} {value!r} must be a finite number of at least 0")
    return number


def _read_time(value: Any) -> datetime:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"time {value} has no offset")
        return value.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise ValueError(f"not a date: {value!r}")


def _as_list(values: Any) -> list[str]:
    return [values] if isinstance(values, str) else [str(value) for value in values]


class PriceBook:
    """Finds the one price version for a usage. Built once per run; a look-up is a few dictionary reads."""

    def __init__(self, prices: Iterable[Price]) -> None:
        self._by_key: dict[str, list[Price]] = {}
        # meter -> the moments at which one of its prices begins or ends, in order
        self._edges: dict[str, list[datetime]] = {}
        # meter -> names of the matched dimensions -> their values -> versions
        self._usage: dict[str, dict[tuple[str, ...], dict[tuple[str, ...], list[Price]]]] = {}
        for price in prices:
            self._by_key.setdefault(price.key, []).append(price)
            if price.meter is not None:
                self._index(price, price.meter)
                for edge in filter(None, (price.effective_from, price.effective_until)):
                    insort(self._edges.setdefault(price.meter, []), edge)

    def _index(self, price: Price, meter: str) -> None:
        names = tuple(sorted(price.match))
        table = self._usage.setdefault(meter, {}).setdefault(names, {})
        for values in combinations(*(price.match[name] for name in names)):
            table.setdefault(values, []).append(price)

    def for_usage(self, meter: str, dimensions: Mapping[str, str], moment: datetime) -> Price:
        """Return the price in force at `moment`; the one that matches most dimensions wins.

        Raises BillingError `unpriced_usage` where there is none and `ambiguous_price` where two fit equally well.
        """
        tables = self._usage.get(meter, {})
        for count in sorted({len(names) for names in tables}, reverse=True):
            found = [
                price
                for names, table in tables.items()
                if len(names) == count
                for price in table.get(tuple(dimensions.get(name, "") for name in names), [])
                if price.is_in_force(moment)
            ]
            if found:
                return _only(found, meter, dimensions, moment)
        raise not_computable(
            "unpriced_usage",
            f"no price in force at {moment:%Y-%m-%d %H:%M}Z for meter {meter!r} with {dict(dimensions)}:"
            " add it to the price book (a new effective-dated version), load it, and bill the month again",
        )

    def changes_inside(self, meter: str, dimensions: Mapping[str, str], start: datetime, end: datetime) -> bool:
        """Tell whether the price of this usage changes, begins or ends after `start` and before `end`."""
        edges = self._edges.get(meter, [])
        moments = [start, *edges[bisect_right(edges, start) : bisect_left(edges, end)]]
        return len(moments) > 1 and len({self._version(meter, dimensions, moment) for moment in moments}) > 1

    def _version(self, meter: str, dimensions: Mapping[str, str], moment: datetime) -> UUID | str:
        try:
            return self.for_usage(meter, dimensions, moment).id
        except BillingError as error:
            return error.code

    def for_key(self, key: str, moment: datetime) -> Price:
        """Return the version of the price `key` in force at `moment`. Raises BillingError `unpriced_subscription`."""
        found = [price for price in self._by_key.get(key, []) if price.is_in_force(moment)]
        if not found:
            raise not_computable(
                "unpriced_subscription", f"no price {key!r} in force at {moment:%Y-%m-%d}: add it to the price book"
            )
        return max(found, key=lambda price: price.effective_from)


def _only(found: list[Price], meter: str, dimensions: Mapping[str, str], moment: datetime) -> Price:
    """A later version supersedes an earlier one of the same key; two keys that fit equally well are a mistake."""
    keys = sorted({price.key for price in found})
    if len(keys) > 1:
        raise not_computable(
            "ambiguous_price",
            f"prices {keys} all fit meter {meter!r} with {dict(dimensions)} at {moment:%Y-%m-%d}:"
            " make one of them more specific",
        )
    return max(found, key=lambda price: price.effective_from)
