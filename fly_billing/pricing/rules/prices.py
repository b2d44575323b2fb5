"""Prices and the price book: which price holds for a usage, when. Keeps out: what a customer used, and rating it
(`pricing.rules.rating`).

The plain-dict shape of a price (`Price.from_data`, `Price.to_data`) is the shape of the YAML files in
`pricing/books`, and public: docs/price_books.md describes every field.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from itertools import product as combinations
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, UUID, uuid5

from fly_billing.errors import BillingError, not_computable
from fly_billing.pricing.rules.fields import (
    as_text,
    check_amount,
    exact_number,
    read_match,
    read_number,
    read_text,
    read_time,
    refuse_unknown,
)
from fly_billing.pricing.rules.intervals import INTERVALS
from fly_billing.pricing.rules.models import MODELS, PriceModel
from fly_billing.pricing.rules.transformed_quantity import TransformedQuantity

if TYPE_CHECKING:
    from fly_billing.pricing.rules.negotiated_prices import Negotiated, NegotiatedPrice

MOMENT = timedelta(microseconds=1)
PRICES = uuid5(NAMESPACE_URL, "fly_billing/prices")
# What a month without billable units is charged: nothing at all, or what the model charges for 0 units (a flat amount,
# the first tier's flat fee) and the minimum.
AT_ZERO = ("nothing", "item")
MONTH = "month"


@dataclass(frozen=True)
class Price:
    """One version of one price: in force for usage in `[effective_from, effective_until)`.

    `meter` is None for a recurring fee, whose quantity is what was subscribed. `match` restricts a price to usage whose
    dimensions have one of the named values. `free_allowance` units per organization and month (of a fee: per
    subscription) cost nothing. `allowance_with` is the key of a fee that includes the allowance: it is granted for each
    subscribed unit, for the part of the month that the subscription ran. `minimum` and `maximum` bound what the price
    charges in a month, before any discount; a fee's are prorated with it. `transform_quantity` comes before all of
    these: allowance, tiers and `per` are in its units. `interval` (`intervals.INTERVALS`) is the time a fee is for.
    Raises ValueError naming the field that is wrong, that a fee can't have (`match`, `allowance_with`,
    `transform_quantity`), or that only a fee has (`interval`).
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
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    at_zero: str = "nothing"
    allowance_with: str | None = None
    transform_quantity: TransformedQuantity | None = None
    interval: str = MONTH

    def __post_init__(self) -> None:
        exact_number("free_allowance", self.free_allowance)
        for name, amount in (("minimum", self.minimum), ("maximum", self.maximum)):
            if amount is not None:
                check_amount(name, amount)
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        if self.allowance_with is not None and not self.free_allowance:
            raise ValueError(f"allowance_with {self.allowance_with!r} without a free_allowance")
        if self.at_zero not in AT_ZERO:
            raise ValueError(f"at_zero {self.at_zero!r}; known are {', '.join(AT_ZERO)}")
        for name in ("match", "allowance_with", "transform_quantity"):
            if self.meter is None and getattr(self, name):
                raise ValueError(f"{name} is for usage, and a price without a meter is a fee: leave it out")
        if self.interval not in INTERVALS:
            raise ValueError(f"interval {self.interval!r}; known are {', '.join(INTERVALS)}")
        if self.meter is not None and self.interval != MONTH:
            raise ValueError("interval is for fees, and usage is charged by the month: leave it out")
        if not re.fullmatch("[A-Z]{3}", self.currency):
            raise ValueError(f"currency {self.currency!r} is no ISO 4217 code")
        if self.effective_until is not None and self.effective_until <= self.effective_from:
            raise ValueError(f"effective_until {self.effective_until} is not after effective_from")

    @cached_property
    def id(self) -> UUID:
        return uuid5(PRICES, f"{self.book}|{self.key}|{self.effective_from.isoformat()}")

    @property
    def list_price(self) -> Price:
        """The version of the list price that it is, or that it was negotiated over."""
        return self

    @property
    def negotiated(self) -> NegotiatedPrice | None:
        """The negotiated price that it comes from; None: it is a list price."""
        return None

    def is_in_force(self, moment: datetime) -> bool:
        return self.effective_from <= moment and (self.effective_until is None or moment < self.effective_until)

    @classmethod
    def from_data(cls, book: str, data: Mapping[str, Any]) -> Price:
        """Read one price from plain data. Raises ValueError naming the price and the field that is wrong."""
        try:
            return cls._read(book, data)
        except ValueError as problem:
            raise ValueError(f"price {book}/{data.get('key', '?')}: {problem}") from problem

    @classmethod
    def _read(cls, book: str, data: Mapping[str, Any]) -> Price:
        name = data.get("model", "per_unit")
        if not isinstance(name, str) or name not in MODELS:
            raise ValueError(f"model {name!r}; known are {', '.join(MODELS)}")
        model = MODELS[name]
        refuse_unknown(data, _FIELDS | model.FIELDS, f"a {name} price")
        return cls(
            book=book,
            key=read_text(data, "key"),
            meter=None if data.get("meter") is None else read_text(data, "meter"),
            product=read_text(data, "product"),
            description=read_text(data, "description"),
            unit=read_text(data, "unit"),
            currency=read_text({"currency": "USD"} | dict(data), "currency"),
            model=model.from_data(data),
            effective_from=read_time(data, "effective_from"),
            effective_until=None if data.get("effective_until") is None else read_time(data, "effective_until"),
            free_allowance=read_number(data, "free_allowance", "0"),
            match=read_match(data),
            minimum=None if data.get("minimum") is None else read_number(data, "minimum"),
            maximum=None if data.get("maximum") is None else read_number(data, "maximum"),
            at_zero=data.get("at_zero", "nothing"),
            allowance_with=None if data.get("allowance_with") is None else read_text(data, "allowance_with"),
            transform_quantity=None
            if data.get("transform_quantity") is None
            else TransformedQuantity.from_data(data["transform_quantity"]),
            interval=read_text({"interval": MONTH} | dict(data), "interval"),
        )

    def to_data(self) -> dict[str, Any]:
        """Return the price as JSON-ready data that `from_data` reads back as the same price. The book is not in it."""
        optional = {
            "meter": self.meter,
            "effective_until": None if self.effective_until is None else self.effective_until.isoformat(),
            "free_allowance": as_text(self.free_allowance) if self.free_allowance else None,
            "match": {name: list(values) for name, values in self.match.items()} or None,
            "minimum": None if self.minimum is None else as_text(self.minimum),
            "maximum": None if self.maximum is None else as_text(self.maximum),
            "at_zero": self.at_zero if self.at_zero != "nothing" else None,
            "allowance_with": self.allowance_with,
            "transform_quantity": self.transform_quantity.to_data() if self.transform_quantity else None,
            "interval": self.interval if self.interval != MONTH else None,
        }
        return {
            "key": self.key,
            "product": self.product,
            "description": self.description,
            "unit": self.unit,
            "currency": self.currency,
            "model": self.model.NAME,
            **self.model.to_data(),
            "effective_from": self.effective_from.isoformat(),
        } | {name: value for name, value in optional.items() if value is not None}


# Beside the fields of its model.
_FIELDS = frozenset(
    "key meter product description unit currency model free_allowance minimum maximum at_zero match allowance_with"
    " transform_quantity interval effective_from effective_until".split()
)


@dataclass(frozen=True)
class UnreadablePrice:
    """A price version that can't be calculated with, and what is known of where it holds; None: that is unreadable too.

    Whoever's usage or fee it could be for can't be billed; everybody else can.
    """

    key: str
    meter: str | None
    reason: str
    match: Mapping[str, tuple[str, ...]] | None = None
    effective_from: datetime | None = None
    effective_until: datetime | None = None

    def refuse_usage(self, meter: str, dimensions: Mapping[str, str], moment: datetime) -> None:
        fits = self.match is None or all(dimensions.get(name) in values for name, values in self.match.items())
        if meter == self.meter and fits and self._may_hold(moment):
            raise self._error()

    def refuse_key(self, key: str, moment: datetime) -> None:
        if key == self.key and self._may_hold(moment):
            raise self._error()

    def _may_hold(self, moment: datetime) -> bool:
        began = self.effective_from is None or self.effective_from <= moment
        return began and (self.effective_until is None or moment < self.effective_until)

    def _error(self) -> BillingError:
        return not_computable(
            "unreadable_price", f"price {self.key}: {self.reason}: correct it, then bill the month again"
        )


class PriceBook:
    """Finds the one price version for a usage. Built once per run; a look-up is a few dictionary reads.

    Of a meter's prices that are in force and whose `match` fits, the one that matches most dimensions wins: a price for
    `region` and `preset` comes before one for `region`, and a price without `match` is the fallback for all.

    A book may be one organization's (`negotiated_by`): once the list price is found, what that organization negotiated
    over its key holds instead. A price of its own holds also after the list price has ended, a percentage does not.
    """

    def __init__(self, prices: Iterable[Price], unreadable: Sequence[UnreadablePrice] = ()) -> None:
        self._unreadable = unreadable
        self._by_key: dict[str, list[Price]] = {}
        # meter -> the moments at which one of its prices begins or ends, in order
        self._edges: dict[str, list[datetime]] = {}
        # meter -> names of the matched dimensions -> their values -> versions
        self._usage: dict[str, dict[tuple[str, ...], dict[tuple[str, ...], list[Price]]]] = {}
        # meter -> how many dimensions are matched, the most first
        self._counts: dict[str, list[int]] = {}
        # What one organization negotiated over this book; None: it is everybody's
        self._own: Negotiated | None = None
        # (list version, negotiated price) -> what holds then: the same for every organization
        self._versions: dict[tuple[UUID, UUID], Price] = {}
        for price in prices:
            self._by_key.setdefault(price.key, []).append(price)
            if price.meter is not None:
                self._index(price, price.meter)
                for edge in filter(None, (price.effective_from, price.effective_until)):
                    insort(self._edges.setdefault(price.meter, []), edge)

    def negotiated_by(self, own: Negotiated) -> PriceBook:
        """Return this book as it is for the organization that negotiated these prices over it."""
        self._listed_at_zero  # noqa: B018 found out once, and copied
        book = copy(self)
        book._own = own
        book._edges = dict(self._edges)
        for meter, edges in book.negotiated_edges().items():
            book._edges[meter] = sorted({*self._edges.get(meter, ()), *edges})
        return book

    def negotiated_edges(self) -> dict[str, set[datetime]]:
        """Return the moments at which the organization's own prices begin or end, by meter."""
        found: dict[str, set[datetime]] = {}
        for key in self._own.keys if self._own else ():
            for meter in {one.meter for one in self._by_key.get(key, ()) if one.meter is not None}:
                found.setdefault(meter, set()).update(self._own.edges(key) if self._own else ())
        return found

    def _index(self, price: Price, meter: str) -> None:
        names = tuple(sorted(price.match))
        tables = self._usage.setdefault(meter, {})
        table = tables.setdefault(names, {})
        self._counts[meter] = sorted({len(matched) for matched in tables}, reverse=True)
        for values in combinations(*(price.match[name] for name in names)):
            table.setdefault(values, []).append(price)

    def for_usage(self, meter: str, dimensions: Mapping[str, str], moment: datetime) -> Price:
        """Return the price in force at `moment`; the one that matches most dimensions wins.

        Raises BillingError `unpriced_usage` where there is none, `ambiguous_price` where two fit equally well and
        `unreadable_price` where it could be one that can't be calculated with.
        """
        for wrong in self._unreadable:
            wrong.refuse_usage(meter, dimensions, moment)
        for count in self._counts.get(meter, []):
            found = [
                price
                for names, table in self._usage[meter].items()
                if len(names) == count
                for price in table.get(tuple(dimensions.get(name, "") for name in names), [])
                if price.is_in_force(moment) or self._is_kept(price, dimensions, moment)
            ]
            if found:
                return self._negotiated(_only(found, meter, dimensions, moment), dimensions, moment)
        raise not_computable(
            "unpriced_usage",
            f"no price in force at {moment:%Y-%m-%d %H:%M}Z for meter {meter!r} with {dict(dimensions)}:"
            " add it to the price book (a new effective-dated version), load it, and bill the month again",
        )

    def charged_at_zero(self, start: datetime, end: datetime) -> list[Price]:
        """Return the meter's prices that charge an item in `[start, end)` even if nothing was used, ordered by key.

        Of each key the version decides that is in force last: an earlier one, where a passing offer ended.
        """
        last = (self._last_before(key, start, end) for key in sorted(self._at_zero_keys))
        return [price for price in last if price is not None and price.at_zero == "item"]

    def _last_before(self, key: str, start: datetime, end: datetime) -> Price | None:
        versions = self._by_key.get(key, ())
        edges = {one.effective_until for one in versions} | (set(self._own.edges(key)) if self._own else set())
        for until in sorted((one for one in edges | {end} if one is not None and start < one <= end), reverse=True):
            if price := self._at(key, until - MOMENT):
                return price
        return None

    @property
    def _at_zero_keys(self) -> set[str]:
        return self._listed_at_zero | self._own.at_zero_keys if self._own else self._listed_at_zero

    @cached_property
    def _listed_at_zero(self) -> set[str]:
        """The keys that have such a version at all: mostly none, and this is asked for every organization."""
        return {
            key
            for key, versions in self._by_key.items()
            if any(one.at_zero == "item" and one.meter is not None for one in versions)
        }

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
        for wrong in self._unreadable:
            wrong.refuse_key(key, moment)
        if found := self._at(key, moment):
            return found
        raise not_computable(
            "unpriced_subscription", f"no price {key!r} in force at {moment:%Y-%m-%d}: add it to the price book"
        )

    def interval_of(self, key: str) -> str:
        """Return the interval of the fee `key`, which all its versions have; a month where there is none of it.

        Raises BillingError `mixed_intervals` where its versions differ.
        """
        found = sorted({price.interval for price in self._by_key.get(key, [])})
        if len(found) > 1:
            raise not_computable("mixed_intervals", mixed_intervals(key, found))
        return found[0] if found else MONTH

    def last_for_key(self, key: str, moment: datetime) -> Price:
        """Return the last version of the price `key` that began by `moment`, whether it ended since or not.

        Raises BillingError `unpriced_subscription` where none did.
        """
        for wrong in self._unreadable:
            wrong.refuse_key(key, moment)
        begun = self._last_begun(key, moment)
        return self._negotiated(begun, {}, moment) if begun else self.for_key(key, moment)

    def _at(self, key: str, moment: datetime) -> Price | None:
        """Return what holds for all usage of a key, or for a fee."""
        found = [one for one in self._by_key.get(key, []) if one.is_in_force(moment) or self._is_kept(one, {}, moment)]
        return self._negotiated(max(found, key=_began), {}, moment) if found else None

    def _last_begun(self, key: str, moment: datetime) -> Price | None:
        begun = [price for price in self._by_key.get(key, []) if price.effective_from <= moment]
        return max(begun, key=_began) if begun else None

    def _is_kept(self, price: Price, dimensions: Mapping[str, str], moment: datetime) -> bool:
        """Tell whether this is the last version of a list price that has ended, and a price of the organization's own
        over it holds on."""
        if self._own is None or price.key not in self._own.keys:
            return False
        if price is not self._last_begun(price.key, moment):
            return False
        agreed = self._own.holds(price.key, dimensions, moment)
        in_force = any(one.is_in_force(moment) for one in self._by_key[price.key])
        return agreed is not None and agreed.terms is not None and not in_force

    def _negotiated(self, listed: Price, dimensions: Mapping[str, str], moment: datetime) -> Price:
        """Return what the organization negotiated over this list price; the list price itself where it did not."""
        agreed = self._own.holds(listed.key, dimensions, moment) if self._own else None
        if agreed is None:
            return listed
        if (listed.id, agreed.id) not in self._versions:
            try:
                self._versions[listed.id, agreed.id] = agreed.over(listed)
            except ValueError as problem:
                raise not_computable(
                    "unreadable_price", f"{problem}: correct it, then bill the month again"
                ) from problem
        return self._versions[listed.id, agreed.id]


def _began(price: Price) -> datetime:
    return price.effective_from


def mixed_intervals(key: str, intervals: Sequence[str]) -> str:
    """Say what is wrong with a fee whose versions have different intervals."""
    return (
        f"the versions of price {key!r} are by the {' and by the '.join(intervals)}: a fee keeps its interval; give the"
        " other one a key of its own, end the subscriptions and begin others with that key"
    )


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
