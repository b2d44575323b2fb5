"""Finds records of a workspace that are right alone but not together: an unknown organization, another currency.

Every function yields sentences that begin with the record's file and line. Not here: the fields of one record
(`workspace.entries`), and prices of one book that do not fit together (`pricing.rules.book_problems`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from fly_billing.periods import moment_text
from fly_billing.pricing.rules.book_problems import BookPrices, scope_of_nothing
from fly_billing.pricing.rules.fields import did_you_mean
from fly_billing.pricing.rules.prices import Price
from fly_billing.pricing.rules.scope import Scope
from fly_billing.workspace.rules.records import Record

Books = Mapping[str, Sequence[Price]]
# Kinds whose amounts are in the organization's currency.
_WITH_CURRENCY = ("charge", "commitment", "credit")


def mistakes_between(
    records: Sequence[Record],
    books: Books,
    unread: Collection[str] = (),
    unread_books: Collection[str] = (),
    others: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> list[str]:
    """Return every mistake, a line each.

    Args:
        books: The prices of each book, of the files and of those that are loaded.
        unread: Ids of organizations whose own line has a mistake: naming them is none.
        unread_books: Names of price books with mistakes: nothing is said about their prices.
        others: Organizations that are not among the records and may be named, with their currency and price book.
    """
    organizations = {
        **others,
        **{record.key: record.values for record in records if record.kind == "organization"},
    }
    coupons = {record.key: record.values for record in records if record.kind == "coupon"}
    return [
        *_repeated(records),
        *_unknown_organizations(records, {*organizations, *unread}),
        *_books_of_organizations(records, books, unread_books),
        *_subscriptions(records, organizations, books),
        *_other_currencies(records, organizations),
        *_discounts(records, organizations, coupons),
        *_links(records, organizations),
        *(() if unread_books else _scopes_of_nothing(records, books)),
    ]


def _repeated(records: Iterable[Record]) -> Iterator[str]:
    first: dict[tuple[str, str], Record] = {}
    for record in records:
        other = first.setdefault((record.kind, record.key), record)
        if other is not record:
            where = other.place.rstrip(": ")
            yield f"{record.place}{record.kind} {record.key} is there twice{f', first in {where}' if where else ''}"


def _unknown_organizations(records: Iterable[Record], known: Collection[str]) -> Iterator[str]:
    for record in records:
        names = ("payer", "organization") if record.kind == "link" else ("organization",)
        for name in names:
            if record.kind != "organization" and (value := record.values.get(name)) is not None and value not in known:
                yield (
                    f"{record.place}{record.kind} {record.key}: {name} {value!r} is not in"
                    f" organizations.csv{did_you_mean(value, known)}"
                )


def _books_of_organizations(records: Iterable[Record], books: Books, unread: Collection[str]) -> Iterator[str]:
    for record in records:
        if record.kind != "organization" or record.values["price_book"] in unread:
            continue
        book, currency = record.values["price_book"], record.values["currency"]
        if book not in books:
            yield (
                f"{record.place}organization {record.key}: price_book {book!r} is neither a folder of price_book/ nor"
                f" loaded{did_you_mean(book, books)}"
            )
        elif (prices := books[book]) and currency not in {price.currency for price in prices}:
            yield (
                f"{record.place}organization {record.key}: it is billed in {currency}, but price book {book} has no"
                f" price in {currency}"
            )


def _subscriptions(
    records: Iterable[Record], organizations: Mapping[str, Mapping[str, Any]], books: Books
) -> Iterator[str]:
    for record in records:
        if record.kind == "subscription" and (about := organizations.get(record.values["organization"])):
            problem = _fee_problem(record, about, books.get(about["price_book"]))
            if problem:
                yield f"{record.place}subscription {record.key}: {problem}"


def _fee_problem(record: Record, about: Mapping[str, Any], prices: Sequence[Price] | None) -> str | None:
    if prices is None:
        return None  # the organization's line has the mistake
    key, book = record.values["price"], about["price_book"]
    versions = [price for price in prices if price.key == key]
    fees = {price.key for price in prices if price.meter is None}
    if not versions:
        return f"price {key!r} is not in price book {book}{did_you_mean(key, fees)}"
    if key not in fees:
        return f"price {key!r} of book {book} is for usage: only a price without a meter is a fee"
    if wrong := {price.currency for price in versions} - {about["currency"]}:
        return f"price {key!r} is in {' and '.join(sorted(wrong))}, but {record.organization} in {about['currency']}"
    start = record.values.get("trial_ends_at") or record.values["started_at"]
    if not any(
        moment_text(price.effective_from) <= start
        and (price.effective_until is None or start < moment_text(price.effective_until))
        for price in versions
    ):
        return f"price {key!r} has no version in force on {start}, from which the fee is charged"
    return None


def _other_currencies(records: Iterable[Record], organizations: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for record in records:
        about = organizations.get(record.organization or "")
        if record.kind in _WITH_CURRENCY and about and record.values["currency"] != about["currency"]:
            yield (
                f"{record.place}{record.kind} {record.key} is in {record.values['currency']}, but"
                f" {record.organization} is billed in {about['currency']}"
            )


def _discounts(
    records: Iterable[Record],
    organizations: Mapping[str, Mapping[str, Any]],
    coupons: Mapping[str, Mapping[str, Any]],
) -> Iterator[str]:
    for record in records:
        if record.kind != "discount":
            continue
        code = record.values["coupon"]
        coupon, about = coupons.get(code), organizations.get(record.values["organization"])
        if coupon is None:
            yield f"{record.place}discount {record.key}: there is no coupon {code!r}{did_you_mean(code, coupons)}"
        elif about and coupon.get("currency") not in (None, about["currency"]):
            yield (
                f"{record.place}discount {record.key}: coupon {code} is in {coupon['currency']}, but"
                f" {record.organization} is billed in {about['currency']}"
            )


def _scopes_of_nothing(records: Iterable[Record], books: Books) -> Iterator[str]:
    """Find scopes that name something that no price has: the coupon, credit, tax or commitment would never apply."""
    prices = BookPrices.of(price for book in books.values() for price in book)
    meters = {price.meter for price, _ in prices.listed if price.meter}
    for record in records:
        scope = Scope.from_data(record.values.get("scope") or {})
        # One-off items have products of their own, which no price has.
        named = replace(scope, products=()) if "one_off" in scope.kinds else scope
        for problem in scope_of_nothing(named, prices, meters):
            yield f"{record.place}{record.kind} {record.key}: scope: {problem}"


def _links(records: Iterable[Record], organizations: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    links = [record for record in records if record.kind == "link"]
    for link in links:
        of, payer = (organizations.get(link.values[name]) for name in ("organization", "payer"))
        if link.values["organization"] == link.values["payer"]:
            yield f"{link.place}link {link.key}: an organization can't be its own payer"
        elif of and payer and of["currency"] != payer["currency"]:
            yield f"{link.place}link {link.key}: they are billed in {of['currency']} and {payer['currency']}"
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
