"""Reads the files of a price book, and finds every mistake in them: in an entry, and between entries.

An entry with a mistake still counts as there, with the fields that can be read. Not here: the lists and tables of a
file (`book_entries`), and loading books (`price_books`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from fly_billing.foreign_text import visible
from fly_billing.pricing.book_entries import PARTS, columns_behind, listed_entries, table_entries
from fly_billing.pricing.rules.book_problems import (
    BookPrices,
    Dimensions,
    PriceProblem,
    no_dimension,
    problems_between_prices,
    scope_of_nothing,
)
from fly_billing.pricing.rules.fields import match_text, refuse_unknown
from fly_billing.pricing.rules.meters import METER_FIELDS, Meter
from fly_billing.pricing.rules.models import MODELS
from fly_billing.pricing.rules.negotiated_prices import OF_ITS_OWN, Membership, NegotiatedPrice
from fly_billing.pricing.rules.partly_read import read_partly
from fly_billing.pricing.rules.prices import PRICE_FIELDS, Price
from fly_billing.pricing.rules.reservations import ReservationBlock
from fly_billing.pricing.rules.tax_books import FIELDS as TAX_FIELDS
from fly_billing.pricing.rules.tax_books import SCOPE_FIELDS, BookTaxRate
from fly_billing.pricing.yaml_documents import YAMLError, mistake_in_yaml, read_yaml_document


@dataclass(frozen=True)
class BookEntry:
    """An entry of a book's file.

    Attributes:
        place: The file and line, with which its errors begin.
        entry: A meter, price or other entry, with stand-ins for its unread fields.
        unread: The fields that have mistakes.
    """

    place: str
    entry: Any
    unread: frozenset[str] = frozenset()


@dataclass
class BookReading:
    """The contents of a book's files, as far as they can be read.

    Attributes:
        entries: By part of a file.
        problems: A line for each mistake: the file, the line, the entry and the field.
        is_whole: False: a file, or a part of it, can't be read, so that the book may have more entries.
    """

    name: str
    entries: dict[str, list[BookEntry]] = field(default_factory=lambda: {part: [] for part in READ_PARTS})
    problems: list[str] = field(default_factory=list)
    is_whole: bool = True

    def report(self, place: str, problem: str) -> None:
        self.problems.append(visible(f"{place}{problem}"))

    def having(self, part: str, *fields: str) -> Iterator[BookEntry]:
        """Yield the entries of which all these fields can be read."""
        return (entry for entry in self.entries[part] if entry.unread.isdisjoint(fields))

    @property
    def prices(self) -> BookPrices:
        listed = [(read.entry, read.unread) for read in self.entries["prices"]]
        return BookPrices(listed, self.is_whole)

    @property
    def meters(self) -> dict[str, frozenset[str] | None]:
        """The dimensions of each meter, by key. None: they can't be read."""
        return {
            read.entry.key: None if "dimensions" in read.unread else frozenset(read.entry.dimensions)
            for read in self.having("meters", "key")
        }

    @property
    def has_all_meters(self) -> bool:
        """Return True if it has no other meters than those whose keys can be read."""
        return self.is_whole and all("key" not in read.unread for read in self.entries["meters"])


@dataclass(frozen=True)
class _Part:
    """The way in which the entries of a part are read.

    Attributes:
        read: Makes an entry of the book from data at a place.
        known: All fields.
        stand_ins: A right value for each field that an entry may need.
        key: The fields by which two entries are the same, and how they are named.
    """

    read: Callable[[str, Mapping[str, Any], str], Any]
    known: frozenset[str]
    stand_ins: Mapping[str, Any]
    key: tuple[str, ...]
    name: Callable[[Any], str]


_START = "1970-01-01"
_CHARGE = {"unit_amount": "1", "percent": "1", "flat_amount": "1"}
_CHARGE_FIELDS = frozenset[str]().union(*(model.FIELDS for model in MODELS.values()))
_TEXT = "unread"
READ_PARTS: Mapping[str, _Part] = {
    "meters": _Part(
        lambda _, data, __: Meter.from_data(data), METER_FIELDS,
        {"key": _TEXT, "name": _TEXT, "unit": _TEXT},
        ("key",), lambda meter: f"meter {meter.key}",
    ),
    "prices": _Part(
        lambda book, data, _: Price.from_data(book, data), PRICE_FIELDS | _CHARGE_FIELDS,
        {"key": _TEXT, "product": _TEXT, "description": _TEXT, "unit": _TEXT, "effective_from": _START, **_CHARGE},
        ("key", "effective_from"), lambda price: f"price {price.key} from {_minute(price.effective_from)}",
    ),
    "reservations": _Part(
        lambda book, data, _: ReservationBlock.from_data(book, data),
        frozenset(ReservationBlock.__dataclass_fields__) - {"book"},
        {
            "key": _TEXT, "description": _TEXT, "upfront_amount": "1", "monthly_credit": "1", "months": "1",
            "meter": _TEXT, "bound_to": _TEXT, "effective_from": _START,
        },
        ("key", "effective_from"), lambda block: f"reservation {block.key} from {_minute(block.effective_from)}",
    ),
    "taxes": _Part(
        lambda book, data, _: BookTaxRate.from_data(book, data), TAX_FIELDS,
        {"key": _TEXT, "tax": _TEXT, "percent": "1", "first_month": "1970-01"},
        ("key", "first_month"), lambda tax: f"tax rate {tax.key} from {tax.first_month}",
    ),
    "negotiated": _Part(
        NegotiatedPrice.from_data, OF_ITS_OWN | PRICE_FIELDS | _CHARGE_FIELDS | {"percent_off"},
        {"key": _TEXT, "organization": _TEXT, "effective_from": _START, "percent_off": "1", **_CHARGE},
        ("key", "organization", "group", "match", "effective_from"),
        lambda price: price.name + (f" for {match_text(price.match)}" if price.match else ""),
    ),
    "members": _Part(
        lambda _, data, place: Membership.from_data(data, place),
        frozenset({"group", "organization", "effective_from", "effective_until"}),
        {"group": _TEXT, "organization": _TEXT, "effective_from": _START},
        ("group", "organization", "effective_from"),
        lambda member: f"{member.organization_id} in group {member.group} from {_minute(member.start)}",
    ),
}  # fmt: skip


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def read_book(folder: Path) -> BookReading:
    """Read the files of a book as far as they can be read. The folder's name is the book's."""
    reading = read_entries(folder)
    report_between_entries(reading)
    report_other_dimensions(reading, reading.meters)
    return reading


def read_entries(folder: Path) -> BookReading:
    """Read the entries of a book's files, without comparing them."""
    reading = BookReading(folder.name)
    for path in sorted(path for path in folder.glob("*.y*ml") if path.suffix in (".yaml", ".yml")):
        _read_file(reading, path)
    return reading


def _read_file(reading: BookReading, path: Path) -> None:
    try:
        document = read_yaml_document(path)
    except (OSError, ValueError, YAMLError) as problem:
        reading.is_whole = False
        reading.report(f"{path}: ", mistake_in_yaml(problem))
        return
    try:
        refuse_unknown(document, PARTS, "a price book's file")
    except ValueError as problem:
        reading.is_whole = False
        reading.report(f"{path}: ", str(problem))
    for part in READ_PARTS:
        for entries in (listed_entries, table_entries):
            try:
                for place, data in entries(document, part, path):
                    read_entry(reading, part, data, place)
            except (OSError, ValueError) as problem:
                reading.is_whole = False
                for line in str(problem).splitlines():
                    reading.report(f"{path}: ", line)


def read_entry(reading: BookReading, part: str, data: Mapping[str, Any], place: str) -> None:
    """Add an entry of a part of a file, and the mistakes in it."""
    how = READ_PARTS[part]
    found = read_partly(
        partial(_read_at, how.read, reading.name, place), data, {**how.stand_ins, **_charge(part, data)}, how.known
    )
    for problem in found.problems:
        reading.report(place, f"{problem}{columns_behind(data, problem.field)}")
    if found.entry is None:
        reading.is_whole = False
    else:
        reading.entries[part].append(BookEntry(place, found.entry, found.unread))


def _read_at(read: Callable[[str, Mapping[str, Any], str], Any], book: str, place: str, data: Mapping[str, Any]) -> Any:
    return read(book, data, place)


def _charge(part: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a right model and tiers for a charge of this shape."""
    if part not in ("prices", "negotiated"):
        return {}
    amount = "percent" if data.get("model") == "graduated_percentage" else "unit_amount"
    model = "graduated" if "tiers" in data else "percentage" if "percent" in data else "per_unit"
    return {"tiers": [{amount: "1"}], "model": model}


def report_between_entries(reading: BookReading) -> None:
    """Report entries that are there twice, prices that do not fit together, and taxes of nothing."""
    _report_repeated(reading)
    _report_prices(reading)
    _report_scopes(reading)


def _report_repeated(reading: BookReading) -> None:
    """Report entries that are there twice, and leave out the second."""
    for part, how in READ_PARTS.items():
        first: dict[str, BookEntry] = {}
        kept = []
        for read in reading.entries[part]:
            name = how.name(read.entry) if read.unread.isdisjoint(how.key) else ""
            other = first.setdefault(name, read) if name else read
            if other is read:
                kept.append(read)
            else:
                reading.report(read.place, _twice(name, read, other))
        reading.entries[part] = kept


def _twice(name: str, read: BookEntry, other: BookEntry) -> str:
    first, price = other.place.removesuffix(": "), read.entry
    is_known = isinstance(price, Price) and "currency" not in read.unread | other.unread
    if is_known and price.currency != other.entry.currency:
        return (
            f"{name} is in another currency in {first}: a book has one currency for a key, so give {price.currency} a"
            " key or a book of its own"
        )
    return f"{name} is there twice, first in {first}"


def _report_prices(reading: BookReading) -> None:
    places = {read.entry.id: read.place for read in reading.having("prices", "key", "effective_from")}
    for problem in problems_between_prices(reading.prices):
        reading.report(places.get(problem.prices[0].id, ""), f"{problem.problem}{_other_place(problem, places)}")


def _other_place(problem: PriceProblem, places: Mapping[Any, str]) -> str:
    """Return where the second price is: ` (the other is in prices.yaml: line 4)`."""
    others = [places[price.id].removesuffix(": ") for price in problem.prices[1:] if price.id in places]
    return f" (the other is in {others[0]})" if others else ""


def _report_scopes(reading: BookReading) -> None:
    """Report rates for something the book does not sell: a misspelt scope would silently tax at another rate."""
    for read in reading.having("taxes", *SCOPE_FIELDS):
        meters = reading.meters if reading.has_all_meters else [*reading.meters, read.entry.rate.scope.meter or ""]
        for problem in scope_of_nothing(read.entry.rate.scope, reading.prices, meters):
            reading.report(read.place, f"tax rate {read.entry.key}: {problem}")


def report_other_dimensions(reading: BookReading, meters: Mapping[str, Iterable[str] | None]) -> None:
    """Report prices and reservations that match something else than the dimensions of their meter.

    Args:
        meters: The dimensions of each meter, by key. None: they are not known.
    """
    known: Dimensions = {meter: set(dimensions) for meter, dimensions in meters.items() if dimensions is not None}
    for read in reading.having("prices", "match", "meter"):
        if problem := no_dimension(read.entry.match, read.entry.meter, known):
            reading.report(read.place, f"price {read.entry.key}: {problem}")
    for read in reading.having("reservations", "match", "meter", "bound_to"):
        if problem := no_dimension([*read.entry.match, read.entry.bound_to], read.entry.meter, known):
            reading.report(read.place, f"reservation {read.entry.key}: {problem}")
