"""The examples of docs/price_books.md and of the public rating call give the printed results."""

import doctest
from pathlib import Path

from fly_billing.pricing.rules import rating

PRICE_BOOKS = Path(__file__).parents[2] / "docs" / "price_books.md"


def test_the_document_of_price_books_rates_a_price_as_it_says() -> None:
    result = doctest.testfile(str(PRICE_BOOKS), module_relative=False)
    assert (result.failed, result.attempted) == (0, 6)


def test_the_rating_call_does_what_its_docstring_says() -> None:
    result = doctest.testmod(rating)
    assert (result.failed, result.attempted) == (0, 2)
