"""The records of price books: of their files, and of the database. Not here: loading (`pricing.price_books`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from fly_billing.pricing.book_reading import READ_PARTS, BookReading
from fly_billing.pricing.rules.book_difference import plain_numbers, price_fields
from fly_billing.pricing.rules.meters import METER_COLUMNS, Meter
from fly_billing.pricing.rules.negotiated_prices import Membership, NegotiatedPrice
from fly_billing.pricing.rules.prices import Price
from fly_billing.pricing.rules.tax_books import BookTaxRate
from fly_billing.workspace.rules.records import Record, comparable, key_of

# The columns of a book's tax rate that are compared.
BOOK_TAX_COLUMNS = (
    "book", "key", "tax", "name", "percent", "is_inclusive", "category", "legal_text", "scope", "locations",
    "customers", "first_month", "last_month",
)  # fmt: skip


def records_of_book(book: BookReading) -> Iterable[Record]:
    """Yield the records of a book's files besides its meters, which several books may have."""
    for part, record in _RECORDS.items():
        for read in book.entries[part]:
            has_key = read.unread.isdisjoint(READ_PARTS[part].key)
            yield replace(record(read.entry), unread=read.unread, has_key=has_key)


def meter_record(meter: Meter) -> Record:
    """Return the record of a meter."""
    values = dict(zip(METER_COLUMNS, map(comparable, meter.as_row()), strict=True))
    return Record("meter", meter.key, values, meter.key)


def price_record(price: Price) -> Record:
    """Return the record of a version of a list price."""
    values = {"book": price.book, "key": price.key, "effective_from": comparable(price.effective_from)}
    values |= price_fields(price) | {"effective_until": comparable(price.effective_until)}
    return Record("price", key_of(price.book, price.key, price.effective_from), values, str(price.id))


def book_tax_record(columns: Mapping[str, Any], id: UUID) -> Record:
    """Return the record of a version of a book's tax rate, from BOOK_TAX_COLUMNS."""
    values = {name: comparable(columns[name]) for name in BOOK_TAX_COLUMNS}
    key = key_of(values["book"], values["key"], values["first_month"])
    return Record("book tax", key, values, str(id))


def negotiated_record(price: NegotiatedPrice) -> Record:
    """Return the record of a negotiated price."""
    match = {name: sorted(values) for name, values in sorted(price.match.items())}
    values = {
        "book": price.book, "key": price.key, "organization": price.organization_id, "group": price.group,
        "match": match, "charges": plain_numbers(price.charges_data()),
        "effective_from": comparable(price.effective_from), "effective_until": comparable(price.effective_until),
    }  # fmt: skip
    dimensions = ",".join(f"{name}={'+'.join(several)}" for name, several in match.items()) or None
    key = key_of(price.book, price.key, price.holder, dimensions, price.effective_from)
    return Record("negotiated price", key, values, str(price.id), price.place)


def member_record(member: Membership) -> Record:
    """Return the record of an organization's membership in a price group."""
    values = {
        "group": member.group, "organization": member.organization_id, "effective_from": comparable(member.start),
        "effective_until": comparable(member.end),
    }  # fmt: skip
    key = key_of(member.group, member.organization_id, member.start)
    return Record("group member", key, values, key, member.place)


_RECORDS: Mapping[str, Callable[[Any], Record]] = {
    "prices": price_record,
    "taxes": lambda tax: book_tax_record(_tax_columns(tax), tax.rate.id),
    "negotiated": negotiated_record,
    "members": member_record,
}


def _tax_columns(of_book: BookTaxRate) -> dict[str, Any]:
    rate = of_book.rate
    return {
        "book": of_book.book, "key": of_book.key, "tax": rate.tax, "name": rate.name, "percent": rate.percent,
        "is_inclusive": rate.is_inclusive, "category": rate.category, "legal_text": rate.legal_text,
        "scope": of_book.scope_data(), "locations": list(rate.locations), "customers": list(rate.customers),
        "first_month": of_book.first_month, "last_month": of_book.last_month,
    }  # fmt: skip
