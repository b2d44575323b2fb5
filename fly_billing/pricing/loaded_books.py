"""Reads the loaded price books, and their use. Not here: loading, and reading prices for billing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fly_billing.errors import ActionableError
from fly_billing.postgres.database import BillingDatabase
from fly_billing.pricing.price_books import read_price_books
from fly_billing.pricing.rules.fields import did_you_mean
from fly_billing.pricing.rules.prices import Price


class NoSuchPriceBook(ActionableError):
    """Neither a folder nor a loaded price book has this name."""


@dataclass(frozen=True)
class BookSummary:
    """A loaded price book: how many keys and versions it has, and how many organizations are charged by it."""

    book: str
    currencies: Sequence[str]
    keys: int
    versions: int
    in_force: int
    organizations: int


def summarize_books(database: BillingDatabase, at: datetime) -> list[BookSummary]:
    """Return a summary of each loaded book, by name. `at`: the time at which versions are in force."""
    return database.records(BookSummary, "price_books", at=at)


def prices_of_book(database: BillingDatabase, book: str) -> list[Price]:
    """Return the price versions of a loaded book. Raises NoSuchPriceBook."""
    with database.transaction() as connection:
        books = read_price_books(connection)
    if book not in books:
        loaded = ", ".join(sorted(books)) or "none"
        raise NoSuchPriceBook(
            f"{book!r} is neither a folder nor a loaded price book{did_you_mean(book, books)}; loaded are {loaded}"
        )
    return books[book]


def used_versions(database: BillingDatabase, versions: Iterable[UUID]) -> set[UUID]:
    """Return those of these price versions that charged an item of a final invoice."""
    return set(database.values("used_price_versions", ids=list(versions)))
