"""Price books: reviewed data in files (`books/<name>/*.yaml`), loaded into Postgres, read from there.

A file has `meters:`, `prices:` (the shape is `pricing.rules.prices.Price.from_data`), `taxes:`
(`pricing.rules.tax_books`), `reservations:`, and what was negotiated over the book: `negotiated:` and `members:`
(`pricing.rules.negotiated_prices`). It may make a price from each row of a table with `csv: {file: ..., each: {...}}`,
where `{column}` in any text of `each` stands for the row's value; `negotiated_csv` and `members_csv` do the same.
Loading is an upsert by (book, key, effective_from), or first_month of a tax rate; the database refuses to change a
price or rate that a finalized invoice used. Fields of a price without a column of their own are stored in the column
`settings`.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.bounds import refuse_unreadable
from fly_billing.postgres.database import Row, copy_rows, rows
from fly_billing.postgres.isolation import VALUE_ERRORS
from fly_billing.pricing.csv_tables import read_csv_table
from fly_billing.pricing.negotiated_prices import PriceBooks, load_agreements, read_agreements
from fly_billing.pricing.rules.aggregations import PROPERTY, SUM, Aggregation
from fly_billing.pricing.rules.fields import read_match, read_text, read_whole, refuse_repeated, refuse_unknown
from fly_billing.pricing.rules.negotiated_prices import Membership, NegotiatedPrice
from fly_billing.pricing.rules.prices import Price, PriceBook, UnreadablePrice, mixed_intervals
from fly_billing.pricing.rules.reservations import ReservationBlock
from fly_billing.pricing.rules.tax_books import BookTaxRate
from fly_billing.pricing.rules.transformed_quantity import EventRounding
from fly_billing.pricing.yaml_documents import YAMLError, read_yaml_document

SHIPPED = Path(__file__).resolve().parent / "books"

METER_FIELDS = frozenset(
    {
        "key",
        "name",
        "unit",
        "aggregation",
        "dimensions",
        "unique_of",
        "series",
        "time_unit",
        "round_each_event",
        "event_type",
        "quantity_of",
    }
)
METER_COLUMNS = (
    "key", "name", "unit", "aggregation", "dimensions", "unique_of", "series", "time_unit", "event_step", "event_round",
    "event_type", "quantity_of",
)  # fmt: skip
PRICE_COLUMNS = (
    "id", "book", "key", "meter", "product", "description", "unit", "currency", "model", "unit_amount", "per", "tiers",
    "free_allowance", "match", "effective_from", "effective_until", "settings",
)  # fmt: skip
# What a file of a price book may have.
_PARTS = frozenset("meters prices csv reservations taxes negotiated negotiated_csv members members_csv".split())
TAX_RATE_COLUMNS = (
    "id", "book", "key", "tax", "name", "percent", "is_inclusive", "category", "legal_text", "scope", "locations",
    "customers", "first_month", "last_month",
)  # fmt: skip


@dataclass(frozen=True)
class Meter:
    """What is counted: unit, how it adds up, and the dimensions every event must have.

    It reads events whose type is `event_type`, by default its key, and takes the property `quantity_of` of their data
    for the quantity, by default `quantity`. So several meters can read one event.
    """

    key: str
    name: str
    unit: str
    aggregation: Aggregation = SUM
    dimensions: tuple[str, ...] = ()
    event_type: str | None = None
    quantity_of: str | None = None

    def __post_init__(self) -> None:
        if self.quantity_of is not None and not PROPERTY.fullmatch(self.quantity_of):
            raise ValueError(
                f"quantity_of {self.quantity_of!r} names no property of an event's data:"
                " use letters, digits and . _ / -"
            )

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Meter:
        """Read a meter of a price book, the settings of its aggregation beside it. Raises ValueError naming it."""
        try:
            refuse_unknown(data, METER_FIELDS, "a meter")
            settings = {name: data.get(name) for name in ("unique_of", "series")}
            rounding = data.get("round_each_event")
            settings["round_each_event"] = None if rounding is None else EventRounding.from_data(rounding)
            settings["time_unit"] = None if data.get("time_unit") is None else read_whole(data, "time_unit")
            return cls(
                read_text(data, "key"),
                read_text(data, "name"),
                read_text(data, "unit"),
                Aggregation(data.get("aggregation", "sum"), **settings),
                _dimensions(data.get("dimensions") or ()),
                None if data.get("event_type") is None else read_text(data, "event_type"),
                None if data.get("quantity_of") is None else read_text(data, "quantity_of"),
            )
        except ValueError as problem:
            raise ValueError(f"meter {data.get('key')}: {problem}") from None

    def as_row(self) -> tuple[Any, ...]:
        """Return the values of METER_COLUMNS."""
        how = self.aggregation
        rounding = how.round_each_event
        return (
            self.key, self.name, self.unit, how.name, list(self.dimensions), how.unique_of, how.series, how.time_unit,
            rounding and rounding.step, rounding and rounding.round,
            self.event_type, self.quantity_of,
        )  # fmt: skip


def _dimensions(names: Any) -> tuple[str, ...]:
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"dimensions {names!r} is no list of texts: write [region, app]")
    return tuple(names)


@dataclass(frozen=True)
class PriceBookFiles:
    """All meters, price versions, reservation blocks and tax rates of one book, and what was negotiated over it.

    Reservations stay out of Postgres. Raises ValueError naming what the book has twice (a meter, a price version, a
    reservation block, a version of a tax rate or a negotiated price, a membership), or a tax rate for what the book
    does not sell.
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
        refuse_repeated((one.name + _matching(one) for one in self.negotiated), what)
        refuse_repeated(
            (f"{one.organization_id} in group {one.group} from {one.start:%Y-%m-%d %H:%M}" for one in self.members),
            what,
        )
        refuse_repeated((f"meter {one.key}" for one in self.meters), what)
        refuse_repeated((f"price {one.key} from {one.effective_from:%Y-%m-%d %H:%M}" for one in self.prices), what)
        refuse_repeated(
            (f"reservation {one.key} from {one.effective_from:%Y-%m-%d %H:%M}" for one in self.reservations), what
        )
        refuse_repeated((f"tax rate {one.key} from {one.first_month}" for one in self.taxes), what)
        intervals: dict[str, set[str]] = {}
        for price in self.prices:
            intervals.setdefault(price.key, set()).add(price.interval)
        for key, found in sorted(intervals.items()):
            if len(found) > 1:
                raise ValueError(f"{what}: {mixed_intervals(key, sorted(found))}")
        for one in self.taxes:
            self._refuse_scope_of_nothing(one)

    def _refuse_scope_of_nothing(self, tax: BookTaxRate) -> None:
        """Refuse a rate for what the book does not sell: misspelt, it would silently leave the wrong rate."""
        scope = tax.rate.scope
        # One-off items are records, each with a product of its own: a rate for just those may name any.
        products = () if scope.kinds == ("one_off",) else scope.products
        sold = {
            "products": (products, {one.product for one in self.prices} | {"One-off"}),
            "price_keys": (scope.price_keys, {one.key for one in self.prices}),
            "meter": ((scope.meter,) if scope.meter else (), {one.key for one in self.meters}),
            "match": (tuple(scope.match), {name for one in self.prices for name in one.match}),
        }
        for name, (named, known) in sold.items():
            if unknown := sorted(set(named) - known):
                raise ValueError(
                    f"price book {self.name}: tax rate {tax.key}: {name} {', '.join(unknown)}: no price of the book has"
                    " that"
                )


def _matching(one: NegotiatedPrice) -> str:
    return f" for {dict(one.match)}" if one.match else ""


def read_price_book_files(folder: Path) -> PriceBookFiles:
    """Read a book's folder; its name is the book's.

    Raises ValueError with a line for each mistake of all files: the file, the line, and the entry and field.
    """
    book = folder.name
    found: dict[str, list[Any]] = defaultdict(list)
    problems: list[str] = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            document = read_yaml_document(path)
            refuse_unknown(document, _PARTS, "a price book's file")
        except (OSError, ValueError, YAMLError) as problem:
            problems.append(f"{path}: {problem}")
            continue
        for part, read in _readers(book).items():
            try:
                for place, data in _entries(document, part, path):
                    try:
                        found[part].append(read(data, place))
                    except ValueError as problem:
                        problems.append(f"{place}{problem}")
            except (OSError, ValueError) as problem:
                problems.append(f"{path}: {problem}")
    if problems:
        raise ValueError("\n".join(problems))
    return PriceBookFiles(book, *(found[part] for part in _readers(book)))


def _readers(book: str) -> dict[str, Callable[[Mapping[str, Any], str], Any]]:
    """Return, by part of a file and in the order of `PriceBookFiles`, what reads an entry of it."""
    return {
        "meters": lambda data, _: Meter.from_data(data),
        "prices": lambda data, _: Price.from_data(book, data),
        "reservations": lambda data, _: ReservationBlock.from_data(book, data),
        "taxes": lambda data, _: BookTaxRate.from_data(book, data),
        "negotiated": lambda data, place: NegotiatedPrice.from_data(book, data, place),
        "members": Membership.from_data,
    }


# The part of a file that makes entries from a table, by that of which it makes them.
_TABLES = {"prices": "csv", "negotiated": "negotiated_csv", "members": "members_csv"}


def _entries(document: Mapping[str, Any], part: str, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the entries of a part, those that come from a table last, each with its place to begin an error with."""
    entries = document.get(part)
    if entries is not None:
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(f"{part} must be a list of entries with fields")
        for entry in entries:
            yield f"{path}: line {entry.line}: ", entry
    name = _TABLES.get(part, "")
    if (table := document.get(name)) is None:
        return
    if not isinstance(table, dict) or not isinstance(table.get("each"), dict):
        raise ValueError(f"{name} needs `file`, the table's name, and `each`, the fields of an entry")
    refuse_unknown(table, frozenset({"file", "each"}), name)
    file = read_text(table, "file")
    for row in read_csv_table(path.parent / file):
        yield f"{path}: {file}: line {row.line}: ", _filled(table["each"], row)


def _filled(template: Any, row: Mapping[str, str]) -> Any:
    """Replace each `{column}` of a text by the row's value. Raises ValueError for a column that the table lacks."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in row:
            raise ValueError(f"{found[0]} names no column of the table; it has {', '.join(row)}")
        return row[found[1]]

    if isinstance(template, str):
        return re.sub(r"\{([^{}]*)\}", value, template)
    if isinstance(template, dict):
        return {name: _filled(value, row) for name, value in template.items()}
    if isinstance(template, list):
        return [_filled(value, row) for value in template]
    return template


def load_price_book(connection: Connection, book: PriceBookFiles) -> None:
    """Write the book into Postgres. What is already there stays; loading it twice changes nothing.

    Raises ValueError naming every negotiated price that can't be billed, or a fee that would have several intervals:
    then the transaction is to be given up.
    """
    rows(connection, "make_loaded_prices")
    copy_rows(connection, "loaded_meters", METER_COLUMNS, (meter.as_row() for meter in book.meters))
    copy_rows(connection, "loaded_prices", PRICE_COLUMNS, (_price_row(price) for price in book.prices))
    rows(connection, "add_loaded_meters")
    rows(connection, "add_loaded_prices")
    for mixed in rows(connection, "mixed_intervals", book=book.name):
        raise ValueError(f"price book {book.name}: {mixed_intervals(mixed['key'], mixed['intervals'])}")
    copy_rows(connection, "loaded_tax_rates", TAX_RATE_COLUMNS, (_tax_rate_row(one) for one in book.taxes))
    rows(connection, "add_loaded_tax_rates")
    if book.negotiated or book.members:
        listed = read_price_books(connection).get(book.name, [])
        load_agreements(connection, book.name, listed, book.negotiated, book.members)


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


def _tax_rate_row(one: BookTaxRate) -> tuple[Any, ...]:
    rate = one.rate
    return (
        rate.id, one.book, one.key, rate.tax, rate.name, rate.percent, rate.is_inclusive, rate.category,
        rate.legal_text, json.dumps(one.scope_data()), list(rate.locations), list(rate.customers),
        one.first_month.first_day, one.last_month.first_day if one.last_month else None,
    )  # fmt: skip


def read_price_books(connection: Connection) -> dict[str, list[Price]]:
    """Read all price versions of every book that can be calculated with."""
    return {book: prices for book, (prices, _) in _prices_of_books(connection).items()}


def open_price_books(connection: Connection) -> PriceBooks:
    """Read every book from Postgres, with what was negotiated over it. What can't be calculated with fails those who
    use it, and nobody else."""
    books = {book: PriceBook(prices, wrong) for book, (prices, wrong) in _prices_of_books(connection).items()}
    agreements = read_agreements(connection)
    return PriceBooks(books, agreements.negotiated(), agreements.unreadable)


def _prices_of_books(connection: Connection) -> dict[str, tuple[list[Price], list[UnreadablePrice]]]:
    books: dict[str, tuple[list[Price], list[UnreadablePrice]]] = defaultdict(lambda: ([], []))
    for row in rows(connection, "prices"):
        prices, wrong = books[row["book"]]
        try:
            refuse_unreadable(row)
            prices.append(_price(row))
        except VALUE_ERRORS as problem:
            wrong.append(_unreadable(row, problem))
    return books


def _unreadable(row: Row, problem: Exception) -> UnreadablePrice:
    try:
        match = read_match(row)
    except VALUE_ERRORS:
        match = None
    begins, ends = (
        row[name] if isinstance(row[name], datetime) else None for name in ("effective_from", "effective_until")
    )
    return UnreadablePrice(row["key"], row["meter"], str(problem), match, begins, ends)


def read_price(connection: Connection, price_id: UUID) -> Price | None:
    """Read one version of a price; None where it is not there."""
    return next((_price(row) for row in rows(connection, "price_version", id=price_id)), None)


def _price(row: Row) -> Price:
    data = {name: value for name, value in row.items() if name not in ("book", "settings") and value is not None}
    return Price.from_data(row["book"], data | row["settings"])
