"""Price books: reads their files (`books/<name>/*.yaml`), loads them into Postgres, and reads them from there.

A file may have these parts:
  - `meters:`, `prices:` (`pricing.rules.prices.Price.from_data`), `taxes:` (`pricing.rules.tax_books`) and
    `reservations:`;
  - `negotiated:` and `members:`, the negotiated prices and their groups (`pricing.rules.negotiated_prices`);
  - `csv: {file: ..., each: {...}}`, which makes a price from each row of a table. `{column}` in any text of `each`
    stands for the row's value. `negotiated_csv` and `members_csv` do the same.

Loading updates or inserts by book, key and effective_from (of a tax rate: first_month). The database refuses to change
a price or rate that a finalized invoice used. The column `settings` has the price fields without their own column.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import fields as fields_of
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.bounds import refuse_incomplete
from fly_billing.foreign_text import visible
from fly_billing.postgres.database import copy_rows, records, rows, values
from fly_billing.postgres.isolation import VALUE_ERRORS
from fly_billing.pricing.negotiated_prices import PriceBooks, load_agreements, read_agreements
from fly_billing.pricing.rules.book_problems import (
    BookPrices,
    scope_of_nothing,
    unknown_meters,
    unmatchable_prices,
)
from fly_billing.pricing.rules.fields import (
    match_text,
    read_match,
    read_object,
    read_printable,
    refuse_repeated,
    unreadable_reason,
)
from fly_billing.pricing.rules.meters import METER_COLUMNS, Meter
from fly_billing.pricing.rules.models import MODELS
from fly_billing.pricing.rules.negotiated_prices import Membership, NegotiatedPrice
from fly_billing.pricing.rules.prices import Price, PriceBook, UnreadablePrice, mixed_intervals
from fly_billing.pricing.rules.reservations import ReservationBlock
from fly_billing.pricing.rules.tax_books import BookTaxRate

if TYPE_CHECKING:
    from fly_billing.pricing.book_reading import BookReading

SHIPPED = Path(__file__).resolve().parent / "books"

PRICE_COLUMNS = (
    "id", "book", "key", "meter", "product", "description", "unit", "currency", "model", "unit_amount", "per", "tiers",
    "free_allowance", "match", "effective_from", "effective_until", "settings",
)  # fmt: skip
TAX_RATE_COLUMNS = (
    "id", "book", "key", "tax", "name", "percent", "is_inclusive", "category", "legal_text", "scope", "locations",
    "customers", "first_month", "last_month",
)  # fmt: skip


@dataclass(frozen=True)
class PriceBookFiles:
    """The contents of one book's files. Reservations are not loaded into Postgres.

    Raises:
        ValueError: Names the entry that the book has twice, a fee with several intervals, or a tax rate for something
            that the book does not sell.
    """

    name: str
    meters: Sequence[Meter]
    prices: Sequence[Price]
    reservations: Sequence[ReservationBlock] = ()
    taxes: Sequence[BookTaxRate] = ()
    negotiated: Sequence[NegotiatedPrice] = ()
    members: Sequence[Membership] = ()

    def __post_init__(self) -> None:
        what = f"price book {self.name}"
        refuse_repeated((price.name + _matching(price) for price in self.negotiated), what)
        refuse_repeated((f"{m.organization_id} in group {m.group} from {_minute(m.start)}" for m in self.members), what)
        refuse_repeated((f"meter {meter.key}" for meter in self.meters), what)
        refuse_repeated((f"price {price.key} from {_minute(price.effective_from)}" for price in self.prices), what)
        refuse_repeated((f"reservation {b.key} from {_minute(b.effective_from)}" for b in self.reservations), what)
        refuse_repeated((f"tax rate {rate.key} from {rate.first_month}" for rate in self.taxes), what)
        intervals: dict[str, set[str]] = {}
        for price in self.prices:
            intervals.setdefault(price.key, set()).add(price.interval)
        for key, of_key in sorted(intervals.items()):
            if len(of_key) > 1:
                raise ValueError(f"{what}: {mixed_intervals(key, sorted(of_key))}")
        for tax in self.taxes:
            self._refuse_scope_of_nothing(tax)

    def _refuse_scope_of_nothing(self, tax: BookTaxRate) -> None:
        """Refuse a rate for something the book does not sell: a misspelt scope would silently tax at another rate."""
        for problem in scope_of_nothing(tax.rate.scope, BookPrices.of(self.prices), [m.key for m in self.meters]):
            raise ValueError(f"price book {self.name}: tax rate {tax.key}: {problem}")


def _matching(price: NegotiatedPrice) -> str:
    return f" for {match_text(price.match)}" if price.match else ""


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def read_price_book_files(folder: Path) -> PriceBookFiles:
    """Read the files of a book. The folder's name is the book's.

    Raises:
        ValueError: Has a line for each mistake in all files: the file, the line, the entry and the field.
    """
    from fly_billing.pricing.book_reading import read_book  # here, because most commands with prices read no YAML

    reading = read_book(folder)
    if reading.problems:
        raise ValueError("\n".join(reading.problems))
    return files_of(reading)


def files_of(reading: BookReading) -> PriceBookFiles:
    """Return the contents of a book whose files have no mistakes."""
    from fly_billing.pricing.book_reading import READ_PARTS

    return PriceBookFiles(reading.name, *([read.entry for read in reading.entries[part]] for part in READ_PARTS))


def read_dimensions(connection: Connection) -> dict[str, tuple[str, ...]]:
    """Return the dimensions of every meter by key."""
    return {meter.key: tuple(meter.dimensions) for meter in records(connection, _MeterRow, "meter_dimensions")}


@dataclass(frozen=True)
class _MeterRow:
    key: str
    dimensions: Sequence[str]


def load_price_book(connection: Connection, book: PriceBookFiles) -> None:
    """Write the book into Postgres. Existing entries stay; loading a book twice changes nothing.

    Raises:
        ValueError: Names every price of an unknown meter, every negotiated price that can't be billed, or a fee that
            would have several intervals. The caller must roll the transaction back.
    """
    rows(connection, "make_loaded_prices")
    copy_rows(connection, "loaded_meters", METER_COLUMNS, (meter.as_row() for meter in book.meters))
    copy_rows(connection, "loaded_prices", PRICE_COLUMNS, (_price_row(price) for price in book.prices))
    rows(connection, "add_loaded_meters")
    meters = read_dimensions(connection)
    if wrong := {**unmatchable_prices(book.prices, meters), **unknown_meters(book.prices, meters)}:
        raise ValueError(
            "\n".join(visible(f"price book {book.name}: {problem}") for _, problem in sorted(wrong.items()))
        )
    rows(connection, "add_loaded_prices")
    for mixed in records(connection, mixed_intervals, "mixed_intervals", book=book.name):
        raise ValueError(f"price book {book.name}: {mixed}")
    copy_rows(connection, "loaded_tax_rates", TAX_RATE_COLUMNS, map(_tax_rate_row, book.taxes))
    rows(connection, "add_loaded_tax_rates")
    if book.negotiated or book.members:
        listed = read_price_books(connection).get(book.name, [])
        load_agreements(connection, book.name, listed, book.negotiated, book.members, meters)


def _price_row(price: Price) -> tuple[Any, ...]:
    data = price.to_data()
    settings = {name: value for name, value in data.items() if name not in PRICE_COLUMNS}
    model = price.model
    return (
        price.id, price.book, price.key, price.meter, price.product, price.description, price.unit, price.currency,
        model.NAME, data.get("unit_amount"), data.get("per", "1") if "per" in model.FIELDS else None,
        json.dumps(data["tiers"]) if "tiers" in data else None, price.free_allowance, json.dumps(price.match),
        price.effective_from, price.effective_until, json.dumps(settings),
    )  # fmt: skip


def _tax_rate_row(of_book: BookTaxRate) -> tuple[Any, ...]:
    rate = of_book.rate
    return (
        rate.id, of_book.book, of_book.key, rate.tax, rate.name, rate.percent, rate.is_inclusive, rate.category,
        rate.legal_text, json.dumps(of_book.scope_data()), list(rate.locations), list(rate.customers),
        of_book.first_month.first_day, of_book.last_month.first_day if of_book.last_month else None,
    )  # fmt: skip


def read_price_books(connection: Connection) -> dict[str, list[Price]]:
    """Read the price versions of every book, without the damaged ones."""
    return {book: prices for book, (prices, _) in _prices_of_books(connection).items()}


def open_price_books(connection: Connection) -> PriceBooks:
    """Read every book from Postgres, with its negotiated prices. A damaged price fails only those it prices."""
    books = {book: PriceBook(prices, wrong) for book, (prices, wrong) in _prices_of_books(connection).items()}
    agreements = read_agreements(connection)
    return PriceBooks(books, agreements.negotiated(), agreements.unreadable)


def kept_price_books(connection: Connection) -> PriceBooks:
    """Return `open_price_books`, kept by this process until a price or an agreement changes.

    For single invoices on demand: reading a thousand prices takes 50 times as long as calculating one. The books are
    those that the connection's transaction sees.
    """
    (version,) = values(connection, "version_of_price_books")
    key = str(connection.engine.url), version
    books = _kept_books.get(key)
    if books is None:
        _kept_books.clear()
        books = _kept_books[key] = open_price_books(connection)
    return books


# The last books that were read: by database and version.
_kept_books: dict[tuple[str, str], PriceBooks] = {}


@dataclass(frozen=True)
class _PriceRow:
    """A row of `prices`, unchecked: it may be older than the database's constraints, or damaged."""

    id: UUID
    book: str
    key: str
    meter: str | None
    product: str
    description: str
    unit: str
    currency: str
    model: str
    unit_amount: Any
    per: Any
    tiers: Any
    free_allowance: Any
    match: Any
    effective_from: Any
    effective_until: Any
    settings: Any

    def read(self) -> Price:
        """Return the price. Raises ValueError naming the column that is wrong."""
        refuse_incomplete(vars(self), {"meter", "unit_amount", "per", "tiers", "effective_until"})
        for name, value in (("key", self.key), ("product", self.product), ("unit", self.unit)):
            read_printable(name, value)
        read_printable("description", self.description, 5000)
        settings = read_object("settings", self.settings)
        if misplaced := sorted(settings.keys() & {field.name for field in fields_of(self)}):
            raise ValueError(f"settings contains {', '.join(misplaced)}, which has a column of its own")
        if self.per is None and self.model in MODELS and "per" in MODELS[self.model].FIELDS:
            raise ValueError("per is missing")
        match = read_object("match", self.match)
        columns = {name: value for name, value in vars(self).items() if name not in ("id", "book", "settings")}
        data = {name: value for name, value in columns.items() if value is not None}
        price = Price.from_data(self.book, data | {"match": match} | settings)
        if price.id != self.id:
            raise ValueError(
                f"id {self.id} does not belong to its book, key and effective_from {self.effective_from:%Y-%m-%d}"
            )
        return price

    def unreadable(self, problem: Exception) -> UnreadablePrice:
        """Describe the damage, and the usage and time that the price may be for."""
        try:
            match = read_match({"match": read_object("match", self.match)})
        except VALUE_ERRORS:
            match = None
        begins, ends = (
            moment if isinstance(moment, datetime) else None for moment in (self.effective_from, self.effective_until)
        )
        return UnreadablePrice(
            self.key, self.meter, unreadable_reason(problem), match, begins, ends, self.book, self.id
        )


def _prices_of_books(connection: Connection) -> dict[str, tuple[list[Price], list[UnreadablePrice]]]:
    books: dict[str, tuple[list[Price], list[UnreadablePrice]]] = defaultdict(lambda: ([], []))
    for row in records(connection, _PriceRow, "prices"):
        prices, wrong = books[row.book]
        try:
            prices.append(row.read())
        except VALUE_ERRORS as problem:
            wrong.append(row.unreadable(problem))
    return books


def read_price(connection: Connection, price_id: UUID) -> Price | None:
    """Read one version of a price; None if there is no such version."""
    return next((row.read() for row in records(connection, _PriceRow, "price_version", id=price_id)), None)
