"""Finds records of a workspace that are right alone but not together: an unknown organization, another currency.

Every function yields sentences that begin with the record's file and line. Of a record with mistakes, only the fields
that can be read are compared. Not here: the fields of one record (`workspace.entries`), and prices of one book that do
not fit together (`pricing.rules.book_problems`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fly_billing.periods import moment_text
from fly_billing.pricing.rules.book_problems import BookPrices, scope_of_nothing
from fly_billing.pricing.rules.fields import did_you_mean
from fly_billing.pricing.rules.prices import Price
from fly_billing.pricing.rules.scope import Scope
from fly_billing.workspace.rules.records import Record

Books = Mapping[str, BookPrices]
# Kinds whose amounts are in the organization's currency.
_WITH_CURRENCY = ("charge", "commitment", "credit")


@dataclass(frozen=True)
class Named:
    """Everything that records may name.

    Attributes:
        books: The prices of each book, of the files and of those that are loaded.
        organizations: Those that are not among the records, with their currency and price book.
        unsure: Kinds of which there may be more records than could be read: naming an unknown one is no mistake.
    """

    books: Books
    organizations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unsure: Collection[str] = ()


def books_of(prices: Mapping[str, Iterable[Price]]) -> Books:
    """Return books without mistakes: the prices of each."""
    return {name: BookPrices.of(each) for name, each in prices.items()}


def mistakes_between(records: Sequence[Record], named: Named) -> list[str]:
    """Return every mistake, a line each."""
    others = {key: Record("organization", key, values, key) for key, values in named.organizations.items()}
    own = {record.key: record for record in records if record.kind == "organization" and record.has_key}
    organizations = {**others, **own}
    coupons = {record.key: record for record in records if record.kind == "coupon" and record.has_key}
    return [
        *_repeated(records),
        *(() if "organization" in named.unsure else _unknown_organizations(records, organizations)),
        *_books_of_organizations(records, named.books),
        *_subscriptions(records, organizations, named.books),
        *_other_currencies(records, organizations),
        *(() if "coupon" in named.unsure else _unknown_coupons(records, coupons)),
        *_coupons_in_other_currencies(records, organizations, coupons),
        *_links(records, organizations),
        *_scopes_of_nothing(records, named.books),
    ]


def _repeated(records: Iterable[Record]) -> Iterator[str]:
    first: dict[tuple[str, str], Record] = {}
    for record in records:
        other = first.setdefault((record.kind, record.key), record) if record.has_key else record
        if other is not record:
            where = other.place.rstrip(": ")
            yield f"{record.place}{record.kind} {record.key} is there twice{f', first in {where}' if where else ''}"


def _unknown_organizations(records: Iterable[Record], known: Collection[str]) -> Iterator[str]:
    for record in records:
        names = ("payer", "organization") if record.kind == "link" else ("organization",)
        for name in names if record.kind != "organization" else ():
            value = record.values.get(name)
            if value is not None and value not in known and record.has(name):
                yield (
                    f"{record.place}{record.kind} {record.key}: {name} {value!r} is not in"
                    f" organizations.csv{did_you_mean(value, known)}"
                )


def _books_of_organizations(records: Iterable[Record], books: Books) -> Iterator[str]:
    for record in records:
        if record.kind != "organization" or not record.has("price_book"):
            continue
        book, currency = record.values["price_book"], record.values["currency"]
        if book not in books:
            yield (
                f"{record.place}organization {record.key}: price_book {book!r} is neither a folder of price_book/ nor"
                f" loaded{did_you_mean(book, books)}"
            )
        elif (
            books[book].listed and record.has("currency") and books[book].has_all("currency")
            and currency not in {price.currency for price in books[book].having()}
        ):  # fmt: skip
            yield (
                f"{record.place}organization {record.key}: it is billed in {currency}, but price book {book} has no"
                f" price in {currency}"
            )


def _subscriptions(records: Iterable[Record], organizations: Mapping[str, Record], books: Books) -> Iterator[str]:
    for record in records:
        if record.kind != "subscription" or not record.has("organization", "price"):
            continue
        about = organizations.get(record.values["organization"])
        if about is not None and about.has("price_book") and (book := books.get(about.values["price_book"])):
            for problem in _fee_problems(record, about, book):
                yield f"{record.place}subscription {record.key}: {problem}"


def _fee_problems(record: Record, about: Record, book: BookPrices) -> Iterator[str]:
    key, name = record.values["price"], about.values["price_book"]
    versions = _Versions(book, key)
    if not versions.having():
        if book.has_all("key"):
            yield f"price {key!r} is not in price book {name}{did_you_mean(key, book.fees)}"
        return
    if key not in book.fees:
        yield f"price {key!r} of book {name} is for usage: only a price without a meter is a fee"
        return
    wrong = {price.currency for price in versions.having("currency")} - {about.values["currency"]}
    if wrong and about.has("currency"):
        theirs = about.values["currency"]
        yield f"price {key!r} is in {' and '.join(sorted(wrong))}, but {record.organization} in {theirs}"
    start = record.values.get("trial_ends_at") or record.values["started_at"]
    is_certain = record.has("trial_ends_at", "started_at") and versions.have_all("effective_from", "effective_until")
    if is_certain and not any(_is_in_force(price, start) for price in versions.having()):
        yield f"price {key!r} has no version in force on {start}, from which the fee is charged"


@dataclass(frozen=True)
class _Versions:
    """The versions of one price."""

    book: BookPrices
    key: str

    def having(self, *fields: str) -> list[Price]:
        return [price for price in self.book.having("key", *fields) if price.key == self.key]

    def have_all(self, *fields: str) -> bool:
        return self.book.has_all("key") and len(self.having(*fields)) == len(self.having())


def _is_in_force(price: Price, moment: str) -> bool:
    until = price.effective_until
    return moment_text(price.effective_from) <= moment and (until is None or moment < moment_text(until))


def _other_currencies(records: Iterable[Record], organizations: Mapping[str, Record]) -> Iterator[str]:
    for record in records:
        about = organizations.get(record.organization or "")
        if record.kind not in _WITH_CURRENCY or about is None or not record.has("organization", "currency"):
            continue
        if about.has("currency") and record.values["currency"] != about.values["currency"]:
            yield (
                f"{record.place}{record.kind} {record.key} is in {record.values['currency']}, but"
                f" {record.organization} is billed in {about.values['currency']}"
            )


def _unknown_coupons(records: Iterable[Record], coupons: Mapping[str, Record]) -> Iterator[str]:
    for record in records:
        if record.kind == "discount" and record.has("coupon") and (code := record.values["coupon"]) not in coupons:
            yield f"{record.place}discount {record.key}: there is no coupon {code!r}{did_you_mean(code, coupons)}"


def _coupons_in_other_currencies(
    records: Iterable[Record], organizations: Mapping[str, Record], coupons: Mapping[str, Record]
) -> Iterator[str]:
    for record in records:
        if record.kind != "discount" or not record.has("organization", "coupon"):
            continue
        coupon, about = coupons.get(record.values["coupon"]), organizations.get(record.values["organization"])
        if coupon is None or about is None or not coupon.has("currency") or not about.has("currency"):
            continue
        if coupon.values.get("currency") not in (None, about.values["currency"]):
            yield (
                f"{record.place}discount {record.key}: coupon {coupon.key} is in {coupon.values['currency']}, but"
                f" {record.organization} is billed in {about.values['currency']}"
            )


def _scopes_of_nothing(records: Iterable[Record], books: Books) -> Iterator[str]:
    """Find scopes that name something that no price has: the coupon, credit, tax or commitment would never apply."""
    prices = BookPrices(
        [each for book in books.values() for each in book.listed], all(book.is_whole for book in books.values())
    )
    meters = {price.meter for price, _ in prices.listed if price.meter}
    for record in records:
        scope = Scope.from_data((record.values.get("scope") or {}) if record.has("scope") else {})
        # One-off items have products of their own, which no price has.
        named = replace(scope, products=()) if "one_off" in scope.kinds else scope
        for problem in scope_of_nothing(named, prices, meters):
            yield f"{record.place}{record.kind} {record.key}: scope: {problem}"


def _links(records: Iterable[Record], organizations: Mapping[str, Record]) -> Iterator[str]:
    links = [record for record in records if record.kind == "link" and record.has("organization", "payer")]
    for link in links:
        of, payer = (organizations.get(link.values[name]) for name in ("organization", "payer"))
        if of and payer and of.has("currency") and payer.has("currency"):
            both = of.values["currency"], payer.values["currency"]
            if both[0] != both[1]:
                yield f"{link.place}link {link.key}: they are billed in {both[0]} and {both[1]}"
    yield from _linked_twice([link for link in links if link.has("first_month", "last_month")])


def _linked_twice(links: Sequence[Record]) -> Iterator[str]:
    linked: dict[str, list[Record]] = defaultdict(list)
    for link in links:
        for other in linked[link.values["organization"]]:
            if other.key != link.key and _share_a_month(other.values, link.values):
                yield f"{link.place}link {link.key}: {link.organization} has another payer then: {other.key}"
        linked[link.values["organization"]].append(link)
    for link in links:
        for other in linked.get(link.values["payer"], ()):
            if link.organization != link.values["payer"] and _share_a_month(other.values, link.values):
                yield f"{link.place}link {link.key}: its payer is linked to {other.values['payer']} then"


def _share_a_month(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    ends = one["last_month"] or "9999", other["last_month"] or "9999"
    return bool(ends[0] >= other["first_month"] and ends[1] >= one["first_month"])
