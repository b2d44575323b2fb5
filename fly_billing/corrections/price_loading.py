"""Loads a price book, and counts the changes of prices of closed months, which wait until someone decides.

Not here: how a price book is read and stored (`pricing.price_books`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import IntegrityError

from fly_billing.corrections.changed_terms import undecided_changes
from fly_billing.errors import ActionableError
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.isolation import reason_of
from fly_billing.pricing.price_books import PriceBookFiles, load_price_book, read_price_book_files


class PriceBookNotLoaded(ActionableError):
    """A price book has mistakes. The message names each of them; nothing was loaded."""


@dataclass(frozen=True)
class LoadedPrices:
    """A price book that was loaded.

    Attributes:
        undecided: The number of changes, by invoice, of prices of closed months that this load added.
    """

    book: PriceBookFiles
    undecided: int


def load_prices(database: BillingDatabase, folder: Path) -> LoadedPrices:
    """Load the price book in this folder.

    A price that a finalized invoice used can't change; a new version of it takes effect later.

    Raises:
        PriceBookNotLoaded: The folder has no price book, or one with mistakes.
    """
    before = len(undecided_changes(database))
    try:
        book = read_price_book_files(folder)
        if not (book.meters or book.prices or book.negotiated or book.members or book.taxes):
            raise ValueError(
                f"{folder} has nothing to load: a price book is a folder of .yaml files, like"
                " fly_billing/pricing/books/fly"
            )
        with database.transaction() as connection:
            load_price_book(connection, book)
    except (ValueError, IntegrityError) as problem:
        reason = problem if isinstance(problem, ValueError) else reason_of(problem)
        raise PriceBookNotLoaded(f"nothing was loaded:\n{reason}") from problem
    return LoadedPrices(book, len(undecided_changes(database)) - before)
