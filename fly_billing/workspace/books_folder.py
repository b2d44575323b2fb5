"""Reads the price books of a workspace: a folder of price_book/ each, and the negotiated prices of terms.yaml.

Not here: the files of a book (`pricing.book_reading`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from fly_billing.pricing.book_reading import (
    BookReading,
    read_entries,
    read_entry,
    report_between_entries,
    report_other_dimensions,
)
from fly_billing.pricing.negotiated_prices import misfits_of
from fly_billing.pricing.price_books import PriceBookFiles, files_of
from fly_billing.pricing.rules.book_problems import BookPrices, unknown_meters
from fly_billing.pricing.rules.fields import did_you_mean, shown
from fly_billing.pricing.rules.meters import Meter
from fly_billing.workspace.reading import WorkspaceReading

BOOKS = "price_book"
# The parts of terms.yaml that belong to price books, and the kinds of their records.
NEGOTIATED, MEMBERS = "negotiated", "members"
KINDS_OF_BOOKS = {NEGOTIATED: "negotiated price", MEMBERS: "group member"}
METER = "meter"


class WorkspaceBooks:
    """The price books of a workspace, as far as their files can be read.

    Attributes:
        readings: One for each folder of price_book/, with the negotiated prices of terms.yaml.
    """

    def __init__(self, reading: WorkspaceReading, terms: Mapping[str, Any], name: str) -> None:
        """Read every book. `terms`: the document of the file `name`."""
        self.readings: list[BookReading] = []
        self._reading = reading
        self._folder = reading.folder / BOOKS
        for path in sorted(self._folder.iterdir()) if self._folder.is_dir() else []:
            if path.suffix in (".yaml", ".yml", ".csv"):
                reading.report(f"{BOOKS}/{path.name}", f"move it into a folder of {BOOKS}/, whose name is the book's")
            elif path.is_dir():
                self.readings.append(read_entries(path))
        self._read_negotiated(terms, name)
        self._read_members(terms, name)

    @property
    def only(self) -> str | None:
        """The name of the only book; None: there is none, or there are several."""
        return self.readings[0].name if len(self.readings) == 1 else None

    @property
    def prices(self) -> dict[str, BookPrices]:
        """The prices of each book."""
        return {book.name: book.prices for book in self.readings}

    @property
    def has_all_meters(self) -> bool:
        """Return True if the books have no other meters than those whose keys can be read."""
        return all(book.has_all_meters for book in self.readings)

    def dimensions(self) -> dict[str, Iterable[str] | None]:
        """Return the dimensions of each meter of the files, by key. None: they can't be read."""
        return {key: dimensions for book in self.readings for key, dimensions in book.meters.items()}

    def meters(self) -> dict[str, Meter]:
        """Return the meters of all books by key. Several books may have a meter, if it is the same."""
        found: dict[str, Meter] = {}
        for book in self.readings:
            for read in book.having("meters", "key"):
                if not read.unread and found.setdefault(read.entry.key, read.entry) != read.entry:
                    book.report(read.place, f"meter {read.entry.key} differs from that of another book")
        return found

    def report(self, loaded: Mapping[str, BookPrices], meters: Mapping[str, Iterable[str] | None]) -> None:
        """Report the mistakes of all books.

        Args:
            loaded: The prices of each loaded book.
            meters: The dimensions of all meters, by key. None: they can't be read.
        """
        for book in self.readings:
            report_between_entries(book)
            report_other_dimensions(book, meters)
            if self.has_all_meters:
                _report_unknown_meters(book, meters)
            _report_misfits(book, loaded.get(book.name), meters)
            self._reading.problems += [problem.replace(f"{self._reading.folder}/", "") for problem in book.problems]

    def files(self) -> list[PriceBookFiles]:
        """Return the contents of the books, which have no mistakes."""
        return [files_of(book) for book in self.readings]

    def _read_negotiated(self, terms: Mapping[str, Any], name: str) -> None:
        """Read the negotiated prices of terms.yaml. An entry without `book` is of the only one."""
        books = {book.name: book for book in self.readings}
        for place, data in self._listed(terms, NEGOTIATED, name):
            book = self.only if data.get("book") is None else data["book"]
            if isinstance(book, str) and book in books:
                rest = {field: value for field, value in data.items() if field != "book"}
                read_entry(books[book], NEGOTIATED, rest, place)
                continue
            self._reading.report(place, f"negotiated price {shown(data)}: {_no_such_book(book, books)}")

    def _read_members(self, terms: Mapping[str, Any], name: str) -> None:
        # They are of no book, but are loaded with one.
        book = self.readings[0] if self.readings else BookReading("")
        for place, data in self._listed(terms, MEMBERS, name):
            read_entry(book, MEMBERS, data, place)
        if not self.readings:
            self._reading.problems += book.problems

    def _listed(self, terms: Mapping[str, Any], part: str, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        return self._reading.listed(terms, part, name, KINDS_OF_BOOKS[part])


def _no_such_book(book: Any, books: Collection[str]) -> str:
    if book is None and books:
        return f"book is missing: name the price book, one of {', '.join(books)}"
    if book is None:
        return f"there is no price book in {BOOKS}/"
    return f"book {book!r} is not in {BOOKS}/{did_you_mean(book, books)}; known are {', '.join(books) or 'none'}"


def _report_unknown_meters(book: BookReading, meters: Mapping[str, Any]) -> None:
    for read in book.having("prices", "meter"):
        for problem in unknown_meters([read.entry], meters.keys()).values():
            book.report(read.place, problem)


def _report_misfits(book: BookReading, loaded: BookPrices | None, meters: Mapping[str, Iterable[str] | None]) -> None:
    """Report negotiated prices of keys that the book does not have, and those that do not fit the list price."""
    dimensions = {meter: set(names) for meter, names in meters.items() if names is not None}
    keys = {price.key for price in book.prices.having("key")}
    whole = [price for price, unread in book.prices.listed if not unread]
    ended = [price for price in (loaded.having() if loaded else ()) if price.key not in keys]
    for read in book.having("negotiated", "key"):
        key = read.entry.key
        if key not in keys | {price.key for price in ended}:
            if book.prices.has_all("key"):
                meant = did_you_mean(key, keys)
                book.report(read.place, f"negotiated price {book.name}/{key}: the book has no such price{meant}")
            continue
        versions = [price for price in [*whole, *ended] if price.key == key]
        for problem in misfits_of(read.entry, versions, dimensions) if versions and not read.unread else ():
            book.report("", problem)
