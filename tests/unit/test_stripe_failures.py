"""What people are told when a step at Stripe fails."""

import pytest

from fly_billing.domain.stripe_failures import ACCOUNT, WAITING, stripe_failure


@pytest.mark.parametrize("code", ["no_answer", "server_error", "conflict", "rate_limited", "lock_timeout"])
def test_what_passes_by_itself_is_tried_again_and_the_customer_only_waits(code: str) -> None:
    failure = stripe_failure(code, "", None)
    assert (failure.retryable, failure.customer_text) == (True, WAITING)


@pytest.mark.parametrize(
    "code",
    ["authentication", "customer_missing", "customer_unknown", "verify_mismatch", "duplicate_in_stripe", "anything"],
)
def test_what_needs_a_person_is_not_tried_again_by_itself(code: str) -> None:
    assert not stripe_failure(code, "", None).retryable


def test_stripes_own_words_and_request_id_are_kept_for_the_operator_only() -> None:
    failure = stripe_failure("amount_too_large", "Amount must be no more than $999,999.99.", "req_123")
    assert failure.operator_text == (
        "Stripe refused the request: mend what its message says, then launch the partition again."
        " Stripe said: Amount must be no more than $999,999.99. (request req_123)"
    )
    assert failure.customer_text == ACCOUNT


def test_a_missing_customer_says_which_column_to_correct() -> None:
    assert "organizations.stripe_customer_id" in stripe_failure("customer_missing", "", None).operator_text


def test_the_customer_never_reads_about_keys_or_codes() -> None:
    for text in (WAITING, ACCOUNT):
        assert "Stripe" not in text
        assert "amount is final" in text
