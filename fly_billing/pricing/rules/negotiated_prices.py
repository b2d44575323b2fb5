"""Negotiated prices: what an organization, or a group of organizations, pays instead of a list price of a shared book.

A negotiated price is about one price key of a book. It is a percentage off that list price, whatever version of it
holds, or a price of its own. For usage it may be for some dimensions only (`match`); other usage of the key stays at
the list price. An organization's own negotiated price comes before those of its groups. Of one holder's prices for a
key the one that matches most dimensions holds, and of those the one that began last. Two groups are an error, not a
choice. Keeps out: which list price usage belongs to (`prices.PriceBook`), and where the records are
(`pricing.negotiated_prices`).

A negotiated price is a part of its key: allowance, tiers and bounds are those of the month, as when a list price
changes inside it (`rating.rate_month`).
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
from fly_billing.money import EXACT, plain
from fly_billing.pricing.rules.fields import (
    exact_number,
    read_match,
    read_number,
    read_text,
    read_time,
    refuse_unknown,
)
from fly_billing.pricing.rules.prices import PRICES, Price

# Fields of a price that say what it is about: a negotiated price takes them from the list price. (And its unit, unless
# it names one: it may convert the quantity otherwise.)
OF_THE_LIST = frozenset({"key", "meter", "product", "description", "interval"})
# Fields of a negotiated price that say whose it is, and when and where it holds.
OF_ITS_OWN = frozenset({"key", "organization", "group", "match", "effective_from", "effective_until"})
# The fields of a price that are money, or a percentage of money, wherever they are.
MONEY = frozenset({"unit_amount", "flat_amount", "percent", "minimum", "maximum"})


@dataclass(frozen=True)
class NegotiatedPrice:
    """One version of a negotiated price, in force in `[effective_from, effective_until)`.

    Exactly one of `organization_id` and `group` is given, and exactly one of `percent_off` (above 0, at most 100) and
    `terms`: the fields of a price that say what it charges, as plain data. `place`, before an error, says where it was
    read from; `recorded_as` is the id of its record. Raises ValueError naming the field that is wrong.
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
            raise ValueError("whose price it is: name exactly one of organization and group")
        if (self.percent_off is None) == (self.terms is None):
            raise ValueError("give either percent_off, or what it charges: a model and its fields")
        if self.percent_off is not None and not 0 < exact_number("percent_off", self.percent_off) <= 100:
            raise ValueError(f"percent_off {self.percent_off} must be above 0 and at most 100")
        if self.effective_until is not None and self.effective_until <= self.effective_from:
            raise ValueError(f"effective_until {self.effective_until} is not after effective_from")
        if self.match and (self.terms or {}).get("at_zero") == "item":
            raise ValueError("at_zero: item is for a price without match: a month without usage has no dimensions")

    @cached_property
    def id(self) -> UUID:
        """Return the id of its record; that of a new one is made of whose it is, and when and where it holds."""
        if self.recorded_as:
            return self.recorded_as
        match = json.dumps({name: sorted(values) for name, values in self.match.items()}, sort_keys=True)
        whose = f"organization|{self.organization_id}" if self.organization_id else f"group|{self.group}"
        return uuid5(PRICES, f"negotiated|{self.book}|{self.key}|{whose}|{match}|{self.effective_from.isoformat()}")

    @property
    def holder(self) -> str:
        """Whose price it is, for people."""
        return self.organization_id or f"group {self.group}"

    @property
    def name(self) -> str:
        """Name it in an error: holder, key and beginning."""
        return f"negotiated price {self.book}/{self.key} of {self.holder} from {self.effective_from:%Y-%m-%d %H:%M}"

    @classmethod
    def from_data(cls, book: str, data: Mapping[str, Any], place: str = "") -> NegotiatedPrice:
        """Read one from plain data, as the files of a price book have it. Raises ValueError naming it and the field."""
        try:
            return cls._read(book, data, place)
        except ValueError as problem:
            whose = data.get("organization") or data.get("group") or "?"
            raise ValueError(f"negotiated price {book}/{data.get('key', '?')} of {whose}: {problem}") from problem

    @classmethod
    def _read(cls, book: str, data: Mapping[str, Any], place: str) -> NegotiatedPrice:
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
        """Return what it charges as JSON-ready data: `{"percent_off": "10"}`, or the fields of a price."""
        return dict(self.terms) if self.percent_off is None else {"percent_off": plain(self.percent_off)}  # type: ignore[arg-type]

    def fits(self, dimensions: Mapping[str, str]) -> bool:
        return all(dimensions.get(name) in values for name, values in self.match.items())

    def over(self, listed: Price) -> NegotiatedVersion:
        """Return what holds in place of this version of the list price. Raises ValueError naming what is wrong."""
        try:
            return self._over(listed)
        except ValueError as problem:
            raise ValueError(f"{self.name}: {problem}") from problem

    def _over(self, listed: Price) -> NegotiatedVersion:
        if listed.meter is None and self.match:
            raise ValueError(f"match is for usage, and {self.key} is a fee: leave it out")
        for dimension, values in self.match.items():
            if outside := sorted(set(values) - set(listed.match.get(dimension, values))):
                raise ValueError(f"match {dimension} {', '.join(outside)}: the list price is not for that")
        about = listed.to_data()
        if self.percent_off is not None:
            data: dict[str, Any] = _scaled(
                about, EXACT.subtract(Decimal(100), self.percent_off).scaleb(-2, context=EXACT)
            )
        else:
            currency = (self.terms or {}).get("currency", listed.currency)
            if currency != listed.currency:
                raise ValueError(f"it is in {currency}, the list price in {listed.currency}")
            data = {name: value for name, value in about.items() if name in OF_THE_LIST | {"unit", "effective_from"}}
            data |= {**(self.terms or {}), "currency": currency}
        version = Price.from_data(listed.book, data)
        changes = {
            "match": {**listed.match, **self.match},
            "effective_from": max(listed.effective_from, self.effective_from),
            "effective_until": self.effective_until,
        }
        whole = {one.name: getattr(version, one.name) for one in fields(Price)}
        return NegotiatedVersion(**whole | changes, listed=listed, agreed=self)


@dataclass(frozen=True, kw_only=True)
class NegotiatedVersion(Price):
    """What a negotiated price (`agreed`) charges in place of a version of the list price (`listed`)."""

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
    """An organization belongs to a group in `[start, end)`. `place`, before an error, says where it was read from."""

    group: str
    organization_id: str
    start: datetime
    end: datetime | None = None
    place: str = field(default="", compare=False)

    @classmethod
    def from_data(cls, data: Mapping[str, Any], place: str = "") -> Membership:
        """Read one from plain data, as the files of a price book have it. Raises ValueError naming it and the field."""
        try:
            refuse_unknown(
                data, frozenset({"group", "organization", "effective_from", "effective_until"}), "a member of a group"
            )
            one = cls(
                read_text(data, "group"),
                read_text(data, "organization"),
                read_time(data, "effective_from"),
                None if data.get("effective_until") is None else read_time(data, "effective_until"),
                place,
            )
            if one.end is not None and one.end <= one.start:
                raise ValueError(f"effective_until {one.end} is not after effective_from")
        except ValueError as problem:
            whose = f"{data.get('organization', '?')} of group {data.get('group', '?')}"
            raise ValueError(f"member {whose}: {problem}") from problem
        return one


@dataclass(frozen=True)
class Holding:
    """A negotiated price, and when one organization has it: in `[start, end)`."""

    price: NegotiatedPrice
    start: datetime
    end: datetime | None

    def is_in_force(self, moment: datetime) -> bool:
        return self.start <= moment and (self.end is None or moment < self.end)


def holdings_of(
    organization_id: str, prices: Iterable[NegotiatedPrice], memberships: Iterable[Membership]
) -> list[Holding]:
    """List what an organization has of these prices and when: its own, and its groups' while it belongs to them."""
    member: dict[str, list[Membership]] = {}
    for one in memberships:
        if one.organization_id == organization_id:
            member.setdefault(one.group, []).append(one)
    return [holding for price in prices for holding in _holdings(price, organization_id, member)]


def _holdings(
    price: NegotiatedPrice, organization_id: str, member: Mapping[str, Sequence[Membership]]
) -> Iterator[Holding]:
    if price.organization_id == organization_id:
        yield Holding(price, price.effective_from, price.effective_until)
    for one in member.get(price.group, ()) if price.group else ():
        start = max(one.start, price.effective_from)
        ends = [end for end in (one.end, price.effective_until) if end is not None]
        if not ends or start < min(ends):
            yield Holding(price, start, min(ends, default=None))


class Negotiated:
    """What one organization negotiated over one book, by itself and in its groups."""

    def __init__(self, holdings: Iterable[Holding]) -> None:
        self._by_key: dict[str, list[Holding]] = {}
        for one in holdings:
            self._by_key.setdefault(one.price.key, []).append(one)

    @property
    def keys(self) -> Collection[str]:
        return self._by_key.keys()

    @cached_property
    def at_zero_keys(self) -> set[str]:
        """The keys of which a negotiated price charges an item even if nothing was used."""
        return {one.price.key for one in self.all() if (one.price.terms or {}).get("at_zero") == "item"}

    def all(self) -> Iterator[Holding]:
        """Yield all of them, by key."""
        for _, holdings in sorted(self._by_key.items()):
            yield from holdings

    def edges(self, key: str) -> set[datetime]:
        """Return the moments at which a negotiated price of this key begins or ends to hold."""
        return {edge for one in self._by_key.get(key, ()) for edge in (one.start, one.end) if edge is not None}

    def holds(self, key: str, dimensions: Mapping[str, str], moment: datetime) -> NegotiatedPrice | None:
        """Return which of them holds for usage of this key (for a fee: without dimensions); None: the list price does.

        Raises BillingError `ambiguous_price` where two groups have one, or one holder two that fit equally well.
        """
        fitting = [
            one.price for one in self._by_key.get(key, ()) if one.is_in_force(moment) and one.price.fits(dimensions)
        ]
        found = [one for one in fitting if one.organization_id] or fitting
        if not found:
            return None
        most = max(len(one.match) for one in found)
        narrowest = [one for one in found if len(one.match) == most]
        begun = max(one.effective_from for one in narrowest)
        last = {one.id: one for one in narrowest if one.effective_from == begun}
        if len({one.holder for one in found}) > 1 or len(last) > 1:
            names = " and ".join(sorted({one.name for one in found}))
            raise not_computable(
                "ambiguous_price",
                f"{names} both hold at {moment:%Y-%m-%d %H:%M}Z"
                + (f" for {dict(dimensions)}" if dimensions else "")
                + ": end one of them, or a membership, or give the organization a price of its own",
            )
        return last.popitem()[1]


def _terms(book: str, charges: Mapping[str, Any]) -> dict[str, Any]:
    """Read what a price of its own charges, and return it as JSON-ready data. Raises ValueError naming the field."""
    if named := sorted(OF_THE_LIST & charges.keys()):
        raise ValueError(f"{', '.join(named)}: the list price says that, leave it out")
    named_only = {
        "key": "it",
        "meter": "it",
        "product": "",
        "description": "",
        "unit": "",
        "effective_from": "1970-01-01",
    }
    try:
        data = Price.from_data(book, named_only | dict(charges)).to_data()
    except ValueError as problem:
        # Without the name that the price has here.
        raise (problem.__cause__ or problem) from None
    left_out = OF_THE_LIST | {"effective_from"} | ({"currency", "unit"} - charges.keys())
    return {name: value for name, value in data.items() if name not in left_out}


def _scaled(data: Mapping[str, Any], factor: Decimal) -> dict[str, Any]:
    """Multiply all money in a price's plain data, so that it charges `factor` times as much for everything."""
    return {name: _scaled_field(name, value, factor) for name, value in data.items()}


def _scaled_field(name: str, value: Any, factor: Decimal) -> Any:
    if isinstance(value, list) and name == "tiers":
        return [_scaled(tier, factor) for tier in value]
    if name in MONEY and value is not None:
        return plain(EXACT.multiply(exact_number(name, value), factor))
    return value
