"""The examples of the README and of the public rating call give what they say."""

import doctest
from pathlib import Path

from fly_billing.pricing.rules import rating

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_rates_a_price_as_it_says() -> None:
    found = doctest.testfile(str(README), module_relative=False)
    assert (found.failed, found.attempted) == (0, 6)


def test_the_rating_call_does_what_its_docstring_says() -> None:
    found = doctest.testmod(rating)
    assert (found.failed, found.attempted) == (0, 2)
