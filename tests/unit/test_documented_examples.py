"""The examples of docs/price_books.md and of the public rating call give the printed results."""

import doctest
from pathlib import Path

from fly_billing.pricing.rules import rating

PRICE_BOOKS = Path(__file__).parents[2] / "docs" / "price_books.md"


def test_the_rating_example_of_the_price_book_document_gives_the_printed_result() -> None:
    result = doctest.testfile(str(PRICE_BOOKS), module_relative=False)
    assert (result.failed, result.attempted) == (0, 6)


def test_the_examples_in_the_docstring_of_rate_give_the_printed_results() -> None:
    result = doctest.testmod(rating)
    assert (result.failed, result.attempted) == (0, 2)
