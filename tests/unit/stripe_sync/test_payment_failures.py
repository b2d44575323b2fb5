"""The text for a failed payment gives the customer the next step, and never a reason that only the
cardholder may know.
"""

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
def test_the_customers_text_gives_the_next_step(code: str | None, what_to_do: str) -> None:
    assert payment_failure(code).what_to_do == what_to_do


@pytest.mark.parametrize("code", ["lost_card", "stolen_card", "fraudulent", "pickup_card", "merchant_blacklist"])
def test_the_customers_text_does_not_mention_a_reported_card(code: str) -> None:
    held, declined = payment_failure(code), payment_failure("generic_decline")
    assert held.what_to_do == declined.what_to_do
    assert (held.may_be_quoted, declined.may_be_quoted) == (False, True)
    assert "don't tell the customer" in held.meaning


def test_the_customers_text_never_mentions_codes_or_stripe() -> None:
    for code in KNOWN_CODES:
        text = payment_failure(code).what_to_do
        assert "Stripe" not in text
        assert "_" not in text


def test_the_operators_text_explains_every_known_code() -> None:
    assert all(payment_failure(code).meaning for code in KNOWN_CODES)
    assert payment_failure("a_code_of_next_year").meaning == ""
