"""Actions of people and banks at Stripe besides our invoices are recorded here once, however we learn of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.event_inbox import EventsRefused, poll_events, receive
from fly_billing.stripe_sync.reader import StripeReader
from fly_billing.stripe_sync.rules.money_objects import BALANCE, UnreadableMoney
from tests.support.stripe_builders import (
    add_organization,
    bill_june,
    invoice_in_stripe,
    query,
    sync,
    sync_tools,
    utc_now,
)
from tests.unit.stripe_sync.test_invoice_amounts import invoice
from tests.unit.stripe_sync.test_money_objects import balance_change, credit_note, refund

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)
LATER = datetime(2026, 10, 6, 12, tzinfo=UTC)


@dataclass
class Account:
    """A Stripe account with these objects, as its reader sees it. Payment pi_1 paid invoice in_1 of cus_1."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    changes: list[dict[str, Any]] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def event_pages(self, created: Mapping[str, int], types: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        return iter([{"data": self.events, "has_more": False}])

    def money_object(self, kind: str, stripe_id: str) -> Mapping[str, Any] | None:
        self.reads.append(stripe_id)
        return self.objects.get(stripe_id)

    def balance_transactions(self, customer: str) -> Iterator[Mapping[str, Any]]:
        self.reads.append(customer)
        return iter([change for change in reversed(self.changes) if change["customer"] == customer])

    def invoice_of_payment(self, payment_intent: str) -> str | None:
        self.reads.append(payment_intent)
        return {"pi_1": "in_1", "pi_other": "in_other"}.get(payment_intent)

    def invoice(self, stripe_id: str) -> Mapping[str, Any] | None:
        return invoice(id=stripe_id, customer={"in_1": "cus_1"}.get(stripe_id, "cus_other"))

    @property
    def reader(self) -> StripeReader:
        return cast(StripeReader, self)


@pytest.fixture
def acme(billing_database: BillingDatabase) -> BillingDatabase:
    """Acme is customer cus_1."""
    add_organization(billing_database, "acme", customer="cus_1")
    return billing_database


def event(type: str, body: Mapping[str, Any], id: str = "evt_1", **before: Any) -> dict[str, Any]:
    data = {"object": dict(body), **({"previous_attributes": before} if before else {})}
    return {"id": id, "object": "event", "type": type, "created": int(NOON.timestamp()), "data": data}


def recorded(database: BillingDatabase) -> list[tuple[str, str, int, str]]:
    found = query(database, "select object_id, status, amount_cents, source from stripe_money order by id")
    return [tuple(row.values()) for row in found]


def outcomes(database: BillingDatabase) -> list[str]:
    return [row["outcome"] for row in query(database, "select outcome from stripe_events order by id")]


def test_a_refund_is_recorded_once_with_its_customer_although_stripe_does_not_name_it(acme: BillingDatabase) -> None:
    """$4.00 are refunded in the dashboard; the webhook comes twice, and the poll brings the event again."""
    stripe = Account({"re_1": refund()})
    refunded = event("refund.created", refund(status="pending"))
    assert [receive(acme, refunded, source, NOON, stripe.reader) for source in ("webhook", "webhook", "polling")] == [
        "applied", "duplicate", "duplicate",
    ]  # fmt: skip
    assert recorded(acme) == [("re_1", "succeeded", 400, "webhook")]
    assert stripe.reads == ["re_1", "pi_1"]  # and nothing for the duplicates


def test_each_state_of_an_object_is_kept_and_an_event_of_an_older_state_changes_nothing(acme: BillingDatabase) -> None:
    """The bank sends the refund back a day later. The late event of its success reads the failure again."""
    stripe = Account({"re_1": refund(status="pending")})
    receive(acme, event("refund.created", refund(status="pending")), "webhook", NOON, stripe.reader)
    stripe.objects["re_1"] = refund(status="failed")
    assert receive(acme, event("refund.failed", refund(), "evt_2"), "webhook", LATER, stripe.reader) == "applied"
    assert receive(acme, event("refund.updated", refund(), "evt_3"), "webhook", LATER, stripe.reader) == "ignored"
    assert recorded(acme) == [("re_1", "pending", 400, "webhook"), ("re_1", "failed", 400, "webhook")]


def test_a_state_that_was_read_before_the_recorded_one_is_not_recorded_after_it(acme: BillingDatabase) -> None:
    """Two webhooks run at once: the one that read the refund as pending is recorded last."""
    receive(acme, event("refund.failed", refund()), "webhook", LATER, Account({"re_1": refund(status="failed")}).reader)
    stale = Account({"re_1": refund(status="pending")}).reader
    assert receive(acme, event("refund.created", refund(), "evt_2"), "webhook", NOON, stale) == "ignored"
    assert recorded(acme) == [("re_1", "failed", 400, "webhook")]


def test_credit_given_in_the_dashboard_is_recorded_with_the_balance_after_it(acme: BillingDatabase) -> None:
    stripe = Account(changes=[balance_change()])
    changed = event("customer.updated", {"object": "customer", "id": "cus_1"}, balance=-200)
    assert receive(acme, changed, "webhook", NOON, stripe.reader) == "applied"
    renamed = event("customer.updated", {"object": "customer", "id": "cus_1"}, "evt_2", name="Acme")
    assert receive(acme, renamed, "webhook", NOON, stripe.reader) == "ignored"
    assert recorded(acme) == [("cbtxn_1", "adjustment", -4000, "webhook")]
    assert stripe.reads == ["cus_1"]


def test_objects_of_customers_and_payments_that_are_not_ours_are_ignored(acme: BillingDatabase) -> None:
    stripe = Account({
        "cn_1": credit_note(customer="cus_other", invoice="in_other"),
        "re_1": refund(payment_intent="pi_other"),
        "re_2": refund(id="re_2", payment_intent="pi_of_no_invoice"),
        "re_3": refund(id="re_3", payment_intent=None),
    })  # fmt: skip
    for number, (id, body) in enumerate(stripe.objects.items()):
        type = "credit_note.created" if id == "cn_1" else "refund.created"
        assert receive(acme, event(type, body, f"evt_{number}"), "webhook", NOON, stripe.reader) == "ignored"
    assert recorded(acme) == []


def test_an_unreadable_object_is_refused_and_its_event_not_recorded(acme: BillingDatabase) -> None:
    """So Stripe sends the event again, and every poll names it. The other events of the poll are recorded."""
    stripe = Account({"cn_1": credit_note(amount=9.5), "re_1": refund()})
    broken = event("credit_note.created", credit_note())
    with pytest.raises(UnreadableMoney, match="credit_note cn_1 is not an object"):
        receive(acme, broken, "webhook", NOON, stripe.reader)
    assert outcomes(acme) == []
    stripe.events = [event("refund.created", refund(), "evt_2"), broken]
    for _ in range(2):
        with pytest.raises(EventsRefused, match=r"1 Stripe event can't be recorded.*evt_1: credit_note cn_1"):
            poll_events(acme, stripe.reader, NOON, NOON)
    assert recorded(acme) == [("re_1", "succeeded", 400, "polling")]


def test_a_webhook_without_an_api_key_leaves_the_object_to_the_poll(acme: BillingDatabase) -> None:
    refunded = event("refund.created", refund())
    assert receive(acme, refunded, "webhook", NOON, None) == "left to the poll"
    assert receive(acme, refunded, "polling", NOON, Account({"re_1": refund()}).reader) == "applied"
    assert recorded(acme) == [("re_1", "succeeded", 400, "polling")]


def test_the_parts_of_a_credit_note_must_add_up_to_it(acme: BillingDatabase) -> None:
    """$9.00 of which $4.00 are refunded and $2.00 paid outside: $3.00 are credited to the balance."""
    receive(acme, event("credit_note.created", credit_note()), "webhook", NOON, Account({"cn_1": credit_note()}).reader)
    (row,) = query(acme, "select unpaid_cents, refunded_cents, credited_cents, out_of_band_cents from stripe_money")
    assert tuple(row.values()) == (0, 400, 300, 200)


def test_balance_changes_are_the_only_kind_that_a_customer_update_brings(acme: BillingDatabase) -> None:
    changed = event("customer.updated", {"object": "customer", "id": "cus_1"}, balance=0)
    receive(acme, changed, "polling", NOON, Account({"re_1": refund()}, [balance_change()]).reader)
    assert [row["kind"] for row in query(acme, "select kind from stripe_money")] == [BALANCE]


def test_what_is_clicked_in_stripes_dashboard_is_recorded_by_the_next_poll(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    """Acme pays $12.00. Of it $2.00 are refunded, $3.00 credited, and $7.00 disputed; $40.00 are given."""
    bill_june(billing_database, tmp_path, acme=["12.00"])
    tools = sync_tools(billing_database, sandbox.url)
    sync(tools)
    invoice = invoice_in_stripe(sandbox, "acme")
    sandbox.control.act("give-card", invoice["customer"])
    sandbox.control.act("pay", invoice["id"])
    sandbox.control.act("refund", invoice["id"], amount=200)
    sandbox.control.act("credit-note", invoice["id"], amount=300, to="credit")
    sandbox.control.act("dispute", invoice["id"], amount=700)
    sandbox.control.act("credit", invoice["customer"], amount=4000)
    now = utc_now()
    poll_events(billing_database, tools.reader(), now - timedelta(days=1), now)
    newest = query(
        billing_database,
        "select distinct on (object_id) kind, amount_cents, balance_cents, invoice_id is not null as is_of_invoice"
        " from stripe_money order by object_id, number desc",
    )
    assert sorted((row["kind"], row["amount_cents"], row["balance_cents"], row["is_of_invoice"]) for row in newest) == [
        ("credit_note", 300, None, True),
        ("customer_balance_transaction", -4000, -4300, False),
        ("customer_balance_transaction", -300, -300, True),
        ("dispute", 700, None, True),
        ("refund", 200, None, True),
    ]
