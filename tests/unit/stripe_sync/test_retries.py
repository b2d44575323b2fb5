"""A retry policy sets the number of tries and the pauses between them."""

from itertools import count, takewhile

from fly_billing.stripe_sync.client import APPLIED, NOT_APPLIED, UNKNOWN, StripeResponse
from fly_billing.stripe_sync.rules.retries import RetryPolicy


def pauses(policy: RetryPolicy) -> list[float]:
    found = (policy.pause_after(tries) for tries in count(1))
    return [pause for pause in takewhile(lambda pause: pause is not None, found) if pause is not None]


def test_a_request_is_tried_five_times_with_doubling_pauses() -> None:
    assert pauses(RetryPolicy()) == [0.5, 1, 2, 4]


def test_a_policy_of_one_try_never_retries() -> None:
    assert pauses(RetryPolicy(tries=1)) == []


def test_only_failures_that_may_succeed_later_are_retried() -> None:
    assert StripeResponse(UNKNOWN, code="no_answer").is_retryable
    assert StripeResponse(NOT_APPLIED, code="rate_limited").is_retryable
    assert StripeResponse(NOT_APPLIED, code="lock_timeout").is_retryable
    assert not StripeResponse(NOT_APPLIED, code="invalid_request").is_retryable
    assert not StripeResponse(APPLIED).is_retryable


def test_a_stored_response_is_not_requested_again() -> None:
    assert not StripeResponse(UNKNOWN, code="server_error", was_replayed=True).is_retryable
    assert not StripeResponse(NOT_APPLIED, code="lock_timeout", was_replayed=True).is_retryable


def test_only_a_new_429_about_our_rate_slows_the_sync_down() -> None:
    assert StripeResponse(NOT_APPLIED, code="rate_limited").is_rate_limited
    assert not StripeResponse(NOT_APPLIED, code="lock_timeout").is_rate_limited
    assert not StripeResponse(NOT_APPLIED, code="rate_limited", was_replayed=True).is_rate_limited
