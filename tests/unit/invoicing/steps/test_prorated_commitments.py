"""A minimum or maximum that covers only a part of its months is prorated by seconds."""

from dataclasses import replace
from decimal import Decimal

import pytest

from fly_billing.invoicing.rules.steps.commitments import apply_commitments
from fly_billing.money import to_cents
from tests.unit.invoicing.steps.invoices_in_progress import amounts, invoice_of, item, maximum, minimum, only

DAY = 86_400


@pytest.mark.parametrize(
    ("agreed", "days", "of", "used", "missing"),
    [
        ("100", 10, 30, "0", 3333),
        ("100", 10, 30, "30", 333),
        ("100", 10, 30, "33.34", 0),
        ("100", 15, 30, "20", 3000),
        ("100", 30, 30, "20", 8000),
        ("100", 0, 30, "0", 0),
        ("300", 46, 92, "100", 5000),  # a quarter, from its middle on
        ("31", 1, 31, "0", 100),
    ],
)
def test_a_minimum_is_prorated_by_the_time_that_it_ran(
    agreed: str, days: int, of: int, used: str, missing: int
) -> None:
    commitment = replace(minimum(agreed), ran_seconds=Decimal(days * DAY), whole_seconds=Decimal(of * DAY))
    invoice = invoice_of(item("web", used), commitments=[commitment])
    apply_commitments(invoice)
    assert to_cents(sum(amounts(invoice, "minimum"), Decimal(0)), "USD") == missing


def test_a_maximum_is_prorated_too() -> None:
    """90.00 are 45.00 at most for half a month: 15.00 of 60.00 are taken off."""
    commitment = replace(maximum("90"), ran_seconds=Decimal(15 * DAY), whole_seconds=Decimal(30 * DAY))
    invoice = invoice_of(item("web", "60"), commitments=[commitment])
    apply_commitments(invoice)
    assert amounts(invoice, "maximum") == [Decimal(-15)]
    detail = only(invoice, "maximum").detail
    assert (detail["maximum"], detail["agreed"]) == ("45", "90")


def test_two_commitments_are_ordered_by_their_amounts() -> None:
    """At least 120.00 are 30.00 for a quarter of the month, below the 40.00 at most: 10.00 become 30.00."""
    least = replace(minimum("120"), ran_seconds=Decimal(1), whole_seconds=Decimal(4))
    invoice = invoice_of(item("web", "10"), commitments=[maximum("40"), least])
    apply_commitments(invoice)
    assert (amounts(invoice, "minimum"), amounts(invoice, "maximum")) == ([Decimal(20)], [])
