"""Reads the price books of a workspace: a folder of price_book/ each, and the negotiated prices of terms.yaml.

Not here: the files of a book (`pricing.price_books`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fly_billing.pricing.price_books import PriceBookFiles, read_price_book_files
from fly_billing.pricing.rules.fields import did_you_mean
from fly_billing.pricing.rules.negotiated_prices import Membership, NegotiatedPrice
from fly_billing.workspace.reading import WorkspaceReading

BOOKS = "price_book"
# The parts of terms.yaml that belong to price books.
NEGOTIATED, MEMBERS = "negotiated", "members"


def read_books(reading: WorkspaceReading, terms: Mapping[str, Any], name: str) -> list[PriceBookFiles]:
    """Read every price book. `terms`: the document of the file `name`. Reports the mistakes."""
    folder, found = reading.folder / BOOKS, []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix in (".yaml", ".yml", ".csv"):
            reading.report(f"{BOOKS}/{path.name}", f"move it into a folder of {BOOKS}/, whose name is the book's")
        elif path.is_dir():
            try:
                found.append(read_price_book_files(path))
            except ValueError as problem:
                reading.unread_books.add(path.name)
                reading.problems += [line.replace(f"{reading.folder}/", "") for line in str(problem).splitlines()]
    prices = _negotiated(reading, terms, name, found)
    members = _members(reading, terms, name)
    return [_complete(reading, name, book, prices[book.name], members if book is found[0] else ()) for book in found]


def only_book(reading: WorkspaceReading, books: Sequence[PriceBookFiles]) -> str | None:
    """Return the name of the workspace's only price book; None if it has none, or several."""
    names = {book.name for book in books} | reading.unread_books
    return next(iter(names)) if len(names) == 1 else None


def _negotiated(
    reading: WorkspaceReading, terms: Mapping[str, Any], name: str, books: Sequence[PriceBookFiles]
) -> dict[str, list[NegotiatedPrice]]:
    """Return the negotiated prices of terms.yaml by book. An entry without `book` is of the only one."""
    found: dict[str, list[NegotiatedPrice]] = {book.name: [] for book in books}
    only = only_book(reading, books)
    for place, data in reading.listed(terms, NEGOTIATED, name):
        book = data.get("book", only)
        rest = {field: value for field, value in data.items() if field != "book"}
        try:
            if book in reading.unread_books:
                continue
            if book not in found:
                known = ", ".join(found) or "none"
                raise ValueError(
                    f"negotiated price {data.get('key', '?')}: book {book!r} is not in {BOOKS}/"
                    f"{did_you_mean(book, found)}; known are {known}"
                )
            found[book].append(NegotiatedPrice.from_data(book, rest, place))
        except ValueError as problem:
            reading.report(place, str(problem))
    return found


def _members(reading: WorkspaceReading, terms: Mapping[str, Any], name: str) -> list[Membership]:
    found = []
    for place, data in reading.listed(terms, MEMBERS, name):
        try:
            found.append(Membership.from_data(data, place))
        except ValueError as problem:
            reading.report(place, str(problem))
    return found


def _complete(
    reading: WorkspaceReading,
    name: str,
    book: PriceBookFiles,
    negotiated: Sequence[NegotiatedPrice],
    members: Sequence[Membership],
) -> PriceBookFiles:
    try:
        return replace(book, negotiated=[*book.negotiated, *negotiated], members=[*book.members, *members])
    except ValueError as problem:  # an entry of both files
        reading.report(name, str(problem))
        return book
