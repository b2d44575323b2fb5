"""Why a payment failed: the customer reads what they can do, and never what only the card's owner may know."""

import pytest

from fly_billing.stripe_sync.rules.payment_failures import KNOWN_CODES, payment_failure


@pytest.mark.parametrize(
    ("code", "what_to_do"),
    [
        ("expired_card", "Please use another card. You can pay the invoice online at any time."),
        (
            "insufficient_funds",
            "Please make sure there are sufficient funds, or use another card."
            " You can pay the invoice online at any time.",
        ),
        (
            "authentication_required",
            "Your bank asks you to confirm this payment. Please do so on the invoice's page.",
        ),
        (
            "account_closed",
            "Please check the bank account, or use another payment method. You can pay the invoice online at any time.",
        ),
        (
            "issuer_not_available",
            "The connection to your bank failed this time; there may be nothing wrong with your card."
            " You can pay the invoice online at any time.",
        ),
        ("a_code_of_next_year", "You can pay the invoice online at any time."),
        (None, "You can pay the invoice online at any time."),
    ],
)
def test_the_customer_reads_what_they_can_do(code: str | None, what_to_do: str) -> None:
    assert payment_failure(code).what_to_do == what_to_do


@pytest.mark.parametrize("code", ["lost_card", "stolen_card", "fraudulent", "pickup_card", "merchant_blacklist"])
def test_a_customer_does_not_read_that_a_card_is_reported(code: str) -> None:
    held, declined = payment_failure(code), payment_failure("generic_decline")
    assert held.what_to_do == declined.what_to_do
    assert (held.may_be_quoted, declined.may_be_quoted) == (False, True)
    assert "don't tell the customer" in held.meaning


def test_the_customer_never_reads_about_codes_or_stripe() -> None:
    for code in KNOWN_CODES:
        text = payment_failure(code).what_to_do
        assert "Stripe" not in text
        assert "_" not in text


def test_the_operator_reads_what_every_known_code_means() -> None:
    assert all(payment_failure(code).meaning for code in KNOWN_CODES)
    assert payment_failure("a_code_of_next_year").meaning == ""
