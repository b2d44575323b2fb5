"""A webhook request is an event that Stripe signed just now, or it is refused with a reason, for any content."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stripe import WebhookSignature

from fly_billing.stripe_sync.rules.events import NotAnEvent, StripeEvent, read_event
from fly_billing.stripe_sync.webhooks.signed import NotSigned, read_signed

SECRET = "whsec_of_the_test"
# A header's value from the server: bytes read as Latin-1.
VALUES = st.binary(max_size=200).map(lambda value: value.decode("latin-1"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def signed(payload: str) -> str:
    return str(WebhookSignature.generate_signature_header(payload, SECRET, int(time.time())))


@given(st.lists(VALUES | st.text() | VALUES.map(lambda value: f"t={int(time.time())},v1={value}"), max_size=2))
def test_a_header_made_without_the_secret_is_refused(headers: list[str]) -> None:
    with pytest.raises(NotSigned):
        read_signed(b"{}", headers, SECRET)


@given(st.integers() | st.text() | VALUES)
def test_a_time_outside_the_last_minutes_is_refused(at: int | str) -> None:
    digest = WebhookSignature._compute_signature(f"{at}.{{}}".encode(errors="replace").decode(), SECRET)
    with pytest.raises(NotSigned):
        read_signed(b"{}", [f"t={at},v1={digest}"], SECRET)


@given(st.binary(max_size=300))
def test_unsigned_bytes_are_refused(payload: bytes) -> None:
    with pytest.raises((NotSigned, NotAnEvent)):
        read_signed(payload, [signed("{}.")], SECRET)


@given(st.text().filter(lambda text: "{" not in text))
def test_a_signed_text_that_is_not_a_json_object_is_refused(text: str) -> None:
    with pytest.raises(NotAnEvent):
        read_signed(text.encode(), [signed(text)], SECRET)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_every_signed_json_object_is_read_unchanged(body: dict[str, Any]) -> None:
    payload = json.dumps(body)
    assert json.dumps(read_signed(payload.encode(), [signed(payload)], SECRET)) == payload


@given(st.sampled_from(["id", "type", "created", "data", "request", "livemode"]), JSON)
def test_a_json_object_is_an_event_that_can_be_stored_or_is_refused(name: str, value: Any) -> None:
    storable(event() | {name: value})


INVOICE = ["id", "metadata", "status_transitions", "last_finalization_error", "next_payment_attempt"]


@given(st.sampled_from(INVOICE), JSON)
def test_an_invoice_in_an_event_can_be_stored_or_is_refused(name: str, value: Any) -> None:
    storable(event(**{name: value}))


@given(st.sampled_from(["message", "code", "decline_code"]), JSON)
def test_an_error_in_an_event_can_be_stored_or_is_refused(name: str, value: Any) -> None:
    storable(event(last_finalization_error={name: value}))


def event(**invoice: Any) -> dict[str, Any]:
    thing = {"id": "in_1", "object": "invoice", **invoice}
    return {"id": "evt_1", "type": "invoice.finalization_failed", "created": 1763899200, "data": {"object": thing}}


def storable(body: dict[str, Any]) -> None:
    """Assert that a body is refused, or read as an event whose texts Postgres can store."""
    try:
        read = read_event(body)
    except NotAnEvent:
        return
    assert isinstance(read, StripeEvent)
    for text in (read.id, read.type, read.object_id, read.idempotency_key, read.error, read.error_code):
        assert text is None or (isinstance(text, str) and "\0" not in text and text.encode() is not None)
