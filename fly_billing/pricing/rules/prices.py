"""Prices, and the price book, which finds the price of usage and fees. Not here: rating (`pricing.rules.rating`).

The plain data of a price (`Price.from_data`, `Price.to_data`) has the shape of the YAML files in `pricing/books`. It is
public: docs/price_books.md describes every field.
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
from fly_billing.fingerprints import fingerprint_of
from fly_billing.pricing.rules.fields import (
    as_text,
    check_amount,
    exact_number,
    match_text,
    read_match,
    read_number,
    read_text,
    read_time,
    refuse_other_word,
    refuse_unknown,
    shown,
)
from fly_billing.pricing.rules.intervals import INTERVALS
from fly_billing.pricing.rules.models import MODELS, PriceModel
from fly_billing.pricing.rules.transformed_quantity import TransformedQuantity

if TYPE_CHECKING:
    from fly_billing.pricing.rules.negotiated_prices import Negotiated, NegotiatedPrice

MOMENT = timedelta(microseconds=1)
PRICES = uuid5(NAMESPACE_URL, "fly_billing/prices")
# The charge for a month without billable units: nothing, or an item with the model's charge for 0 units (a flat amount,
# the first tier's flat fee) and the minimum.
AT_ZERO = ("nothing", "item")
MONTH = "month"


@dataclass(frozen=True)
class Price:
    """One version of one price, in force in `[effective_from, effective_until)`.

    Attributes:
        meter: The meter whose usage it charges. None: it is a recurring fee for the subscribed quantity.
        free_allowance: The free units per organization and month; of a fee: per subscription.
        match: Restricts the price to usage with these dimensions: name -> allowed values. Not for fees.
        minimum: The least that the price charges in a month, before discounts; prorated for a fee.
        maximum: The most that the price charges in a month, before discounts; prorated for a fee.
        at_zero: One of AT_ZERO.
        allowance_with: The key of a fee that includes the allowance. It is granted for each subscribed unit, for the
            part of the month that the subscription ran. Not for fees.
        transform_quantity: Converts the quantity first: allowance, tiers and `per` are in its units. Not for fees.
        interval: The interval of a fee (`intervals.INTERVALS`).

    Raises:
        ValueError: Names the field that is wrong.
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
        refuse_other_word("at_zero", self.at_zero, AT_ZERO)
        for name in ("match", "allowance_with", "transform_quantity"):
            if self.meter is None and getattr(self, name):
                raise ValueError(f"{name} is for usage, and a price without a meter is a fee: leave it out")
        refuse_other_word("interval", self.interval, INTERVALS)
        if self.meter is not None and self.interval != MONTH:
            raise ValueError("interval is for fees, but usage is charged by the month: leave it out")
        if not re.fullmatch("[A-Z]{3}", self.currency):
            raise ValueError(f"currency {self.currency!r} is not an ISO 4217 code")
        if self.effective_until is not None and self.effective_until <= self.effective_from:
            raise ValueError(f"effective_until {self.effective_until} is not after effective_from")

    @cached_property
    def id(self) -> UUID:
        return uuid5(PRICES, f"{self.book}|{self.key}|{self.effective_from.isoformat()}")

    @property
    def list_price(self) -> Price:
        """The version of the list price: this price itself, unless it is negotiated."""
        return self

    @property
    def negotiated(self) -> NegotiatedPrice | None:
        """The negotiated price; None: this is a list price."""
        return None

    def is_in_force(self, moment: datetime) -> bool:
        return self.effective_from <= moment and (self.effective_until is None or moment < self.effective_until)

    @classmethod
    def from_data(cls, book: str, data: Mapping[str, Any]) -> Price:
        """Read one price from plain data. Raises ValueError naming the price and the field that is wrong."""
        try:
            return cls._read(book, data)
        except ValueError as problem:
            raise ValueError(f"price {book}/{shown(data)}: {problem}") from problem

    @classmethod
    def _read(cls, book: str, data: Mapping[str, Any]) -> Price:
        name = data.get("model", "per_unit")
        refuse_other_word("model", name, MODELS)
        model = MODELS[name]
        refuse_unknown(data, PRICE_FIELDS | model.FIELDS, f"a {name} price")
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
        """Return the price as JSON-ready data, without the book. `from_data` reads the same price from it."""
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


# The fields of every price. Its model has further ones.
PRICE_FIELDS = frozenset(
    "key meter product description unit currency model free_allowance minimum maximum at_zero match allowance_with"
    " transform_quantity interval effective_from effective_until".split()
)


@dataclass(frozen=True)
class UnreadablePrice:
    """A damaged price version. Organizations with usage or fees that it may price can't be billed; all others can.

    Attributes:
        reason: The field that is wrong, and why.
        match: The dimensions it is for; None: they are damaged too.
        effective_from: None: damaged too.
        effective_until: None: it has no end, or its end is damaged too.
        book: The price book.
        id: Of its row in the table `prices`.
    """

    key: str
    meter: str | None
    reason: str
    match: Mapping[str, tuple[str, ...]] | None = None
    effective_from: datetime | None = None
    effective_until: datetime | None = None
    book: str = ""
    id: UUID | None = None

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
        name = f"{self.book}/{self.key}" if self.book else self.key
        since = f" from {self.effective_from:%Y-%m-%d %H:%M}" if self.effective_from else ""
        row = f" (id {self.id})" if self.id else ""
        return not_computable(
            "unreadable_price",
            f"price {name}{since}: {self.reason}: correct its row in the table prices{row}, then bill the month again",
        )


class PriceBook:
    """Finds the price version of usage and fees. Built once per run; a look-up takes a few dictionary reads.

    Of a meter's prices that are in force and whose `match` fits, the one that matches most dimensions applies: a price
    for `region` and `preset` takes precedence over one for `region`. A price without `match` is the fallback.

    `negotiated_by` returns the book of one organization. There, the organization's negotiated price replaces the list
    price. A price of its own still applies after the list price ended; a percentage does not.
    """

    def __init__(self, prices: Iterable[Price], unreadable: Sequence[UnreadablePrice] = ()) -> None:
        self._unreadable = unreadable
        self._by_key: dict[str, list[Price]] = {}
        # meter -> the times at which one of its prices begins or ends, in order
        self._edges: dict[str, list[datetime]] = {}
        # meter -> names of the matched dimensions -> their values -> versions
        self._usage: dict[str, dict[tuple[str, ...], dict[tuple[str, ...], list[Price]]]] = {}
        # meter -> the numbers of matched dimensions, the highest first
        self._counts: dict[str, list[int]] = {}
        # The negotiated prices of one organization; None: the book is for all organizations
        self._own: Negotiated | None = None
        # (list version, negotiated price) -> the resulting price, which organizations share
        self._versions: dict[tuple[UUID, UUID], Price] = {}
        for price in prices:
            self._by_key.setdefault(price.key, []).append(price)
            if price.meter is not None:
                self._index(price, price.meter)
                for edge in filter(None, (price.effective_from, price.effective_until)):
                    insort(self._edges.setdefault(price.meter, []), edge)

    @property
    def fingerprint(self) -> str:
        """A hash of all versions of all prices, with the organization's negotiated ones."""
        return f"{self._listed}{self._own.fingerprint if self._own else ''}"

    @property
    def is_negotiated(self) -> bool:
        """True if the book has the negotiated prices of one organization."""
        return self._own is not None

    @cached_property
    def _listed(self) -> str:
        prices = sorted(repr(price) for versions in self._by_key.values() for price in versions)
        return fingerprint_of((prices, sorted(map(repr, self._unreadable))))

    def negotiated_by(self, own: Negotiated) -> PriceBook:
        """Return this book with the negotiated prices of one organization."""
        self._listed_at_zero  # noqa: B018 calculated once, then copied
        self._listed  # noqa: B018
        book = copy(self)
        book._own = own
        book._edges = dict(self._edges)
        for meter, edges in book.negotiated_edges().items():
            book._edges[meter] = sorted({*self._edges[meter], *edges})
        return book

    def negotiated_edges(self) -> dict[str, set[datetime]]:
        """Return the times at which the organization's negotiated prices begin or end, by meter."""
        found: dict[str, set[datetime]] = {}
        for key in self._own.keys if self._own else ():
            for meter in {version.meter for version in self._by_key.get(key, ()) if version.meter is not None}:
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
        """Return the price in force at `moment`: the one that matches most dimensions.

        Raises:
            BillingError: `unpriced_usage`: there is no price. `ambiguous_price`: two fit equally well.
                `unreadable_price`: a damaged price may apply.
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
            f"no price in force at {moment:%Y-%m-%d %H:%M}Z for meter {meter!r} {_with(dimensions)}:"
            " add it to the price book (a new effective-dated version), load it, and bill the month again",
        )

    def charged_at_zero(self, start: datetime, end: datetime) -> list[Price]:
        """Return the prices of usage that charge an item in `[start, end)` even without usage, ordered by key.

        The version that is in force last decides for each key. After a temporary offer, this may be an older version.
        """
        last = (self._last_before(key, start, end) for key in sorted(self._at_zero_keys))
        return [price for price in last if price is not None and price.at_zero == "item"]

    def _last_before(self, key: str, start: datetime, end: datetime) -> Price | None:
        versions = self._by_key.get(key, ())
        edges = {version.effective_until for version in versions} | (set(self._own.edges(key)) if self._own else set())
        ends = (edge for edge in edges | {end} if edge is not None and start < edge <= end)
        for until in sorted(ends, reverse=True):
            if price := self._at(key, until - MOMENT):
                return price
        return None

    @property
    def _at_zero_keys(self) -> set[str]:
        return self._listed_at_zero | self._own.at_zero_keys if self._own else self._listed_at_zero

    @cached_property
    def _listed_at_zero(self) -> set[str]:
        """The keys with a list price that charges an item without usage. Cached: read for every organization."""
        return {
            key
            for key, versions in self._by_key.items()
            if any(version.at_zero == "item" and version.meter is not None for version in versions)
        }

    def changes_inside(self, meter: str, dimensions: Mapping[str, str], start: datetime, end: datetime) -> bool:
        """Return True if the price of this usage changes, begins or ends after `start` and before `end`."""
        edges = self._edges.get(meter)
        if not edges:
            return False
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
        """Return the interval of the fee `key`; a month if there is no such fee.

        Raises BillingError `mixed_intervals` if its versions have different intervals.
        """
        found = sorted({price.interval for price in self._by_key.get(key, [])})
        if len(found) > 1:
            raise not_computable("mixed_intervals", mixed_intervals(key, found))
        return found[0] if found else MONTH

    def last_for_key(self, key: str, moment: datetime) -> Price:
        """Return the last version of the price `key` that began by `moment`, even if it has ended.

        Raises BillingError `unpriced_subscription` if there is none.
        """
        for wrong in self._unreadable:
            wrong.refuse_key(key, moment)
        begun = self._last_begun(key, moment)
        return self._negotiated(begun, {}, moment) if begun else self.for_key(key, moment)

    def _at(self, key: str, moment: datetime) -> Price | None:
        """Return the price of a fee, or of a key's usage without dimensions."""
        versions = self._by_key.get(key, [])
        found = [price for price in versions if price.is_in_force(moment) or self._is_kept(price, {}, moment)]
        return self._negotiated(max(found, key=_began), {}, moment) if found else None

    def _last_begun(self, key: str, moment: datetime) -> Price | None:
        begun = [price for price in self._by_key.get(key, []) if price.effective_from <= moment]
        return max(begun, key=_began) if begun else None

    def _is_kept(self, price: Price, dimensions: Mapping[str, str], moment: datetime) -> bool:
        """Return True if the list price ended with this version, but the organization's own price still applies."""
        if self._own is None or price.key not in self._own.keys:
            return False
        if price is not self._last_begun(price.key, moment):
            return False
        agreed = self._own.holds(price.key, dimensions, moment)
        in_force = any(version.is_in_force(moment) for version in self._by_key[price.key])
        return agreed is not None and agreed.terms is not None and not in_force

    def _negotiated(self, listed: Price, dimensions: Mapping[str, str], moment: datetime) -> Price:
        """Return the organization's negotiated price for this list price, or the list price itself."""
        agreed = self._own.holds(listed.key, dimensions, moment) if self._own else None
        if agreed is None:
            return listed
        if (listed.id, agreed.id) not in self._versions:
            try:
                self._versions[listed.id, agreed.id] = agreed.over(listed)
            except ValueError as problem:
                raise not_computable(
                    "unreadable_price", f"{problem}: correct the negotiated price, then bill the month again"
                ) from problem
        return self._versions[listed.id, agreed.id]


def _began(price: Price) -> datetime:
    return price.effective_from


def mixed_intervals(key: str, intervals: Sequence[str]) -> str:
    """Describe the problem of a fee whose versions have different intervals."""
    return (
        f"the versions of price {key!r} are by the {' and by the '.join(intervals)}, but a fee must keep its interval:"
        " give the other version a key of its own, end the subscriptions and start new ones with that key"
    )


def _with(dimensions: Mapping[str, str]) -> str:
    return f"with {match_text(dimensions)}" if dimensions else "without dimensions"


def _only(found: list[Price], meter: str, dimensions: Mapping[str, str], moment: datetime) -> Price:
    """Return the latest version of a key. Raises BillingError `ambiguous_price` if two keys fit equally well."""
    keys = sorted({price.key for price in found})
    if len(keys) > 1:
        raise not_computable(
            "ambiguous_price",
            f"prices {', '.join(keys)} all fit meter {meter!r} {_with(dimensions)} at {moment:%Y-%m-%d}:"
            " make one of them more specific",
        )
    return max(found, key=lambda price: price.effective_from)
