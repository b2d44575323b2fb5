"""Stripe's webhooks change our invoices: late, twice or out of order, each signed event takes effect once."""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import stripe
import uvicorn
from dagster import DagsterInstance, SkipReason, build_sensor_context
from sqlalchemy.exc import IntegrityError
from starlette.applications import Starlette

from fly_billing.alerting.unreported import queue_payment_failure_alerts
from fly_billing.http_limits import REQUEST_SECONDS, configuration
from fly_billing.postgres.database import BillingDatabase
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.resources.stripe_account import StripeAccount
from fly_billing.sensors.alert_on_failed_payment import alert_on_failed_payment
from fly_billing.sensors.poll_stripe_events import poll_stripe_events
from fly_billing.settings import Settings, SettingsError
from fly_billing.statements.statement_reader import read_statement
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.event_inbox import (
    PollReport,
    poll_events,
    record_event,
    settle_waiting_events,
)
from fly_billing.stripe_sync.rate_limiter import RateLimiter
from fly_billing.stripe_sync.reader import ReadingFailed, StripeReader
from fly_billing.stripe_sync.rules.events import read_event
from fly_billing.stripe_sync.sender import StripeSender
from fly_billing.stripe_sync.webhooks import PATH, build_app, serve
from fly_billing.stripe_sync.webhooks.server import make_receiver
from tests.support.stripe_builders import (
    API_KEY,
    bill_june,
    entry,
    execute,
    hurried,
    invoice_in_stripe,
    query,
    sync,
    sync_tools,
    utc_now,
)
from tests.support.unguarded import damage

SECRET = "whsec_of_the_test"


def reader_of(database: BillingDatabase, client: stripe.StripeClient) -> StripeReader:
    return StripeReader(client, StripeSender(RateLimiter(database, 100, 25), sleep=hurried))


@contextmanager
def serving(
    database: BillingDatabase, client: stripe.StripeClient | None, port: int = 0, seconds: float = REQUEST_SECONDS
) -> Iterator[str]:
    """Run the service in a thread on 127.0.0.1; yield its address. `seconds`: for each request to arrive."""
    take_in = make_receiver(database, reader_of(database, client) if client else None)
    with listening(build_app(SECRET, take_in), port, seconds) as url:
        yield url


@contextmanager
def listening(app: Starlette, port: int = 0, seconds: float = REQUEST_SECONDS) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", port))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    server = uvicorn.Server(configuration(app, seconds=seconds, log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}"
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def client(sandbox: SandboxServer) -> stripe.StripeClient:
    http = stripe.RequestsClient(timeout=120)
    return stripe.StripeClient(API_KEY, base_addresses={"api": sandbox.url}, http_client=http, max_network_retries=0)


@pytest.fixture
def service(billing_database: BillingDatabase, client: stripe.StripeClient) -> Iterator[str]:
    with serving(billing_database, client) as url:
        yield url


@pytest.fixture
def acme(billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path) -> str:
    """Acme's invoice of $12.00 for June 2023, finalized and in Stripe; return its id there."""
    bill_june(billing_database, tmp_path, acme=["12.00"])
    sync(sync_tools(billing_database, sandbox.url))
    return str(invoice_in_stripe(sandbox, "acme")["id"])


@pytest.fixture
def subscribed(sandbox: SandboxServer, service: str, acme: str) -> str:
    """Subscribe the service to webhooks; return acme's invoice id in Stripe."""
    sandbox.control.settings(webhook_retry_seconds=0.05)
    sandbox.control.add_webhook_endpoint(service, SECRET)
    return acme


def eventually(found: Callable[[], Any], expected: Any) -> None:
    """Assert that the expected value is found within a few seconds."""
    deadline = time.monotonic() + 120
    while found() != expected and time.monotonic() < deadline:
        time.sleep(0.01)
    assert found() == expected


def events(database: BillingDatabase) -> list[tuple[str, str]]:
    """List the recorded events of our invoices, as (type, outcome), in the order received."""
    found = query(
        database, "select type, outcome from stripe_events where outcome <> 'ignored' order by received_at, created_at"
    )
    return [(row["type"].removeprefix("invoice."), row["outcome"]) for row in found]


def status(database: BillingDatabase) -> str:
    (row,) = query(database, "select status from invoices")
    return str(row["status"])


def all_delivered(sandbox: SandboxServer) -> None:
    eventually(lambda: [delivery for delivery in sandbox.control.deliveries() if delivery["state"] == "pending"], [])


def trouble(database: BillingDatabase) -> str | None:
    return read_statement(database, "acme", utc_now()).invoices[0].trouble


def post(url: str, payload: str | bytes, **headers: str) -> tuple[int, Mapping[str, Any]]:
    """Post to the service; return (status, answer)."""
    host, _, path = url.removeprefix("http://").partition("/")
    connection = HTTPConnection(host, timeout=120)
    connection.request("POST", f"/{path}", payload, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    body: Mapping[str, Any] = json.loads(answer.read())
    connection.close()
    return answer.status, body


def signed(payload: str, secret: str = SECRET, age: int = 0) -> str:
    return str(stripe.WebhookSignature.generate_signature_header(payload, secret, int(time.time()) - age))


def event_body(type: str, stripe_id: str, at: datetime | None = None, **invoice: Any) -> dict[str, Any]:
    return {
        "id": f"evt_{uuid4().hex}",
        "object": "event",
        "type": type,
        "created": int((at or utc_now()).timestamp()),
        "livemode": False,
        "data": {"object": {"id": stripe_id, "object": "invoice", **invoice}},
    }


# Events and their effects ------------------------------------------------------------------------------------------


def test_a_paid_invoice_is_paid_here_and_no_longer_owed(
    billing_database: BillingDatabase, client: stripe.StripeClient, subscribed: str
) -> None:
    assert read_statement(billing_database, "acme", utc_now()).owed() == {"USD": 1200}
    paid = client.v1.invoices.pay(subscribed)
    eventually(lambda: status(billing_database), "paid")
    (change,) = query(billing_database, "select changed_by, why from invoice_changes where to_status = 'paid'")
    assert (change["changed_by"], change["why"].split()[0]) == ("Stripe", "invoice.paid")
    (row,) = query(billing_database, "select paid_at from invoices")
    assert row["paid_at"] == datetime.fromtimestamp(paid.status_transitions.paid_at or 0, UTC)
    assert read_statement(billing_database, "acme", utc_now()).owed() == {}
    assert events(billing_database) == [("paid", "applied")]


def test_a_manually_voided_invoice_is_void_here(
    billing_database: BillingDatabase, client: stripe.StripeClient, subscribed: str
) -> None:
    client.v1.invoices.void_invoice(subscribed)
    eventually(lambda: status(billing_database), "void")


def test_an_invoice_written_off_can_still_be_paid(
    billing_database: BillingDatabase, client: stripe.StripeClient, subscribed: str
) -> None:
    client.v1.invoices.mark_uncollectible(subscribed)
    eventually(lambda: status(billing_database), "uncollectible")
    client.v1.invoices.pay(subscribed)
    eventually(lambda: status(billing_database), "paid")


def test_a_failed_payment_is_on_the_statement_with_stripes_message_until_it_is_paid(
    billing_database: BillingDatabase, sandbox: SandboxServer, client: stripe.StripeClient, subscribed: str
) -> None:
    sandbox.control.fail_payment(subscribed, code="expired_card", message="Your card has expired.")
    again = utc_now() + timedelta(days=3)
    eventually(
        lambda: trouble(billing_database),
        'We could not collect this invoice ("Your card has expired"). Please use another card.'
        f" You can pay the invoice online at any time. We will try again on {again:%Y-%m-%d}.",
    )
    assert status(billing_database) == "finalized"
    client.v1.invoices.pay(subscribed)
    eventually(lambda: status(billing_database), "paid")
    assert trouble(billing_database) is None


def test_the_last_failure_counts_in_any_order_of_events(
    billing_database: BillingDatabase, service: str, acme: str
) -> None:
    now = utc_now()
    for minutes, again in ((0, None), (-5, int(now.timestamp()) + 86400)):
        at = now + timedelta(minutes=minutes)
        payload = json.dumps(event_body("invoice.payment_failed", acme, at, next_payment_attempt=again))
        assert post(service, payload, Stripe_Signature=signed(payload)) == (200, {"outcome": "applied"})
    assert trouble(billing_database) == (
        "We could not collect this invoice. You can pay the invoice online at any time. We will not try again"
        " automatically."
    )


def test_a_failed_finalization_is_on_the_statement_until_our_sync_is_done(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, service: str
) -> None:
    sandbox.control.add_webhook_endpoint(service, SECRET)
    bill_june(billing_database, tmp_path, acme=["12.00"])
    fault = sandbox.control.add_fault("error", "invoices.finalize", status=400, code="some_error", message="No.")
    sync(sync_tools(billing_database, sandbox.url))
    damage(billing_database, "update stripe_invoices set state = 'verified', step = null, failure_code = null")
    sandbox.control.fail_finalization(invoice_in_stripe(sandbox, "acme")["id"], message="No address.")
    eventually(lambda: events(billing_database), [("finalization_failed", "applied")])
    (row,) = query(billing_database, "select code, error from payment_failures")
    assert (row["code"], row["error"]) == ("finalization_failed", "No address.")
    sandbox.control.clear_faults(fault["id"])
    sync(sync_tools(billing_database, sandbox.url))
    assert query(billing_database, "select 1 from payment_failures") == []


def test_an_invoice_that_is_not_ours_is_recorded_and_ignored(
    billing_database: BillingDatabase, sandbox: SandboxServer, client: stripe.StripeClient, subscribed: str
) -> None:
    sandbox.control.seed_customer("cus_other")
    for metadata in ({}, {"fly_billing_invoice": str(uuid4())}, {"fly_billing_invoice": "nonsense"}):
        foreign = client.v1.invoices.create({"customer": "cus_other", "metadata": metadata})
        client.v1.invoices.pay(foreign.id)
    client.v1.customers.delete("cus_other")
    types = "select count(*) as n from stripe_events where outcome = 'ignored' and type = :type"
    eventually(lambda: query(billing_database, types, type="customer.deleted")[0]["n"], 1)
    assert query(billing_database, types, type="invoice.paid")[0]["n"] == 3
    assert query(billing_database, types, type="invoice.finalized")[0]["n"] == 3
    assert events(billing_database) == []
    assert status(billing_database) == "finalized"


def test_an_event_that_arrives_before_the_sync_is_done_waits_for_it(
    billing_database: BillingDatabase, sandbox: SandboxServer, client: stripe.StripeClient, service: str, tmp_path: Path
) -> None:
    sandbox.control.add_webhook_endpoint(service, SECRET)
    bill_june(billing_database, tmp_path, acme=["12.00"])
    sandbox.control.add_fault("apply_then_drop", "invoices.finalize")
    sync(sync_tools(billing_database, sandbox.url))
    assert entry(billing_database, "acme")["state"] == "unknown"
    client.v1.invoices.pay(invoice_in_stripe(sandbox, "acme")["id"])
    eventually(lambda: events(billing_database), [("paid", "waiting")])
    assert status(billing_database) == "finalized"

    sandbox.control.clear_faults()
    sync(sync_tools(billing_database, sandbox.url))
    assert entry(billing_database, "acme")["state"] == "finalized"
    assert [settle_waiting_events(billing_database) for _ in range(2)] == [1, 0]
    assert (status(billing_database), events(billing_database)) == ("paid", [("paid", "applied")])


def test_an_invoice_that_a_repair_voids_to_send_it_again_stays_owed(
    billing_database: BillingDatabase, client: stripe.StripeClient, subscribed: str
) -> None:
    execute(
        billing_database,
        """
        insert into stripe_attempts (invoice_id, step, generation, idempotency_key, request_hash, sent_at)
        select id, 'void', 0, 'our-own-key', '', now() from invoices
        """,
    )
    client.v1.invoices.void_invoice(subscribed, {}, {"idempotency_key": "our-own-key"})
    eventually(lambda: events(billing_database), [("voided", "superseded")])
    assert status(billing_database) == "finalized"


# Late, twice, out of order, lost -----------------------------------------------------------------------------------


def test_events_that_come_late_twice_and_out_of_order_have_the_same_result(
    billing_database: BillingDatabase, sandbox: SandboxServer, client: stripe.StripeClient, subscribed: str
) -> None:
    sandbox.control.add_fault("deliver_late", "webhooks.invoice.payment_failed", seconds=0.5)
    sandbox.control.add_fault("deliver_out_of_order", "webhooks.invoice.marked_uncollectible", seconds=0.7)
    sandbox.control.add_fault("deliver_twice", "webhooks.invoice.paid")
    sandbox.control.fail_payment(subscribed)
    client.v1.invoices.mark_uncollectible(subscribed)
    client.v1.invoices.pay(subscribed)
    all_delivered(sandbox)
    assert events(billing_database) == [
        ("paid", "applied"),
        ("marked_uncollectible", "superseded"),
        ("payment_failed", "superseded"),
    ]
    assert status(billing_database) == "paid"
    assert trouble(billing_database) is None


def test_an_event_delivered_many_times_at_once_is_applied_once(
    billing_database: BillingDatabase, service: str, acme: str
) -> None:
    payload = json.dumps(event_body("invoice.paid", acme))
    answers: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(post(service, payload, Stripe_Signature=signed(payload))[1]["outcome"])
        )
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["applied"] + ["duplicate"] * 5
    assert events(billing_database) == [("paid", "applied")]


def test_contradictory_events_at_once_leave_one_final_state_and_one_conflict(
    billing_database: BillingDatabase, acme: str
) -> None:
    bodies = [event_body(type, acme) for type in ("invoice.paid", "invoice.voided")]
    outcomes: list[str] = []

    def record(body: dict[str, Any]) -> None:
        outcomes.append(record_event(billing_database, read_event(body), "webhook", utc_now()))

    threads = [threading.Thread(target=record, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["applied", "conflict"]


# Signatures --------------------------------------------------------------------------------------------------------


def test_only_a_recent_signature_of_stripe_is_accepted(
    billing_database: BillingDatabase, service: str, acme: str
) -> None:
    payload = json.dumps(event_body("invoice.paid", acme))
    other = json.dumps(event_body("invoice.voided", acme))
    for header in (
        signed(payload, "whsec_of_a_stranger"),
        signed(payload, age=301),
        signed(other),
        signed(payload).replace("v1=", "v0="),
        "t=,v1=",
        "nonsense",
        "",
    ):
        assert post(service, payload, Stripe_Signature=header)[0] == 400, header
    assert post(service, payload)[0] == 400
    assert query(billing_database, "select id from stripe_events") == []
    assert status(billing_database) == "finalized"
    assert post(service, payload, Stripe_Signature=signed(payload, age=290)) == (200, {"outcome": "applied"})


@pytest.mark.parametrize("payload", ["", "[]", "7", "{}", "not json", '{"object": "v2.core.event", "id": "evt_1"}'])
def test_a_signed_body_that_is_no_event_is_refused(
    billing_database: BillingDatabase, service: str, payload: str
) -> None:
    assert post(service, payload, Stripe_Signature=signed(payload))[0] == 400
    assert query(billing_database, "select id from stripe_events") == []


def test_a_body_that_is_no_text_or_too_long_is_refused(service: str) -> None:
    assert post(service, b"\xff\xfe", Stripe_Signature=signed("x"))[0] == 400
    assert post(service, b"x" * (1024 * 1024 + 1), Stripe_Signature=signed("x"))[0] == 413


HEADERS = {
    "not ASCII": "t={now},v1=\u00e9{digest}",
    "not ASCII beside a valid one": "t={now},v1={digest},v0=\u00e9",
    "a byte order mark": "\u00ef\u00bb\u00bft={now},v1={digest}",
    "digits of another script": "t=\u00b2{now},v1={digest}",
    "no time": "v1={digest}",
    "no signature": "t={now}",
    "two times": "t={now},t={now},v1={digest}",
    "a time with a sign": "t=+{now},v1={digest}",
    "a negative time": "t=-{now},v1={digest}",
    "a time with an underscore": "t={now}_0,v1={digest}",
    "a time with a point": "t={now}.0,v1={digest}",
    "a time with a space": "t= {now},v1={digest}",
    "a time of 5,000 digits": "t=" + "9" * 5000 + ",v1={digest}",
    "without =": "t,v1",
    "commas only": ",,,",
    "two schemes, neither v1": "t={now},v0={digest},v2={digest}",
    "longer than Stripe's": "t={now},v1={digest}" + ",v1=0" * 1000,
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
def test_a_malformed_signature_is_refused_without_a_server_error(
    billing_database: BillingDatabase, service: str, header: str
) -> None:
    payload = json.dumps(event_body("invoice.paid", "in_1"))
    now, _, digest = signed(payload).removeprefix("t=").partition(",v1=")
    assert post(service, payload, Stripe_Signature=header.format(now=now, digest=digest))[0] == 400
    assert query(billing_database, "select id from stripe_events") == []


def test_a_signature_from_the_future_is_refused(service: str) -> None:
    payload = json.dumps(event_body("invoice.paid", "in_1"))
    for age in (-400, -(10**10)):
        assert post(service, payload, Stripe_Signature=signed(payload, age=age))[0] == 400


def test_one_of_two_signatures_is_enough_while_a_secret_is_replaced(service: str) -> None:
    payload = json.dumps(event_body("invoice.paid", "in_1"))
    both = signed(payload, "whsec_old") + "," + signed(payload).partition(",")[2] + ",v0=" + "0" * 64
    assert post(service, payload, Stripe_Signature=both) == (200, {"outcome": "ignored"})


def test_a_second_signature_header_is_refused(service: str) -> None:
    payload = json.dumps(event_body("invoice.paid", "in_1"))
    host, _, path = service.removeprefix("http://").partition("/")
    connection = HTTPConnection(host, timeout=60)
    connection.putrequest("POST", f"/{path}")
    for value in (signed(payload), "t=1,v1=2"):
        connection.putheader("Stripe-Signature", value)
    connection.putheader("Content-Length", str(len(payload)))
    connection.endheaders(payload.encode())
    assert connection.getresponse().status == 400
    connection.close()


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "evt_\0"}, {"id": "evt_\ud800"}, {"id": "evt_" + "1" * 5000}, {"type": "invoice.paid\0"},
        {"type": ["invoice.paid"]}, {"created": 10**20}, {"created": float("nan")}, {"created": "now"},
        {"request": {"idempotency_key": {"a": 1}}}, {"request": "req_1"}, {"data": {"object": {"id": "in_\0"}}},
        {"data": {"object": {"id": ["in_1"]}}}, {"data": {"object": []}}, {"data": None},
    ],
    ids=lambda changed: json.dumps(changed)[:40],
)  # fmt: skip
def test_a_signed_event_that_can_not_be_recorded_is_refused(
    billing_database: BillingDatabase, service: str, changed: dict[str, Any]
) -> None:
    payload = json.dumps(event_body("invoice.paid", "in_1") | changed)
    assert post(service, payload, Stripe_Signature=signed(payload))[0] == 400
    assert query(billing_database, "select id from stripe_events") == []


def test_json_nested_beyond_any_event_is_refused(service: str) -> None:
    payload = '{"a":' * 100_000 + "1" + "}" * 100_000
    assert post(service, payload, Stripe_Signature=signed(payload))[0] == 400


REQUEST = f"POST {PATH} HTTP/1.1\r\nHost: here\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "POST",
        REQUEST,
        f"{REQUEST}Content-Length: 2\r\n\r\n",
        f"{REQUEST}Content-Length: 2\r\n\r\n{{",
        f"{REQUEST}Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n",
        "GET /health HTTP/1.1\r\nHost: here\r\n\r\nPOST",
    ],
)
def test_a_client_that_never_finishes_its_request_is_cut_off(sent: str, billing_database: BillingDatabase) -> None:
    with serving(billing_database, None, seconds=0.5) as url, connected(url) as client:
        client.sendall(sent.encode())
        while client.recv(65536):  # raises if nothing more comes, neither bytes nor an end
            pass
        payload = json.dumps(event_body("invoice.paid", "in_unknown"))
        assert post(url, payload, Stripe_Signature=signed(payload))[0] == 200


@pytest.mark.parametrize("before", [b"", b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n"])
def test_a_client_that_sends_byte_by_byte_is_cut_off_too(before: bytes, billing_database: BillingDatabase) -> None:
    with (
        serving(billing_database, None, seconds=0.5) as url,
        connected(url) as client,
        pytest.raises(OSError, match=r"reset|Broken pipe|aborted"),
    ):
        client.sendall(before)
        for byte in itertools.cycle(b"POST /stripe/events"):
            client.sendall(bytes([byte]))
            time.sleep(0.01)


def test_a_client_that_sends_requests_and_reads_no_response_is_cut_off(billing_database: BillingDatabase) -> None:
    with (
        serving(billing_database, None, seconds=0.5) as url,
        connected(url) as client,
        pytest.raises(OSError, match=r"reset|Broken pipe|aborted"),
    ):
        while True:
            client.sendall(b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n" * 100)


def test_a_response_that_takes_longer_than_the_request_limit_is_sent() -> None:
    """The limit applies to the client, not to the service: Stripe has sent its whole request."""

    def slowly(body: Mapping[str, Any]) -> str:
        time.sleep(3)
        return "applied"

    payload = json.dumps(event_body("invoice.paid", "in_slow"))
    with listening(build_app(SECRET, slowly), seconds=2) as url:
        assert post(url, payload, Stripe_Signature=signed(payload)) == (200, {"outcome": "applied"})


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    host, _, port = url.removeprefix("http://").partition("/")[0].partition(":")
    with socket.socket() as client:
        client.settimeout(60)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # soon full of unread responses
        client.connect((host, int(port)))
        yield client


def test_the_service_does_not_start_without_a_secret() -> None:
    with pytest.raises(SettingsError, match="STRIPE_WEBHOOK_SECRET is not set"):
        serve(Settings.from_environment({}), "127.0.0.1", 0, print)


# Faults on our side ------------------------------------------------------------------------------------------------


def test_stripe_is_asked_to_send_again_while_the_database_is_unreachable(
    billing_database: BillingDatabase, sandbox: SandboxServer, client: stripe.StripeClient, subscribed: str
) -> None:
    execute(billing_database, "alter table stripe_events rename to away")
    client.v1.invoices.pay(subscribed)
    eventually(lambda: {delivery["status"] for delivery in sandbox.control.deliveries()}, {500})
    assert status(billing_database) == "finalized"
    execute(billing_database, "alter table away rename to stripe_events")
    eventually(lambda: status(billing_database), "paid")


DYING = """
import os, signal, sys, uvicorn
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sync.webhooks import build_app
from fly_billing.stripe_sync.webhooks.server import make_receiver

take_in = make_receiver(BillingDatabase(sys.argv[1]), None)

def commit_and_die(body):
    if take_in(body) == "applied":
        os.kill(os.getpid(), signal.SIGKILL)

app = build_app(sys.argv[2], commit_and_die)
uvicorn.run(app, port=int(sys.argv[3]), log_level="critical", lifespan="off", ws="none")
"""


def test_a_service_killed_between_commit_and_response_applies_the_event_once(
    billing_database: BillingDatabase, sandbox: SandboxServer, client: stripe.StripeClient, acme: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = billing_database.engine.url.render_as_string(hide_password=False)
    with subprocess.Popen(
        [sys.executable, "-c", DYING, url, SECRET, str(port)], cwd=Path(__file__).parents[3]
    ) as child:
        try:
            sandbox.control.settings(webhook_retry_seconds=0.1)
            sandbox.control.add_webhook_endpoint(f"http://127.0.0.1:{port}{PATH}", SECRET, "invoice.paid")
            client.v1.invoices.pay(acme)
            assert child.wait(300) == -signal.SIGKILL
        finally:
            child.kill()
    assert status(billing_database) == "paid"
    before = query(billing_database, "select * from stripe_events")
    with serving(billing_database, None, port):
        eventually(
            lambda: [(delivery["state"], delivery["status"]) for delivery in sandbox.control.deliveries()],
            [("delivered", 200)],
        )
    assert sandbox.control.deliveries()[0]["attempts"] > 1
    assert query(billing_database, "select * from stripe_events") == before


def test_the_command_serves_until_it_is_stopped(billing_database: BillingDatabase, tmp_path: Path, acme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = billing_database.engine.url.render_as_string(hide_password=False)
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "DAGSTER_DATABASE_URL": url,
        "FLY_BILLING_DATA_DIR": str(tmp_path),
        "STRIPE_WEBHOOK_SECRET": SECRET,
    }
    command = [sys.executable, "-m", "fly_billing.cli", "webhooks", "--port", str(port)]
    main = [sys.executable, "-c", "from fly_billing.cli.main import main; main()", *command[3:]]
    with subprocess.Popen(
        main, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    ) as child:
        try:
            address = f"http://127.0.0.1:{port}{PATH}"
            eventually(lambda: _is_up(port), True)
            payload = json.dumps(event_body("invoice.paid", acme))
            assert post(address, payload, Stripe_Signature=signed(payload)) == (200, {"outcome": "applied"})
            child.send_signal(signal.SIGTERM)
            printed, logged = child.communicate(timeout=300)
        finally:
            child.kill()
    assert child.returncode == 0, logged
    assert address in printed
    assert "invoice.paid" in logged
    assert SECRET not in printed + logged


def _is_up(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


# Polling -----------------------------------------------------------------------------------------------------------


def poll(database: BillingDatabase, client: stripe.StripeClient) -> PollReport:
    return poll_events(database, reader_of(database, client), utc_now() - timedelta(days=1), utc_now())


def test_polling_applies_events_that_no_webhook_delivered_once(
    billing_database: BillingDatabase, sandbox: SandboxServer, client: stripe.StripeClient, acme: str
) -> None:
    sandbox.control.fail_payment(acme, message="Your card has expired.", next_attempt_seconds=None)
    assert poll(billing_database, client).outcomes == {"applied": 1}
    client.v1.invoices.mark_uncollectible(acme)
    client.v1.invoices.pay(acme)
    # Ignored: the event of the payment itself, because the invoice's event says that it is paid.
    assert poll(billing_database, client).outcomes == {"applied": 2, "ignored": 1, "duplicate": 1}
    assert (status(billing_database), poll(billing_database, client).outcomes) == ("paid", {"duplicate": 4})
    (row,) = query(billing_database, "select error, code from stripe_events where type = 'invoice.payment_failed'")
    assert (row["error"], row["code"]) == ("Your card has expired.", "payment_given_up")


def test_an_event_from_both_webhook_and_polling_is_applied_once(
    billing_database: BillingDatabase, client: stripe.StripeClient, subscribed: str
) -> None:
    client.v1.invoices.void_invoice(subscribed)
    eventually(lambda: status(billing_database), "void")
    assert poll(billing_database, client).outcomes == {"duplicate": 1}
    found = query(billing_database, "select source from stripe_events where type = 'invoice.voided'")
    assert [row["source"] for row in found] == ["webhook"]


def test_a_poll_with_few_events_reads_once(
    billing_database: BillingDatabase, sandbox: SandboxServer, client: stripe.StripeClient, acme: str
) -> None:
    client.v1.invoices.pay(acme)
    poll(billing_database, client)
    sandbox.control.clear_calls()
    poll(billing_database, client)
    assert sandbox.control.call_counts() == {"events.list": 1}


def test_many_events_are_read_window_by_window_without_a_gap(
    billing_database: BillingDatabase, sandbox: SandboxServer, client: stripe.StripeClient, acme: str
) -> None:
    sandbox.control.seed_customer("cus_other")
    for _ in range(120):
        client.v1.invoices.pay(client.v1.invoices.create({"customer": "cus_other"}).id)
    client.v1.invoices.pay(acme)
    begin, in_an_hour = utc_now() - timedelta(hours=1), utc_now() + timedelta(hours=1)
    outcomes: list[dict[str, int]] = []
    for _ in range(60):  # one window each
        found = poll_events(billing_database, reader_of(billing_database, client), begin, in_an_hour, seconds=0)
        outcomes.append(found.outcomes)
        if found.is_done:
            break
    assert found.is_done
    assert sum(outcome.get("duplicate", 0) for outcome in outcomes) == 0
    assert query(billing_database, "select count(*) as n from stripe_events")[0]["n"] == 122
    assert status(billing_database) == "paid"


def test_a_poll_without_a_response_continues_next_time(
    billing_database: BillingDatabase, sandbox: SandboxServer, client: stripe.StripeClient, acme: str
) -> None:
    client.v1.invoices.pay(acme)
    sandbox.control.add_fault("stored_500", "events.list", first=5)
    with pytest.raises(ReadingFailed):
        poll(billing_database, client)
    assert status(billing_database) == "finalized"
    assert poll(billing_database, client).outcomes == {"applied": 1, "ignored": 1}


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


def test_the_polling_sensor_reports_new_events_or_a_missing_key(
    billing_database: BillingDatabase,
    sandbox: SandboxServer,
    client: stripe.StripeClient,
    acme: str,
    instance: DagsterInstance,
) -> None:
    postgres = BillingPostgres(url=billing_database.engine.url.render_as_string(hide_password=False))
    client.v1.invoices.pay(acme)

    def skip_message(account: StripeAccount) -> str | None:
        with build_sensor_context(instance) as context:
            answer = poll_stripe_events(context, billing_postgres=postgres, stripe_account=account, clock=Clock())
        assert isinstance(answer, SkipReason)
        return answer.skip_message

    assert "STRIPE_API_KEY is not set" in (skip_message(StripeAccount()) or "")
    assert (skip_message(StripeAccount(api_key=API_KEY, api_base=sandbox.url)) or "").startswith("2 new events until ")
    assert status(billing_database) == "paid"


# Alerts ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def alerts() -> list[str]:
    return []


def test_a_failed_payment_its_end_and_its_recovery_are_each_alerted_once(
    billing_database: BillingDatabase,
    sandbox: SandboxServer,
    client: stripe.StripeClient,
    acme: str,
    alerts: list[str],
) -> None:
    def tell() -> int:
        poll(billing_database, client)
        return queue_payment_failure_alerts(billing_database, [], alerts.append)

    assert tell() == 0
    subscribed = []
    for again in (86400, 86400, None, None):
        sandbox.control.fail_payment(
            acme, code="expired_card", message="Your card has expired.", next_attempt_seconds=again
        )
        subscribed.append(tell())
    assert subscribed == [1, 0, 1, 0]
    client.v1.invoices.pay(acme)
    assert [tell(), tell()] == [1, 0]
    assert [text.splitlines()[0] for text in alerts] == [
        "Payment failed, Stripe will retry (expired_card): 1 invoice, $12.00",
        "Payment failed, Stripe has given up (expired_card): 1 invoice, $12.00",
        "Payment recovered: 1 invoice, $12.00",
    ]
    assert alerts[1].splitlines()[1:] == [
        "- acme 2023-06: $12.00",
        "What to do: The card has expired. Stripe will not retry: contact the customer, then collect it or write"
        " it off in Stripe's dashboard. Stripe said: Your card has expired."
        f" (expired_card, https://dashboard.stripe.com/test/invoices/{acme})",
    ]


def test_a_stolen_card_is_alerted_with_its_code_and_shown_to_the_customer_as_declined(
    billing_database: BillingDatabase,
    sandbox: SandboxServer,
    client: stripe.StripeClient,
    acme: str,
    alerts: list[str],
) -> None:
    sandbox.control.fail_payment(acme, decline_code="stolen_card", next_attempt_seconds=None)
    poll(billing_database, client)
    queue_payment_failure_alerts(billing_database, [], alerts.append)
    assert alerts[0].splitlines()[0] == "Payment failed, Stripe has given up (stolen_card): 1 invoice, $12.00"
    assert trouble(billing_database) == (
        "We could not collect this invoice. Please ask your bank, or use another card."
        " You can pay the invoice online at any time. We will not try again automatically."
    )


def test_a_payment_failures_reason_is_kept_while_the_event_waits_for_the_sync(
    billing_database: BillingDatabase, sandbox: SandboxServer, client: stripe.StripeClient, acme: str
) -> None:
    damage(billing_database, "update stripe_invoices set state = 'verified', finalized_at = null")
    sandbox.control.fail_payment(acme, decline_code="insufficient_funds", message="Your card has insufficient funds.")
    assert poll(billing_database, client).outcomes == {"waiting": 1}
    damage(billing_database, "update stripe_invoices set state = 'finalized', finalized_at = now()")
    assert settle_waiting_events(billing_database) == 1
    assert (trouble(billing_database) or "").startswith(
        'We could not collect this invoice ("Your card has insufficient funds"). Please make sure there are sufficient'
    )


def test_a_failure_that_ends_before_the_sensor_runs_is_not_alerted(
    billing_database: BillingDatabase,
    sandbox: SandboxServer,
    client: stripe.StripeClient,
    acme: str,
    alerts: list[str],
) -> None:
    sandbox.control.fail_payment(acme)
    client.v1.invoices.pay(acme)
    poll(billing_database, client)
    assert queue_payment_failure_alerts(billing_database, [], alerts.append) == 0


def test_manual_changes_in_stripe_are_alerted_once_per_cause(
    billing_database: BillingDatabase,
    sandbox: SandboxServer,
    client: stripe.StripeClient,
    tmp_path: Path,
    alerts: list[str],
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"], bolt=["5.00"], crux=["7.00"])
    sync(sync_tools(billing_database, sandbox.url))
    for name in ("acme", "bolt"):
        client.v1.invoices.void_invoice(invoice_in_stripe(sandbox, name)["id"])
    client.v1.invoices.mark_uncollectible(invoice_in_stripe(sandbox, "crux")["id"])
    poll(billing_database, client)
    assert [queue_payment_failure_alerts(billing_database, [], alerts.append) for _ in range(2)] == [2, 0]
    assert [text.splitlines()[0] for text in alerts] == [
        "Written off in Stripe as uncollectible: 1 invoice, $7.00",
        "Voided manually in Stripe: 2 invoices, $17.00",
    ]


def test_money_on_a_duplicate_is_alerted(
    billing_database: BillingDatabase,
    sandbox: SandboxServer,
    client: stripe.StripeClient,
    acme: str,
    alerts: list[str],
) -> None:
    original = invoice_in_stripe(sandbox, "acme")
    copied: Any = {"customer": original["customer"], "metadata": original["metadata"]}
    duplicate = client.v1.invoices.create(copied)
    client.v1.invoices.pay(duplicate.id)
    assert poll(billing_database, client).outcomes == {"conflict": 1}
    assert (status(billing_database), queue_payment_failure_alerts(billing_database, [], alerts.append)) == (
        "finalized",
        1,
    )
    assert alerts[0].startswith("Paid on a Stripe invoice that is not the one we billed: 1 invoice, $12.00")


def test_alert_on_failed_payment_alerts_once(
    billing_database: BillingDatabase, client: stripe.StripeClient, acme: str, instance: DagsterInstance
) -> None:
    client.v1.invoices.void_invoice(acme)
    poll(billing_database, client)
    postgres = BillingPostgres(url=billing_database.engine.url.render_as_string(hide_password=False))
    with build_sensor_context(instance) as context:
        outcomes = [alert_on_failed_payment(context, billing_postgres=postgres, alerts=Alerts()) for _ in range(2)]
    assert [outcome.skip_message for outcome in outcomes if isinstance(outcome, SkipReason)] == [
        "1 alert queued",
        "nothing new",
    ]


# Constraints of the database ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "then"),
    [("paid", "void"), ("paid", "uncollectible"), ("paid", "finalized"), ("void", "paid"), ("void", "uncollectible"),
     ("void", "finalized"), ("uncollectible", "finalized")],
)  # fmt: skip
def test_a_status_change_that_stripe_does_not_have_is_refused(
    billing_database: BillingDatabase, acme: str, first: str, then: str
) -> None:
    change = "update invoices set status = :status, paid_at = case when :status = 'paid' then now() end"
    execute(billing_database, change, status=first)
    with pytest.raises(IntegrityError, match=f"is {first}: it can not become {then}"):
        execute(billing_database, change, status=then)


def test_the_payment_time_never_changes(billing_database: BillingDatabase, acme: str) -> None:
    execute(billing_database, "update invoices set status = 'paid', paid_at = now()")
    with pytest.raises(IntegrityError, match="that can not be changed"):
        execute(billing_database, "update invoices set paid_at = '2023-08-01T00:00:00Z'")


def test_events_are_recorded_once_and_never_truncated(billing_database: BillingDatabase, acme: str) -> None:
    event = read_event(event_body("invoice.paid", acme))
    assert [record_event(billing_database, event, "webhook", utc_now()) for _ in range(2)] == ["applied", "duplicate"]
    with pytest.raises(IntegrityError, match="never truncated"):
        execute(billing_database, "truncate stripe_events")


def test_the_log_has_one_line_per_request_with_any_name_of_an_event(
    service: str, caplog: pytest.LogCaptureFixture
) -> None:
    evil = "\x1b[2J\nINFO all paid\u202e"
    payload = json.dumps({**event_body("invoice.updated", "in_1"), "id": f"evt{evil}", "type": f"ping{evil}"})
    with caplog.at_level(logging.INFO):
        assert post(service, payload, Stripe_Signature=signed(payload))[0] == 200
    (line,) = [
        record.getMessage() for record in caplog.records if record.name == "fly_billing.stripe_sync.webhooks.app"
    ]
    assert line == r"ping\x1b[2J\nINFO all paid\u202e evt\x1b[2J\nINFO all paid\u202e: ignored"
