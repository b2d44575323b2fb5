"""Negotiated prices: prices that an organization, or a group of organizations, pays instead of a book's list price.

The rules:
  - A negotiated price replaces one price key of a book. It is a percentage off the list price in force, or a price of
    its own. For usage it may be for some dimensions only (`match`); other usage of the key stays at the list price.
  - An organization's own negotiated price takes precedence over those of its groups. Of one holder's prices for a key,
    the one that matches most dimensions applies, and of those the one that began last. If two groups of an organization
    have a price for the same usage, that is an error.
  - Allowance, tiers, minimum and maximum are shared with the rest of the key's usage in the month, as when a list price
    changes inside a month (`rating.rate_month`).
Not here: the list price of usage (`prices.PriceBook`), and the records (`pricing.negotiated_prices`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any
from uuid import UUID, uuid5

from fly_billing.errors import not_computable
from fly_billing.fingerprints import fingerprint_of
from fly_billing.money import EXACT, plain
from fly_billing.pricing.rules.decimal_commas import refuse_decimal_commas
from fly_billing.pricing.rules.fields import (
    exact_number,
    match_text,
    read_match,
    read_number,
    read_text,
    read_time,
    refuse_unknown,
    shown,
)
from fly_billing.pricing.rules.prices import PRICES, Price

# The fields that a negotiated price always takes from the list price. It also takes the unit, unless it names another
# one because it converts the quantity differently.
OF_THE_LIST = frozenset({"key", "meter", "product", "description", "interval"})
# The fields of a negotiated price for its holder, its time and its dimensions.
OF_ITS_OWN = frozenset({"key", "organization", "group", "match", "effective_from", "effective_until"})
# The fields of a price, or of its tiers, that are money or a percentage of money.
MONEY = frozenset({"unit_amount", "flat_amount", "percent", "minimum", "maximum"})


@dataclass(frozen=True)
class NegotiatedPrice:
    """One version of a negotiated price, in force in `[effective_from, effective_until)`.

    Give exactly one of `organization_id` and `group`, and exactly one of `percent_off` and `terms`.

    Attributes:
        percent_off: Above 0, at most 100.
        terms: The fields of a price that define the charge, as plain data.
        place: The file and line it was read from, with which its errors begin.
        recorded_as: The id of its record, if it has one.

    Raises:
        ValueError: Names the field that is wrong.
    """

    book: str
    key: str
    effective_from: datetime
    effective_until: datetime | None = None
    organization_id: str | None = None
    group: str | None = None
    match: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    percent_off: Decimal | None = None
    terms: Mapping[str, Any] | None = None
    place: str = field(default="", compare=False)
    recorded_as: UUID | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if (self.organization_id is None) == (self.group is None):
            raise ValueError("name exactly one of organization and group: the holder of the price")
        if (self.percent_off is None) == (self.terms is None):
            raise ValueError("give either percent_off, or the charge: a model and its fields")
        if self.percent_off is not None and not 0 < exact_number("percent_off", self.percent_off) <= 100:
            raise ValueError(f"percent_off {self.percent_off} must be above 0 and at most 100")
        if self.effective_until is not None and self.effective_until <= self.effective_from:
            raise ValueError(f"effective_until {self.effective_until} is not after effective_from")
        if self.match and (self.terms or {}).get("at_zero") == "item":
            raise ValueError("at_zero: item is for a price without match: a month without usage has no dimensions")

    @cached_property
    def id(self) -> UUID:
        """The id of its record. The id of a new price is made from its holder, key, dimensions and beginning."""
        if self.recorded_as:
            return self.recorded_as
        match = json.dumps({name: sorted(values) for name, values in self.match.items()}, sort_keys=True)
        whose = f"organization|{self.organization_id}" if self.organization_id else f"group|{self.group}"
        return uuid5(PRICES, f"negotiated|{self.book}|{self.key}|{whose}|{match}|{self.effective_from.isoformat()}")

    @property
    def holder(self) -> str:
        """The organization or group that has the price, for people."""
        return self.organization_id or f"group {self.group}"

    @property
    def name(self) -> str:
        """Its name in errors: key, holder and beginning."""
        return f"negotiated price {self.book}/{self.key} of {self.holder} from {self.effective_from:%Y-%m-%d %H:%M}"

    @classmethod
    def from_data(cls, book: str, data: Mapping[str, Any], place: str = "") -> NegotiatedPrice:
        """Read a negotiated price of a price book's file. Raises ValueError naming the price and the field."""
        try:
            return cls._read(book, data, place)
        except ValueError as problem:
            whose = data.get("organization") or data.get("group") or "?"
            raise ValueError(f"negotiated price {book}/{shown(data)} of {whose}: {problem}") from problem

    @classmethod
    def _read(cls, book: str, data: Mapping[str, Any], place: str) -> NegotiatedPrice:
        refuse_decimal_commas(data)
        charges = {name: value for name, value in data.items() if name not in OF_ITS_OWN}
        percent_off = None if charges.get("percent_off") is None else read_number(charges, "percent_off")
        if percent_off is not None:
            refuse_unknown(charges, frozenset({"percent_off"}), "a percentage off the list price")
        return cls(
            book=book,
            key=read_text(data, "key"),
            effective_from=read_time(data, "effective_from"),
            effective_until=None if data.get("effective_until") is None else read_time(data, "effective_until"),
            organization_id=None if data.get("organization") is None else read_text(data, "organization"),
            group=None if data.get("group") is None else read_text(data, "group"),
            match=read_match(data),
            percent_off=percent_off,
            terms=_terms(book, charges) if charges and percent_off is None else None,
            place=place,
        )

    def charges_data(self) -> dict[str, Any]:
        """Return the charge as JSON-ready data: `{"percent_off": "10"}`, or the fields of a price."""
        return dict(self.terms) if self.percent_off is None else {"percent_off": plain(self.percent_off)}  # type: ignore[arg-type]

    def fits(self, dimensions: Mapping[str, str]) -> bool:
        return all(dimensions.get(name) in values for name, values in self.match.items())

    def over(self, listed: Price) -> NegotiatedVersion:
        """Return the price that replaces this version of the list price. Raises ValueError naming the problem."""
        try:
            return self._over(listed)
        except ValueError as problem:
            raise ValueError(f"{self.name}: {problem}") from problem

    def _over(self, listed: Price) -> NegotiatedVersion:
        if listed.meter is None and self.match:
            raise ValueError(f"match is for usage, and {self.key} is a fee: leave it out")
        for dimension, values in self.match.items():
            if outside := sorted(set(values) - set(listed.match.get(dimension, values))):
                raise ValueError(f"match {dimension} {', '.join(outside)}: the list price does not cover that")
        about = listed.to_data()
        if self.percent_off is not None:
            data: dict[str, Any] = _scaled(
                about, EXACT.subtract(Decimal(100), self.percent_off).scaleb(-2, context=EXACT)
            )
        else:
            currency = (self.terms or {}).get("currency", listed.currency)
            if currency != listed.currency:
                raise ValueError(f"it is in {currency}, but the list price is in {listed.currency}")
            data = {name: value for name, value in about.items() if name in OF_THE_LIST | {"unit", "effective_from"}}
            data |= {**(self.terms or {}), "currency": currency}
        version = Price.from_data(listed.book, data)
        changes = {
            "match": {**listed.match, **self.match},
            "effective_from": max(listed.effective_from, self.effective_from),
            "effective_until": self.effective_until,
        }
        whole = {column.name: getattr(version, column.name) for column in fields(Price)}
        return NegotiatedVersion(**whole | changes, listed=listed, agreed=self)


@dataclass(frozen=True, kw_only=True)
class NegotiatedVersion(Price):
    """The price that results when a negotiated price (`agreed`) replaces a version of the list price (`listed`)."""

    listed: Price
    agreed: NegotiatedPrice

    @cached_property
    def id(self) -> UUID:
        return uuid5(PRICES, f"{self.listed.id}|{self.agreed.id}")

    @property
    def list_price(self) -> Price:
        return self.listed

    @property
    def negotiated(self) -> NegotiatedPrice:
        return self.agreed


@dataclass(frozen=True)
class Membership:
    """An organization belongs to a group in `[start, end)`.

    Attributes:
        place: The file and line it was read from, with which its errors begin.

    Raises:
        ValueError: It ends before it begins.
    """

    group: str
    organization_id: str
    start: datetime
    end: datetime | None = None
    place: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"effective_until {self.end} is not after effective_from")

    @classmethod
    def from_data(cls, data: Mapping[str, Any], place: str = "") -> Membership:
        """Read a membership of a price book's file. Raises ValueError naming the member and the field."""
        try:
            refuse_unknown(
                data, frozenset({"group", "organization", "effective_from", "effective_until"}), "a member of a group"
            )
            return cls(
                read_text(data, "group"),
                read_text(data, "organization"),
                read_time(data, "effective_from"),
                None if data.get("effective_until") is None else read_time(data, "effective_until"),
                place,
            )
        except ValueError as problem:
            whose = f"{shown(data, 'organization')} of group {shown(data, 'group')}"
            raise ValueError(f"member {whose}: {problem}") from problem


@dataclass(frozen=True)
class Holding:
    """A negotiated price that one organization has in `[start, end)`."""

    price: NegotiatedPrice
    start: datetime
    end: datetime | None

    def is_in_force(self, moment: datetime) -> bool:
        return self.start <= moment and (self.end is None or moment < self.end)


def holdings_of(
    organization_id: str, prices: Iterable[NegotiatedPrice], memberships: Iterable[Membership]
) -> list[Holding]:
    """List the organization's own prices, and those of its groups while it belongs to them."""
    by_group: dict[str, list[Membership]] = {}
    for membership in memberships:
        if membership.organization_id == organization_id:
            by_group.setdefault(membership.group, []).append(membership)
    return [holding for price in prices for holding in _holdings(price, organization_id, by_group)]


def _holdings(
    price: NegotiatedPrice, organization_id: str, by_group: Mapping[str, Sequence[Membership]]
) -> Iterator[Holding]:
    if price.organization_id == organization_id:
        yield Holding(price, price.effective_from, price.effective_until)
    for membership in by_group.get(price.group, ()) if price.group else ():
        start = max(membership.start, price.effective_from)
        ends = [end for end in (membership.end, price.effective_until) if end is not None]
        if not ends or start < min(ends):
            yield Holding(price, start, min(ends, default=None))


class Negotiated:
    """The negotiated prices of one organization over one book: its own and those of its groups."""

    def __init__(self, holdings: Iterable[Holding]) -> None:
        self._by_key: dict[str, list[Holding]] = {}
        for holding in holdings:
            self._by_key.setdefault(holding.price.key, []).append(holding)

    @property
    def keys(self) -> Collection[str]:
        return self._by_key.keys()

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all holdings."""
        return fingerprint_of(sorted(map(repr, self.all())))

    @cached_property
    def at_zero_keys(self) -> set[str]:
        """The keys with a negotiated price that charges an item even without usage."""
        return {holding.price.key for holding in self.all() if (holding.price.terms or {}).get("at_zero") == "item"}

    def all(self) -> Iterator[Holding]:
        """Yield all holdings, ordered by key."""
        for _, holdings in sorted(self._by_key.items()):
            yield from holdings

    def edges(self, key: str) -> set[datetime]:
        """Return the times at which a negotiated price of this key begins or ends."""
        holdings = self._by_key.get(key, ())
        return {edge for holding in holdings for edge in (holding.start, holding.end) if edge is not None}

    def holds(self, key: str, dimensions: Mapping[str, str], moment: datetime) -> NegotiatedPrice | None:
        """Return the negotiated price for usage of this key (for a fee: without dimensions); None: use the list price.

        Raises BillingError `ambiguous_price` if two groups have a price, or if two prices of a holder fit equally well.
        """
        holdings = [holding for holding in self._by_key.get(key, ()) if holding.is_in_force(moment)]
        fitting = [holding.price for holding in holdings if holding.price.fits(dimensions)]
        candidates = [price for price in fitting if price.organization_id] or fitting
        if not candidates:
            return None
        most = max(len(price.match) for price in candidates)
        narrowest = [price for price in candidates if len(price.match) == most]
        begun = max(price.effective_from for price in narrowest)
        last = {price.id: price for price in narrowest if price.effective_from == begun}
        if len({price.holder for price in candidates}) > 1 or len(last) > 1:
            names = " and ".join(sorted({price.name for price in candidates}))
            raise not_computable(
                "ambiguous_price",
                f"{names} both apply at {moment:%Y-%m-%d %H:%M}Z"
                + (f" for {match_text(dimensions)}" if dimensions else "")
                + ": end one of them, or a membership, or give the organization a price of its own",
            )
        return last.popitem()[1]


def _terms(book: str, charges: Mapping[str, Any]) -> dict[str, Any]:
    """Read the charge of a price of its own as JSON-ready data. Raises ValueError naming the field."""
    if named := sorted(OF_THE_LIST & charges.keys()):
        raise ValueError(f"{', '.join(named)}: the list price defines that, leave it out")
    names = ("key", "meter", "product", "description", "unit")
    named_only = dict.fromkeys(names, "") | {"effective_from": "1970-01-01"}
    try:
        data = Price.from_data(book, named_only | dict(charges)).to_data()
    except ValueError as problem:
        # The caller names the price; `named_only` is not its name.
        raise (problem.__cause__ or problem) from None
    left_out = OF_THE_LIST | {"effective_from"} | ({"currency", "unit"} - charges.keys())
    return {name: value for name, value in data.items() if name not in left_out}


def _scaled(data: Mapping[str, Any], factor: Decimal) -> dict[str, Any]:
    """Multiply all money in a price's plain data by `factor`."""
    return {name: _scaled_field(name, value, factor) for name, value in data.items()}


def _scaled_field(name: str, value: Any, factor: Decimal) -> Any:
    if isinstance(value, list) and name == "tiers":
        return [_scaled(tier, factor) for tier in value]
    if name in MONEY and value is not None:
        return plain(EXACT.multiply(exact_number(name, value), factor))
    return value
