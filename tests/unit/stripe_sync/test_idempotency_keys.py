"""A request is repeated under its key only while Stripe is sure to replay the first response."""

from datetime import UTC, datetime, timedelta

import pytest

from fly_billing.stripe_sync.rules.idempotency_keys import Attempt, idempotency_key, is_safe_to_send, request_hash
from fly_billing.stripe_sync.rules.requests import StripeRequest, create_customer_request, discard_request

FINALIZE = StripeRequest("finalize", {"auto_advance": True})
SENT = datetime(2023, 7, 5, 12, tzinfo=UTC)


def attempt(outcome: str | None, sent_at: datetime = SENT, request: StripeRequest = FINALIZE) -> Attempt:
    return Attempt(1, request_hash(request), sent_at, outcome)


def test_a_first_request_is_safe() -> None:
    assert is_safe_to_send(FINALIZE, [], SENT)


@pytest.mark.parametrize("outcome", [None, "unknown", "applied"])
def test_a_request_that_stripe_may_have_received_is_safe_to_resend_for_23_hours(outcome: str | None) -> None:
    assert is_safe_to_send(FINALIZE, [attempt(outcome)], SENT + timedelta(hours=23))
    assert not is_safe_to_send(FINALIZE, [attempt(outcome)], SENT + timedelta(hours=23, seconds=1))


def test_the_23_hours_start_with_the_first_attempt_that_stripe_may_have_received() -> None:
    later = [attempt("unknown"), attempt("unknown", SENT + timedelta(hours=22))]
    assert not is_safe_to_send(FINALIZE, later, SENT + timedelta(hours=24))
    refused_first = [attempt("not_applied"), attempt("unknown", SENT + timedelta(hours=22))]
    assert is_safe_to_send(FINALIZE, refused_first, SENT + timedelta(hours=24))


def test_a_request_that_stripe_refused_is_safe_to_resend_at_any_time_with_any_parameters() -> None:
    other = StripeRequest("finalize", {"auto_advance": False})
    assert is_safe_to_send(FINALIZE, [attempt("not_applied", request=other)], SENT + timedelta(days=30))


@pytest.mark.parametrize("outcome", [None, "unknown", "applied"])
def test_a_key_is_never_sent_with_other_parameters(outcome: str | None) -> None:
    other = StripeRequest("finalize", {"auto_advance": False})
    assert not is_safe_to_send(FINALIZE, [attempt(outcome, request=other), attempt(outcome)], SENT)


def test_a_draft_may_be_deleted_again_at_any_time() -> None:
    attempts = [attempt("unknown", request=discard_request())]
    assert is_safe_to_send(discard_request(), attempts, SENT + timedelta(days=30))


@pytest.mark.parametrize(
    ("request_", "subject", "key"),
    [
        (create_customer_request("acme", "Acme Inc."), "acme", "fly_billing/acme/3/create_customer/0"),
        (StripeRequest("create", {}), "1111-22", "fly_billing/1111-22/3/create/0"),
        (StripeRequest("add_lines", {}, 2), "1111-22", "fly_billing/1111-22/3/add_lines/2"),
        (FINALIZE, "1111-22", "fly_billing/1111-22/3/finalize/0"),
        (StripeRequest("void", {"invoice": "in_1"}), "in_1", "fly_billing/in_1/3/void/0"),
        (StripeRequest("discard", {"invoice": "in_1"}), "in_1", "fly_billing/in_1/3/discard/0"),
    ],
)
def test_an_attempt_of_an_earlier_release_is_replayed_under_its_key(
    request_: StripeRequest, subject: str, key: str
) -> None:
    assert idempotency_key(request_, subject, 3) == key
