"""The platform is called once per invoice and threshold past due, signed, whatever the receiver does.

acme's 10.00 of September is due on 18 October 2026.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from dagster import build_sensor_context
from standardwebhooks import Webhook, WebhookVerificationError

from fly_billing.alerting.outbox import PostingReport, post_waiting
from fly_billing.alerting.signed_webhook import SignedWebhook, signed_headers
from fly_billing.dunning.past_due import late_payments, queue_past_due_webhooks
from fly_billing.dunning.webhook import NAME, past_due_channels
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.sensors.send_alerts import send_alerts
from fly_billing.sensors.tell_about_late_payments import tell_about_late_payments
from fly_billing.settings import Settings, SettingsError
from fly_billing.statements.page.page import statement_page
from fly_billing.statements.statement_reader import read_statement
from tests.support.alert_servers import serving
from tests.support.builders import Platform, at
from tests.support.unguarded import damage

SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
THRESHOLDS = (7, 14, 30)


class Receiver:
    """A platform's endpoint. It verifies each message as a receiver does, and answers `statuses` in order."""

    def __init__(self) -> None:
        receiver = self
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.statuses: list[int] = []
        self.headers: dict[str, str] = {}
        self.may_answer = threading.Event()
        self.may_answer.set()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                message = Webhook(SECRET).verify(body, dict(self.headers))
                receiver.got.append((self.headers["webhook-id"], message))
                receiver.may_answer.wait()
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.channel = SignedWebhook(f"http://127.0.0.1:{self.server.server_port}/billing", SECRET, NAME, patience=5)

    def told(self) -> list[tuple[str, int | None]]:
        """Return type and threshold of each message, once per id, as a receiver that ignores known ids."""
        seen: dict[str, tuple[str, int | None]] = {}
        for message_id, message in self.got:
            seen.setdefault(message_id, (message["type"], message["data"].get("threshold_days")))
        return list(seen.values())


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    with serving(receiver.server):
        yield receiver


@pytest.fixture
def owed(platform: Platform) -> Platform:
    platform.add_one_off("acme", "Setup", "10.00", at("2026-09-03"))
    assert platform.close().failures == []
    assert platform.query("select due_on from invoices") == [{"due_on": at("2026-10-18").date()}]
    send(platform)
    return platform


def send(platform: Platform, due_on: str | None = None) -> None:
    """Record that Stripe has each final invoice and asks for its total, by this day if it mails the invoice."""
    platform.execute(
        "insert into stripe_invoices (invoice_id, state, stripe_invoice_id, stripe_total_cents, stripe_due_cents,"
        " stripe_balance_cents, stripe_due_on, updated_at, finalized_at)"
        " select id, 'finalized', 'in_' || organization_id, total_cents, total_cents, 0, cast(:due_on as date), now(),"
        " now() from invoices where status = 'finalized' on conflict do nothing",
        due_on=due_on,
    )


def queue(platform: Platform, channel: SignedWebhook, day: str) -> int:
    done = queue_past_due_webhooks(platform.database, [channel], THRESHOLDS, at(day))
    assert done.failed == []
    return done.queued


def post(platform: Platform, channel: SignedWebhook) -> PostingReport:
    return post_waiting(platform.database, [channel])


def retry_now(platform: Platform) -> None:
    platform.execute("update alerts set next_try_at = now() where taken_at is null")


def set_status(platform: Platform, status: str, paid_at: datetime | None = None) -> None:
    platform.execute("update invoices set status = :status, paid_at = :paid_at", status=status, paid_at=paid_at)


def test_each_threshold_is_told_once_with_the_exact_amount_and_days(owed: Platform) -> None:
    with receiving() as receiver:
        assert queue(owed, receiver.channel, "2026-10-24") == 0  # 6 days
        assert queue(owed, receiver.channel, "2026-10-25") == 1
        assert queue(owed, receiver.channel, "2026-10-25") == 0
        assert queue(owed, receiver.channel, "2026-11-02") == 1  # 15 days: the threshold of 14
        assert post(owed, receiver.channel).taken == 2
        assert queue(owed, receiver.channel, "2026-11-03") == 0
    assert receiver.told() == [("invoice.past_due", 7), ("invoice.past_due", 14)]
    _, message = receiver.got[1]
    (invoice,) = owed.query("select id from invoices")
    assert message == {
        "type": "invoice.past_due",
        "timestamp": "2026-11-02T00:00:00Z",
        "data": {
            "invoice_id": str(invoice["id"]), "invoice_number": "ACME-0001", "organization_id": "acme",
            "month": "2026-09", "status": "finalized", "currency": "USD", "due_cents": 1000, "due_on": "2026-10-18",
            "threshold_days": 14, "days_past_due": 15, "next_attempt_at": None, "stripe_invoice_id": "in_acme",
        },
    }  # fmt: skip


def test_two_processes_at_once_queue_a_threshold_once(owed: Platform) -> None:
    with receiving() as receiver, ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: queue(owed, receiver.channel, "2026-10-25"), range(4)))
    assert sum(done) == 1


def test_a_receiver_that_is_down_gets_the_message_when_it_is_back(owed: Platform) -> None:
    with receiving() as receiver:
        address = receiver.channel
    assert queue(owed, address, "2026-10-25") == 1
    assert [refused.reason for refused in post(owed, address).refused] == ["[Errno 111] Connection refused"]
    with receiving() as receiver:
        retry_now(owed)
        assert post(owed, receiver.channel).taken == 1
    assert receiver.told() == [("invoice.past_due", 7)]


def test_a_receiver_that_answers_too_late_gets_the_same_id_again(owed: Platform) -> None:
    """It took the message, and its answer came after we had stopped waiting: with the id, it can ignore the second."""
    with receiving() as receiver:
        slow = replace(receiver.channel, patience=0.2)
        queue(owed, slow, "2026-10-25")
        receiver.may_answer.clear()
        assert len(post(owed, slow).refused) == 1
        receiver.may_answer.set()
        retry_now(owed)
        assert post(owed, receiver.channel).taken == 1
    assert len(receiver.got) == 2
    assert receiver.told() == [("invoice.past_due", 7)]


def test_a_receiver_that_fails_and_asks_to_wait_gets_it_after_that_time(owed: Platform) -> None:
    with receiving() as receiver:
        receiver.statuses, receiver.headers = [503, 500], {"Retry-After": "3600"}
        queue(owed, receiver.channel, "2026-10-25")
        (refused,) = post(owed, receiver.channel).refused
        assert (refused.reason, refused.retry_after) == ("503 Service Unavailable", 3600.0)
        (row,) = owed.query("select next_try_at - now() as wait, last_refusal from alerts")
        assert timedelta(minutes=55) < row["wait"] <= timedelta(minutes=60)
        for _ in range(2):
            retry_now(owed)
            post(owed, receiver.channel)
    assert len(receiver.got) == 3
    assert receiver.told() == [("invoice.past_due", 7)]


@pytest.mark.parametrize(
    ("status", "type_"),
    [("paid", "invoice.settled"), ("void", "invoice.settled"), ("uncollectible", "invoice.given_up")],
)
def test_the_platform_is_told_once_when_it_is_over(owed: Platform, status: str, type_: str) -> None:
    with receiving() as receiver:
        queue(owed, receiver.channel, "2026-10-25")
        post(owed, receiver.channel)
        set_status(owed, status, at("2026-10-28") if status == "paid" else None)
        assert queue(owed, receiver.channel, "2026-11-10") == 1
        assert queue(owed, receiver.channel, "2026-11-10") == 0
        post(owed, receiver.channel)
    assert receiver.told() == [("invoice.past_due", 7), (type_, None)]
    assert receiver.got[-1][1]["data"]["due_cents"] == (1000 if status == "uncollectible" else 0)


def test_that_it_is_over_is_never_told_before_that_it_was_past_due(owed: Platform) -> None:
    """The receiver is down while the invoice is paid: first it gets the old message, then that it is settled."""
    with receiving() as receiver:
        receiver.statuses = [500]
        queue(owed, receiver.channel, "2026-10-25")
        post(owed, receiver.channel)
        set_status(owed, "paid", at("2026-10-28"))
        assert queue(owed, receiver.channel, "2026-10-29") == 0
        retry_now(owed)
        post(owed, receiver.channel)
        assert queue(owed, receiver.channel, "2026-10-29") == 1
        post(owed, receiver.channel)
    assert receiver.told() == [("invoice.past_due", 7), ("invoice.settled", None)]


def test_an_invoice_that_stripe_does_not_have_is_not_late(platform: Platform) -> None:
    """The sync waits for a corrected address. Nobody has asked acme for its 10.00, so nobody blocks acme for them."""
    platform.add_one_off("acme", "Setup", "10.00", at("2026-09-03"))
    assert platform.close().failures == []
    with receiving() as receiver:
        assert queue(platform, receiver.channel, "2026-12-24") == 0
        assert late_payments(platform.database, at("2026-12-24"), 7) == []
        statement = read_statement(platform.database, "acme", at("2026-12-24"))
        assert statement.invoices[0].reminder(statement.as_of) == ""
        assert "$10.00 is invoiced, but payment has not been requested yet." in statement.caveats()
        send(platform, due_on="2027-01-03")
        assert queue(platform, receiver.channel, "2027-01-09") == 0


def test_days_are_counted_from_the_due_date_that_the_customer_sees(platform: Platform) -> None:
    """Due here on 18 October. Stripe got it on 20 October, with 14 days to pay: its page says 3 November."""
    platform.add_one_off("acme", "Setup", "10.00", at("2026-09-03"))
    assert platform.close().failures == []
    send(platform, due_on="2026-11-03")
    with receiving() as receiver:
        assert queue(platform, receiver.channel, "2026-11-09") == 0
        assert queue(platform, receiver.channel, "2026-11-10") == 1
        post(platform, receiver.channel)
        (late,) = late_payments(platform.database, at("2026-11-10"), 7)
        assert late.in_words(at("2026-11-10")) == "2026-09: $10.00 is 7 days past due"
        set_status(platform, "paid", at("2026-11-12"))
        assert queue(platform, receiver.channel, "2026-11-12") == 1
        post(platform, receiver.channel)
    told = [(message["type"], message["data"]["due_on"]) for _, message in receiver.got]
    assert told == [("invoice.past_due", "2026-11-03"), ("invoice.settled", "2026-11-03")]
    assert receiver.got[0][1]["data"]["days_past_due"] == 7


def test_an_invoice_that_is_paid_in_time_is_never_told(owed: Platform) -> None:
    set_status(owed, "paid", at("2026-10-10"))
    with receiving() as receiver:
        assert queue(owed, receiver.channel, "2026-12-24") == 0


def test_an_invoice_that_can_not_be_read_holds_up_no_other(owed: Platform) -> None:
    owed.add_organization("beta")
    owed.add_one_off("beta", "Setup", "7.00", at("2026-09-03"))
    assert owed.close().failures == []
    send(owed)
    damage(
        owed.database, "alter table invoices drop constraint numbered_when_final",
        "update invoices set number = null where organization_id = 'beta'",
    )  # fmt: skip
    with receiving() as receiver:
        done = queue_past_due_webhooks(owed.database, [receiver.channel], THRESHOLDS, at("2026-10-25"))
    assert (done.queued, [row.organization_id for row in done.failed]) == (1, ["beta"])


@pytest.mark.parametrize(
    ("day", "status", "reminder"),
    [
        ("2026-10-18", "finalized", ""),
        (
            "2026-11-01", "finalized",
            "$10.00 was due on 2026-10-18, 14 days ago. If it is on its way already, thank you.",
        ),
        (
            "2026-12-01", "uncollectible",
            "$10.00 was not paid, and we no longer try to collect it. Please contact us to settle it.",
        ),
        ("2026-12-01", "void", ""),
    ],
)  # fmt: skip
def test_the_statement_reminds_kindly_with_the_exact_days(owed: Platform, day: str, status: str, reminder: str) -> None:
    if status != "finalized":
        set_status(owed, status)
    statement = read_statement(owed.database, "acme", at(day))
    assert statement.invoices[0].reminder(statement.as_of) == reminder
    assert statement.as_data()["invoices"][0]["reminder"] == reminder
    assert not reminder or reminder in statement_page(statement)


def test_status_lists_late_payments_from_the_first_threshold_on(owed: Platform) -> None:
    assert late_payments(owed.database, at("2026-10-24"), 7) == []
    (late,) = late_payments(owed.database, at("2026-10-25"), 7)
    assert (late.organization_id, late.in_words(at("2026-10-25"))) == ("acme", "2026-09: $10.00 is 7 days past due")
    again = replace(late, next_attempt_at=at("2026-10-27"))
    assert again.in_words(at("2026-10-25")).endswith("is 7 days past due; Stripe tries again on 2026-10-27")
    set_status(owed, "paid", at("2026-10-26"))
    assert late_payments(owed.database, at("2026-11-25"), 7) == []


def test_a_message_with_another_body_is_not_verified() -> None:
    headers = signed_headers(SECRET, '{"a": 1}', datetime.now(UTC))
    Webhook(SECRET).verify('{"a": 1}', headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify('{"a": 2}', headers)


def test_the_sensor_queues_and_the_outbox_sends(owed: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    resources = {
        "billing_postgres": BillingPostgres(url=owed.database.engine.url.render_as_string(hide_password=False)),
        "alerts": Alerts(),
        "clock": Clock(fixed_at="2026-10-25T00:00:00+00:00"),
    }

    def tick(sensor: Any) -> str:
        needed = {name: resources[name] for name in sensor.required_resource_keys}
        with build_sensor_context(resources=needed) as context:
            return str(sensor.evaluate_tick(context).skip_message)

    assert tick(tell_about_late_payments) == "PAST_DUE_WEBHOOK_URL is not set"
    with receiving() as receiver:
        monkeypatch.setenv("PAST_DUE_WEBHOOK_URL", receiver.channel.url)
        monkeypatch.setenv("PAST_DUE_WEBHOOK_SECRET", SECRET)
        assert tick(tell_about_late_payments) == "1 message queued"
        assert tick(tell_about_late_payments) == "nothing new"
        assert tick(send_alerts) == "1 alert sent"
    assert receiver.told() == [("invoice.past_due", 7)]


@pytest.mark.parametrize(
    ("url", "secret", "problem"),
    [
        ("https://platform.example.com", "", "must be set together"),
        ("", SECRET, "must be set together"),
        ("http://platform.example.com", SECRET, "PAST_DUE_WEBHOOK_URL"),
        ("https://platform.example.com", "secret", "PAST_DUE_WEBHOOK_SECRET must be whsec_"),
        ("https://platform.example.com", "whsec_c2hvcnQ=", "PAST_DUE_WEBHOOK_SECRET must be whsec_"),
    ],
)
def test_an_incomplete_or_unsafe_webhook_is_refused_without_its_secret(url: str, secret: str, problem: str) -> None:
    settings = Settings.from_environment({"PAST_DUE_WEBHOOK_URL": url, "PAST_DUE_WEBHOOK_SECRET": secret})
    with pytest.raises(SettingsError, match=problem) as refused:
        past_due_channels(settings)
    assert "c2hvcnQ" not in str(refused.value)
    assert "MDEyM" not in repr(SignedWebhook("https://platform.example.com/MDEyM", SECRET, NAME))
