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
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as fields_of
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.bounds import refuse_incomplete
from fly_billing.foreign_text import visible
from fly_billing.postgres.database import copy_rows, records, rows
from fly_billing.postgres.isolation import VALUE_ERRORS
from fly_billing.pricing.csv_tables import read_csv_table
from fly_billing.pricing.negotiated_prices import PriceBooks, load_agreements, read_agreements
from fly_billing.pricing.rules.aggregations import PROPERTY, SUM, Aggregation
from fly_billing.pricing.rules.book_problems import (
    no_dimension,
    problems_between_prices,
    scope_of_nothing,
    unknown_meters,
    unmatchable_prices,
)
from fly_billing.pricing.rules.fields import (
    read_match,
    read_object,
    read_printable,
    read_text,
    read_whole,
    refuse_repeated,
    refuse_unknown,
    unreadable_reason,
)
from fly_billing.pricing.rules.models import MODELS
from fly_billing.pricing.rules.negotiated_prices import Membership, NegotiatedPrice
from fly_billing.pricing.rules.prices import Price, PriceBook, UnreadablePrice, mixed_intervals
from fly_billing.pricing.rules.reservations import ReservationBlock
from fly_billing.pricing.rules.tax_books import BookTaxRate
from fly_billing.pricing.rules.transformed_quantity import EventRounding
from fly_billing.pricing.yaml_documents import YAMLError, mistake_in_yaml, read_yaml_document

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
# The parts that a file of a price book may have.
_PARTS = frozenset("meters prices csv reservations taxes negotiated negotiated_csv members members_csv".split())
TAX_RATE_COLUMNS = (
    "id", "book", "key", "tax", "name", "percent", "is_inclusive", "category", "legal_text", "scope", "locations",
    "customers", "first_month", "last_month",
)  # fmt: skip


@dataclass(frozen=True)
class Meter:
    """A meter: the unit that it counts, its aggregation, and the dimensions that every event must have.

    Several meters can read the same events.

    Attributes:
        event_type: The type of the events that it reads. None: its key.
        quantity_of: The property of an event's data that has the quantity. None: `quantity`.
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
                f"quantity_of {self.quantity_of!r} is not the name of a property of an event's data:"
                " use letters, digits and . _ / -"
            )

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Meter:
        """Read a meter of a price book with its aggregation. Raises ValueError naming the meter and the problem."""
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
        raise ValueError(f"dimensions {names!r} is not a list of texts: write [region, app]")
    return tuple(names)


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
        if problem := scope_of_nothing(tax.rate.scope, self.prices, [meter.key for meter in self.meters]):
            raise ValueError(f"price book {self.name}: tax rate {tax.key}: {problem}")


def _matching(price: NegotiatedPrice) -> str:
    return f" for {dict(price.match)}" if price.match else ""


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def read_price_book_files(folder: Path) -> PriceBookFiles:
    """Read the files of a book. The folder's name is the book's.

    Raises:
        ValueError: Has a line for each mistake in all files: the file, the line, the entry and the field. Without any,
            a line for each two prices that do not fit together.
    """
    book = folder.name
    found: dict[str, list[Any]] = defaultdict(list)
    places: dict[str, str] = {}
    problems: list[str] = []
    for path in sorted(path for path in folder.glob("*.y*ml") if path.suffix in (".yaml", ".yml")):
        try:
            document = read_yaml_document(path)
            refuse_unknown(document, _PARTS, "a price book's file")
        except (OSError, ValueError, YAMLError) as problem:
            problems.append(visible(f"{path}: {mistake_in_yaml(problem)}"))
            continue
        for part, read in _readers(book).items():
            try:
                for place, data in _entries(document, part, path):
                    try:
                        entry = read(data, place)
                        _refuse_second(entry, place, places)
                        found[part].append(entry)
                    except ValueError as problem:
                        problems.append(visible(f"{place}{problem}{_column(data, problem)}"))
            except (OSError, ValueError) as problem:
                problems += [visible(f"{path}: {line}") for line in str(problem).splitlines()]
    if problems:
        raise ValueError("\n".join(problems))
    files = PriceBookFiles(book, *(found[part] for part in _readers(book)))
    wrong = [f"{places[key]}{problem}" for key, problem in _of_no_dimension(files).items()]
    if together := [f"price book {book}: {problem}" for problem in problems_between_prices(files.prices)] + wrong:
        raise ValueError("\n".join(map(visible, together)))
    return files


def _refuse_second(entry: Any, place: str, places: dict[str, str]) -> None:
    """Raise ValueError if the book has this version of a price already; otherwise note its place, by key and version.

    Args:
        places: The place of each version by key and beginning, and of the first version of each key.
    """
    if isinstance(entry, ReservationBlock):
        places.setdefault(_reservation(entry), place)
    if not isinstance(entry, Price):
        return
    version = f"price {entry.key} from {_minute(entry.effective_from)}"
    if version in places:
        first = places[version].rstrip(": ")
        if f"{version} {entry.currency}" in places:
            raise ValueError(f"{version} is there twice, first in {first}")
        raise ValueError(
            f"{version} is in another currency in {first}: a book has one currency for a key, so give {entry.currency}"
            " a key or a book of its own"
        )
    places |= {version: place, f"{version} {entry.currency}": place}
    places.setdefault(entry.key, place)


def _reservation(block: ReservationBlock) -> str:
    return f"reservation {block.key}"


def _of_no_dimension(files: PriceBookFiles) -> dict[str, str]:
    """Return the problem of each price key or reservation that matches no dimension of its meter in this book."""
    meters = {meter.key: meter.dimensions for meter in files.meters}
    found = unmatchable_prices(files.prices, meters)
    for block in files.reservations:
        if problem := no_dimension([*block.match, block.bound_to], block.meter, meters):
            found[_reservation(block)] = f"{_reservation(block)}: {problem}"
    return found


def read_dimensions(connection: Connection) -> dict[str, tuple[str, ...]]:
    """Return the dimensions of every meter by key."""
    return {meter.key: tuple(meter.dimensions) for meter in records(connection, _MeterRow, "meter_dimensions")}


@dataclass(frozen=True)
class _MeterRow:
    key: str
    dimensions: Sequence[str]


def _readers(book: str) -> dict[str, Callable[[Mapping[str, Any], str], Any]]:
    """Return the function that reads an entry, by part of a file, in the order of `PriceBookFiles`."""
    return {
        "meters": lambda data, _: Meter.from_data(data),
        "prices": lambda data, _: Price.from_data(book, data),
        "reservations": lambda data, _: ReservationBlock.from_data(book, data),
        "taxes": lambda data, _: BookTaxRate.from_data(book, data),
        "negotiated": lambda data, place: NegotiatedPrice.from_data(book, data, place),
        "members": Membership.from_data,
    }


# A column's value in the text of a template: `{region}`.
COLUMN = re.compile(r"\{([^{}]*)\}")
# By part of a file: the part that makes its entries from a table.
_TABLES = {"prices": "csv", "negotiated": "negotiated_csv", "members": "members_csv"}


def _entries(document: Mapping[str, Any], part: str, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the entries of a part, those of a table last. Each has its place, with which its errors begin."""
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
        yield f"{path}: {file}: line {row.line}: ", _TableEntry(_filled(table["each"], row), table["each"])


class _TableEntry(dict[str, Any]):
    """An entry that was made from a row of a table, with the template that names the columns."""

    def __init__(self, data: Mapping[str, Any], template: Mapping[str, Any]) -> None:
        super().__init__(data)
        self.template = template


def _column(data: Mapping[str, Any], problem: ValueError) -> str:
    """Return the columns behind the field that a problem begins with: ` (column usd)`. Empty if there are none."""
    field = str(problem.__cause__ or problem).partition(" ")[0]
    columns = _columns(data.template.get(field)) if isinstance(data, _TableEntry) else []
    return f" ({'columns' if len(columns) > 1 else 'column'} {', '.join(columns)})" if columns else ""


def _columns(template: Any) -> list[str]:
    if isinstance(template, Mapping | list):
        inner = template.values() if isinstance(template, Mapping) else template
        return [column for part in inner for column in _columns(part)]
    return COLUMN.findall(template) if isinstance(template, str) else []


def _filled(template: Any, row: Mapping[str, str]) -> Any:
    """Replace each `{column}` in texts by the row's value. Raises ValueError if the table has no such column."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in row:
            raise ValueError(f"{found[0]} is not a column of the table; it has {', '.join(row)}")
        return row[found[1]]

    if isinstance(template, str):
        return COLUMN.sub(value, template)
    if isinstance(template, dict):
        return {name: _filled(value, row) for name, value in template.items()}
    if isinstance(template, list):
        return [_filled(value, row) for value in template]
    return template


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
