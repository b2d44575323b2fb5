"""Totals that Stripe can't charge are found before a sync sends anything."""

import pytest

from fly_billing.invoicing.rules.chargeable_amounts import charging_problem, from_stripe, to_stripe
from fly_billing.stripe_sync.rules.sync_failures import ACCOUNT, stripe_failure


@pytest.mark.parametrize(
    ("currency", "total"),
    [
        ("USD", 1), ("USD", 1234), ("JPY", 7), ("HUF", 1234), ("TWD", 1234),
        ("KWD", 5120), ("KWD", -5120), ("BHD", 10), ("ISK", 501), ("UGX", 123456), ("UGX", -1), ("KWD", 0),
    ],
)  # fmt: skip
def test_a_total_that_stripe_can_charge_has_no_problem(currency: str, total: int) -> None:
    assert charging_problem(total, currency) is None


@pytest.mark.parametrize(
    ("currency", "total"),
    [("KWD", 5124), ("BHD", 1), ("JOD", 11), ("OMR", -5), ("TND", 109)],
)
def test_a_total_with_more_decimals_than_stripe_charges_is_named(currency: str, total: int) -> None:
    assert charging_problem(total, currency) == "amount_not_chargeable"


def test_a_total_with_more_decimals_than_stripe_charges_has_its_own_message() -> None:
    failure = stripe_failure("amount_not_chargeable", "", None)
    assert failure.customer_text == ACCOUNT
    assert failure.operator_text.startswith(
        "the total has more decimals than Stripe charges (BHD, JOD, KWD, OMR and TND"
    )
    assert not failure.retryable


@pytest.mark.parametrize(
    ("currency", "cents", "amount"),
    [("UGX", 101, 10100), ("ISK", -7, -700), ("ISK", 0, 0), ("JPY", 101, 101), ("KWD", 1230, 1230), ("USD", 101, 101)],
)
def test_kronur_and_shillings_have_no_minor_unit_and_two_decimals_at_stripe(
    currency: str, cents: int, amount: int
) -> None:
    assert to_stripe(cents, currency) == amount
    assert from_stripe(amount, currency) == (cents, 0)


def test_half_a_krona_at_stripe_is_not_read_as_a_whole_krona() -> None:
    assert from_stripe(10150, "ISK") == (101, 50)
    assert from_stripe(-150, "UGX") == (-2, 50)
