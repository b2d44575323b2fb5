"""Totals that Stripe can't charge are found before anything is sent."""

import pytest

from fly_billing.domain.stripe_amounts import charging_problem
from fly_billing.domain.stripe_failures import ACCOUNT, stripe_failure


@pytest.mark.parametrize(
    ("currency", "total"),
    [
        ("USD", 1), ("USD", 1234), ("JPY", 7), ("HUF", 1234), ("TWD", 1234),
        ("KWD", 5120), ("KWD", -5120), ("BHD", 10), ("ISK", 500), ("UGX", 123400), ("UGX", -100), ("KWD", 0),
    ],
)  # fmt: skip
def test_a_total_that_stripe_charges_has_no_problem(currency: str, total: int) -> None:
    assert charging_problem(total, currency) is None


@pytest.mark.parametrize(
    ("currency", "total"),
    [("KWD", 5124), ("BHD", 1), ("JOD", 11), ("OMR", -5), ("TND", 109), ("ISK", 550), ("ISK", 10), ("UGX", 123401)],
)
def test_a_total_finer_than_stripe_charges_is_told_as_such(currency: str, total: int) -> None:
    assert charging_problem(total, currency) == "amount_not_chargeable"


def test_a_total_finer_than_stripe_charges_has_its_own_words() -> None:
    failure = stripe_failure("amount_not_chargeable", "", None)
    assert failure.customer_text == ACCOUNT
    assert failure.operator_text.startswith("the total is finer than Stripe charges (ISK and UGX: whole units only")
    assert not failure.retryable
