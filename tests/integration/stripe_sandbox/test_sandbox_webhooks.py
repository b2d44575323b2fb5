"""The sandbox lists its events and delivers them, signed, to every endpoint: on time, late, twice or out of order."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import stripe

from fly_billing.stripe_sandbox import SandboxControl, SandboxError, SandboxServer

Draft = Callable[..., stripe.Invoice]
SECRET = "whsec_sandbox"


class Receiver:
    """Receives events over HTTP on 127.0.0.1; answers `statuses` in turn, then 200."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.statuses: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                payload = self.rfile.read(int(self.headers["Content-Length"])).decode()
                stripe.WebhookSignature.verify_header(payload, self.headers["Stripe-Signature"], SECRET, 300)
                receiver.taken.append(json.loads(payload))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def types(self, at_least: int) -> list[str]:
        """Wait for this number of events; return the types of the received ones."""
        deadline = time.monotonic() + 120
        while len(self.taken) < at_least and time.monotonic() < deadline:
            time.sleep(0.01)
        return [event["type"] for event in self.taken]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


@pytest.fixture
def subscriber(control: SandboxControl, receiver: Receiver) -> Receiver:
    control.settings(webhook_retry_seconds=0.05)
    control.add_webhook_endpoint(receiver.url, SECRET)
    return receiver


def listed(client: stripe.StripeClient, **wanted: Any) -> list[str]:
    return [event.type for event in client.v1.events.list(wanted).data]  # type: ignore[arg-type]


def test_the_events_of_an_invoice_are_signed_and_in_order(
    client: stripe.StripeClient, draft: Draft, subscriber: Receiver
) -> None:
    invoice = client.v1.invoices.pay(client.v1.invoices.finalize_invoice(draft(900).id).id)
    assert subscriber.types(7) == [
        "invoice.created", "invoice.finalized", "charge.succeeded", "payment_intent.succeeded", "invoice_payment.paid",
        "invoice.paid", "invoice.payment_succeeded",
    ]  # fmt: skip
    event = subscriber.taken[-1]
    assert (event["object"], event["livemode"], event["pending_webhooks"]) == ("event", False, 1)
    assert event["id"].startswith("evt_")
    assert event["api_version"] == "2026-10-28.endive"
    assert event["data"]["object"]["id"] == invoice.id
    statuses = [delivered["data"]["object"]["status"] for delivered in subscriber.taken]
    assert statuses == ["draft", "open", "succeeded", "succeeded", "paid", "paid", "paid"]


def test_an_event_names_the_request_and_the_key_behind_it(client: stripe.StripeClient, control: SandboxControl) -> None:
    client.v1.invoices.create({"customer": "cus_1234"}, {"idempotency_key": "key-1"})
    (event,) = client.v1.events.list().data
    (call,) = control.calls(endpoint="invoices.create")
    assert event.request is not None
    assert (event.request.id, event.request.idempotency_key) == (call["request_id"], "key-1")


@pytest.mark.parametrize(
    ("end", "type"),
    [
        ("void_invoice", "invoice.voided"),
        ("mark_uncollectible", "invoice.marked_uncollectible"),
        ("pay", "invoice.paid"),
    ],
)
def test_every_end_of_an_open_invoice_is_an_event(
    client: stripe.StripeClient, draft: Draft, end: str, type: str
) -> None:
    invoice = client.v1.invoices.finalize_invoice(draft(900).id)
    getattr(client.v1.invoices, end)(invoice.id)
    ends = [each for each in listed(client) if each.startswith("invoice.")]
    assert ends == [
        *(["invoice.payment_succeeded"] if end == "pay" else []),
        type,
        "invoice.finalized",
        "invoice.created",
    ]


def test_an_invoice_below_the_minimum_charge_is_finalized_and_paid(client: stripe.StripeClient, draft: Draft) -> None:
    client.v1.invoices.finalize_invoice(draft(49).id)
    assert listed(client) == ["invoice.paid", "invoice.finalized", "customer.updated", "invoice.created"]


def test_a_deleted_customer_is_an_event(client: stripe.StripeClient, control: SandboxControl) -> None:
    client.v1.customers.delete("cus_1234")
    assert listed(client) == ["customer.deleted"]


def test_a_refused_or_replayed_request_is_no_event(client: stripe.StripeClient, control: SandboxControl) -> None:
    for _ in range(2):
        client.v1.invoices.create({"customer": "cus_1234"}, {"idempotency_key": "key-1"})
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.invoices.create({"customer": "cus_none"})
    assert listed(client) == ["invoice.created"]


def test_a_failed_payment_has_an_event_and_its_reason_in_the_invoices_payment(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    invoice = client.v1.invoices.finalize_invoice(draft(900).id)
    before = control.now()
    control.fail_payment(invoice.id, code="expired_card", message="Your card has expired.")
    after = control.now()
    failed = client.v1.invoices.retrieve(invoice.id)
    assert (failed.status, failed.attempted, failed.attempt_count) == ("open", True, 1)
    assert failed.next_payment_attempt is not None
    assert before <= failed.next_payment_attempt - 3 * 86400 <= after
    assert listed(client, limit=1) == ["invoice.payment_failed"]
    wanted: Any = {"invoice": invoice.id, "expand": ["data.payment.payment_intent"]}
    (payment,) = client.v1.invoice_payments.list(wanted).data
    intent: Any = payment.payment.payment_intent
    assert (intent.last_payment_error.code, intent.last_payment_error.message) == (
        "expired_card",
        "Your card has expired.",
    )
    client.v1.invoices.pay(invoice.id)
    (payment,) = client.v1.invoice_payments.list({"invoice": invoice.id}).data
    assert (payment.status, payment.amount_paid, payment.payment.payment_intent) == ("paid", 900, intent.id)


def test_only_an_open_invoices_payment_and_a_drafts_finalization_can_be_set_to_fail(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    with pytest.raises(SandboxError, match="open invoice"):
        control.fail_payment(draft(900).id)
    with pytest.raises(SandboxError, match="a draft"):
        control.fail_finalization(client.v1.invoices.finalize_invoice(draft(900).id).id)
    with pytest.raises(SandboxError, match="No such invoice"):
        control.fail_payment("in_none")


def test_a_failed_finalization_has_an_event_and_ends_with_the_finalization(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    invoice = draft(900)
    control.fail_finalization(invoice.id, message="No address.")
    assert listed(client, limit=1) == ["invoice.finalization_failed"]
    error = client.v1.invoices.retrieve(invoice.id).last_finalization_error
    assert error is not None
    assert error.message == "No address."
    assert client.v1.invoices.finalize_invoice(invoice.id).last_finalization_error is None


def test_events_are_listed_by_page_type_and_time(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    client.v1.invoices.finalize_invoice(draft(900).id)
    control.advance_clock(3600)
    draft(100)
    first = client.v1.events.list({"limit": 2})
    assert ([event.type for event in first.data], first.has_more) == (["invoice.created", "invoice.finalized"], True)
    rest = client.v1.events.list({"limit": 2, "starting_after": first.data[-1].id})
    assert ([event.type for event in rest.data], rest.has_more) == (["invoice.created"], False)
    assert listed(client, ending_before=rest.data[0].id) == ["invoice.created", "invoice.finalized"]
    assert listed(client, type="invoice.finalized") == ["invoice.finalized"]
    assert listed(client, types=["invoice.finalized", "invoice.paid"]) == ["invoice.finalized"]
    assert listed(client, created={"gte": control.now() - 60}) == ["invoice.created"]
    assert client.v1.events.retrieve(rest.data[0].id).type == "invoice.created"


def test_events_are_gone_after_30_days(client: stripe.StripeClient, control: SandboxControl, draft: Draft) -> None:
    draft()
    (event,) = client.v1.events.list().data
    control.advance_clock(31 * 24 * 3600)
    assert listed(client) == []
    with pytest.raises(stripe.InvalidRequestError, match="No such event"):
        client.v1.events.retrieve(event.id)


# Faults of deliveries ----------------------------------------------------------------------------------------------


def test_an_endpoint_gets_only_the_types_it_asked_for(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft, receiver: Receiver
) -> None:
    control.add_webhook_endpoint(receiver.url, SECRET, "invoice.fin*")
    client.v1.invoices.finalize_invoice(draft(900).id)
    assert receiver.types(1) == ["invoice.finalized"]


def test_an_event_can_come_late(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft, subscriber: Receiver
) -> None:
    control.add_fault("deliver_late", "webhooks.invoice.created", seconds=0.4)
    started = time.monotonic()
    client.v1.invoices.finalize_invoice(draft(900).id)
    assert subscriber.types(2) == ["invoice.finalized", "invoice.created"]
    assert time.monotonic() - started >= 0.4


def test_an_event_can_come_twice(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft, subscriber: Receiver
) -> None:
    control.add_fault("deliver_twice", "webhooks.invoice.finalized")
    client.v1.invoices.finalize_invoice(draft(900).id)
    assert subscriber.types(3) == ["invoice.created", "invoice.finalized", "invoice.finalized"]
    assert subscriber.taken[1]["id"] == subscriber.taken[2]["id"]


def test_events_can_come_out_of_order(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft, subscriber: Receiver
) -> None:
    control.add_fault("deliver_out_of_order", "webhooks.invoice.finalized")
    client.v1.invoices.pay(client.v1.invoices.finalize_invoice(draft(900).id).id)
    types = subscriber.types(7)
    assert types.index("invoice.finalized") > types.index("charge.succeeded")


def test_an_event_can_be_lost_and_is_still_listed(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft, subscriber: Receiver
) -> None:
    (rule,) = [control.add_fault("deliver_never", "webhooks.*", first=1)]
    client.v1.invoices.finalize_invoice(draft(900).id)
    assert subscriber.types(1) == ["invoice.finalized"]
    assert [delivery["state"] for delivery in control.deliveries()] == ["dropped", "delivered"]
    assert listed(client) == ["invoice.finalized", "invoice.created"]
    assert [(fault["id"], fault["fired"]) for fault in control.faults()] == [(rule["id"], 1)]
    event = client.v1.events.list({"type": "invoice.created"}).data[0]
    assert control.resend_event(event.id) == 1
    assert subscriber.types(2) == ["invoice.finalized", "invoice.created"]


def test_rules_for_deliveries_and_for_requests_are_independent(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft, subscriber: Receiver
) -> None:
    control.add_fault("deliver_never", "*")
    control.add_fault("slow", "*")
    draft(900)
    assert subscriber.types(0) == []
    assert [delivery["state"] for delivery in control.deliveries()] == ["dropped"]
    assert [(fault["effect"], fault["matched"]) for fault in control.faults()] == [("deliver_never", 1), ("slow", 2)]


@pytest.mark.parametrize("status", [302, 400, 500])
def test_a_refused_event_is_sent_again_until_it_is_accepted(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft, subscriber: Receiver, status: int
) -> None:
    subscriber.statuses = [status, status]
    draft()
    assert subscriber.types(3) == ["invoice.created"] * 3
    assert len({event["id"] for event in subscriber.taken}) == 1
    assert settled_delivery(control) == {"state": "delivered", "attempts": 3, "status": 200}


def test_an_unreachable_receiver_is_given_up_in_the_end(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    control.settings(webhook_retry_seconds=0.01, webhook_attempts=3)
    control.add_webhook_endpoint("http://127.0.0.1:9/nobody")
    draft()
    assert settled_delivery(control) == {"state": "given_up", "attempts": 3, "status": None}


def test_an_undelivered_event_is_delivered_after_a_crash(
    own_server: SandboxServer, connect: Callable[..., stripe.StripeClient], receiver: Receiver
) -> None:
    from fly_billing.stripe_sandbox import spawn

    own_server.control.seed_customer("cus_1234")
    own_server.control.add_webhook_endpoint(receiver.url, SECRET)
    own_server.control.add_fault("deliver_late", "webhooks.*", seconds=0.5)
    connect(own_server.url).v1.invoices.create({"customer": "cus_1234"})
    own_server.kill()
    with spawn(own_server.store_path):
        assert receiver.types(1) == ["invoice.created"]


def settled_delivery(control: SandboxControl) -> dict[str, Any]:
    """Return the only delivery once it is no longer pending."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        (found,) = control.deliveries()
        if found["state"] != "pending":
            break
        time.sleep(0.02)
    return {name: found[name] for name in ("state", "attempts", "status")}


def test_an_endpoint_needs_an_address(control: SandboxControl) -> None:
    with pytest.raises(SandboxError, match="http or https"):
        control.add_webhook_endpoint("ftp://127.0.0.1/")
    endpoint = control.add_webhook_endpoint("http://127.0.0.1:9/")
    assert endpoint["secret"].startswith("whsec_")
    control.clear_webhook_endpoints(endpoint["id"])
    assert control.webhook_endpoints() == []


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("http://127.0.0.1:1/h\u00f6ok", None),
        ("http://127.0.0.1:1/a b\n", None),
        ("http://127.0.0.1:99999/", None),
        ("http://127.0.0.1:1/", "whsec_\u00e9"),
        ("http://127.0.0.1:1/", "whsec_\ud800"),
    ],
)
def test_an_endpoint_with_an_unusable_address_is_refused(control: SandboxControl, url: str, secret: str | None) -> None:
    with pytest.raises(SandboxError):
        control.add_webhook_endpoint(url, secret)
    assert control.webhook_endpoints() == []


def test_an_endpoint_with_an_invalid_host_name_does_not_stop_the_others(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft, receiver: Receiver
) -> None:
    control.add_webhook_endpoint("http://a..b/", SECRET)
    control.add_webhook_endpoint(receiver.url, SECRET)
    draft(900)
    assert receiver.types(1) == ["invoice.created"]
