"""The examples of docs/price_books.md and of the public rating call give what they say."""

import doctest
from pathlib import Path

from fly_billing.pricing.rules import rating

PRICE_BOOKS = Path(__file__).parents[2] / "docs" / "price_books.md"


def test_the_document_of_price_books_rates_a_price_as_it_says() -> None:
    found = doctest.testfile(str(PRICE_BOOKS), module_relative=False)
    assert (found.failed, found.attempted) == (0, 6)


def test_the_rating_call_does_what_its_docstring_says() -> None:
    found = doctest.testmod(rating)
    assert (found.failed, found.attempted) == (0, 2)
