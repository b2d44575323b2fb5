"""The texts for customers and operators about a failed step at Stripe."""

import pytest

from fly_billing.stripe_sync.rules.sync_failures import (
    ACCOUNT,
    ADDRESS,
    KNOWN_CODES,
    WAITING,
    request_log_url,
    stripe_failure,
)


@pytest.mark.parametrize("code", ["no_answer", "server_error", "conflict", "rate_limited", "lock_timeout"])
def test_a_temporary_failure_is_retried_and_the_customer_only_waits(code: str) -> None:
    failure = stripe_failure(code, "", None)
    assert (failure.retryable, failure.customer_text) == (True, WAITING)


@pytest.mark.parametrize(
    "code",
    ["authentication", "customer_missing", "customer_unknown", "verify_mismatch", "duplicate_in_stripe", "anything"],
)
def test_a_failure_that_needs_a_person_is_not_retried_automatically(code: str) -> None:
    assert not stripe_failure(code, "", None).retryable


def test_only_the_operators_text_has_stripes_message_and_request_id() -> None:
    failure = stripe_failure("a_code_of_next_year", "Amount must be no more than $999,999.99.", "req_123")
    assert failure.operator_text == (
        "Stripe refused the request: fix what its message says, then launch the partition again."
        " Stripe said: Amount must be no more than $999,999.99. (request req_123)"
    )
    assert (failure.code, failure.customer_text) == ("a_code_of_next_year", ACCOUNT)


def test_the_operator_can_open_the_request_in_stripes_dashboard() -> None:
    link = "https://dashboard.stripe.com/test/logs/req_123"
    failure = stripe_failure("lock_timeout", "", "req_123", link)
    assert failure.operator_text == (
        f"the object in Stripe was locked by another request: the next run continues. (request req_123, {link})"
    )


def test_a_request_is_found_in_the_dashboard_of_its_mode() -> None:
    assert request_log_url("req_1", livemode=True) == "https://dashboard.stripe.com/logs/req_1"
    assert request_log_url("req_1", livemode=False) == "https://dashboard.stripe.com/test/logs/req_1"


def test_the_customer_is_asked_to_correct_an_address_that_can_not_be_taxed() -> None:
    failure = stripe_failure("customer_tax_location_invalid", "", None)
    assert (failure.customer_text, failure.retryable) == (ADDRESS, False)


def test_a_missing_customer_names_the_column_to_correct() -> None:
    assert "organizations.stripe_customer_id" in stripe_failure("customer_missing", "", None).operator_text


def test_the_customers_text_never_mentions_keys_or_codes() -> None:
    texts = {stripe_failure(code, "", None).customer_text for code in KNOWN_CODES}
    assert texts == {WAITING, ACCOUNT, ADDRESS}
    for text in texts:
        assert "Stripe" not in text
        assert "amount is final" in text
