"""A failed request keeps Stripe's message, the request's id, and its link to the dashboard."""

from __future__ import annotations

from typing import Any, NoReturn

import stripe

from fly_billing.stripe_sync.client import StripeResponse, ask

LINK = "https://dashboard.stripe.com/test/logs/req_1?t=1764000000"


def answer_to(error: stripe.StripeError, *, livemode: bool = False) -> StripeResponse:
    def call() -> NoReturn:
        raise error

    return ask(call, livemode=livemode)


def error_of(body: Any, status: int = 400, **headers: str) -> stripe.StripeError:
    kind = stripe.InvalidRequestError if status == 400 else stripe.APIError
    given: dict[str, Any] = {"param": None} if status == 400 else {}
    return kind(
        message="No.", **given, http_status=status, json_body=body,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )  # fmt: skip


def test_the_link_of_stripe_is_used() -> None:
    answer = answer_to(error_of({"error": {"message": "No.", "request_log_url": LINK}}, request_id="req_1"))
    assert (answer.request_id, answer.log_url) == ("req_1", LINK)


def test_a_link_that_stripe_does_not_give_is_made_of_the_requests_id() -> None:
    broken = error_of(None, 502, request_id="req_2")
    assert answer_to(broken).log_url == "https://dashboard.stripe.com/test/logs/req_2"
    assert answer_to(broken, livemode=True).log_url == "https://dashboard.stripe.com/logs/req_2"


def test_a_request_that_never_reached_stripe_has_no_link() -> None:
    answer = answer_to(stripe.APIConnectionError("no route to host"))  # type: ignore[no-untyped-call]
    assert (answer.outcome, answer.request_id, answer.log_url) == ("unknown", None, None)
