"""The amounts of each invoice at Stripe are recorded once per state, from the sync's answers and from events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.event_inbox import poll_events, receive
from fly_billing.stripe_sync.invoice_sync import SyncTools
from tests.integration.stripe_sync.test_money_at_stripe import Account, event
from tests.support.stripe_builders import (
    JULY,
    add_organization,
    bill_june,
    charge,
    close_month,
    entry,
    execute,
    invoice_in_stripe,
    query,
    sync,
    sync_tools,
    utc_now,
)
from tests.unit.stripe_sync.test_invoice_amounts import invoice
from tests.unit.stripe_sync.test_money_objects import credit_note

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)


@pytest.fixture
def tools(billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path) -> SyncTools:
    """June 2023 of acme ($12.00), in Stripe."""
    bill_june(billing_database, tmp_path, acme=["12.00"])
    tools = sync_tools(billing_database, sandbox.url)
    sync(tools)
    return tools


def states(database: BillingDatabase) -> list[tuple[Any, ...]]:
    """List (status, due, paid, remaining, source), oldest first; all are of invoices that we billed."""
    found = query(
        database,
        "select status, due_cents, paid_cents, remaining_cents, source, invoice_id from stripe_invoice_amounts"
        " order by id",
    )
    assert all(row["invoice_id"] for row in found)
    return [tuple(row.values())[:5] for row in found]


def poll(tools: SyncTools) -> dict[str, int]:
    now = utc_now()
    return poll_events(tools.journal.database, tools.reader(), now - timedelta(days=1), now).outcomes


def test_the_syncs_own_answer_says_what_stripe_asks_for(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    """June of 0.18 is too small to charge: Stripe carries it over, and asks for 1.18 with July's 1.00."""
    bill_june(billing_database, tmp_path, acme=["0.18"])
    tools = sync_tools(billing_database, sandbox.url)
    sync(tools)
    charge(billing_database, "acme", "1.00", month=JULY)
    close_month(billing_database, tmp_path, JULY)
    sync(tools, JULY)
    found = query(
        billing_database,
        "select status, total_cents, starting_balance_cents, ending_balance_cents, due_cents, remaining_cents, source"
        " from stripe_invoice_amounts order by id",
    )
    assert [tuple(row.values()) for row in found] == [
        ("paid", 18, 0, 18, 0, 0, "sync"),
        ("open", 100, 18, 0, 118, 118, "sync"),
    ]


def test_a_credit_note_and_a_payment_in_the_dashboard_change_what_is_asked_for(
    tools: SyncTools, sandbox: SandboxServer
) -> None:
    """Of 12.00, a credit note takes 2.00, and the customer pays 10.00."""
    sent = invoice_in_stripe(sandbox, "acme")
    sandbox.control.act("credit-note", sent["id"], amount=200)
    poll(tools)
    sandbox.control.act("give-card", sent["customer"])
    sandbox.control.act("pay", sent["id"])
    poll(tools)
    assert states(tools.journal.database) == [
        ("open", 1200, 0, 1200, "sync"),
        ("open", 1000, 0, 1000, "polling"),
        ("paid", 1000, 1000, 0, "polling"),
    ]
    poll(tools)
    assert len(states(tools.journal.database)) == 3


@pytest.mark.parametrize(
    ("action", "state"),
    [
        ("mark-paid", ("paid", 1200, 1200, 0)),
        ("void", ("void", 1200, 0, 1200)),
        ("write-off", ("uncollectible", 1200, 0, 1200)),
    ],
)
def test_an_invoice_settled_in_the_dashboard_is_recorded_with_its_amounts(
    tools: SyncTools, sandbox: SandboxServer, action: str, state: tuple[Any, ...]
) -> None:
    sandbox.control.act(action, invoice_in_stripe(sandbox, "acme")["id"])
    poll(tools)
    assert states(tools.journal.database)[1:] == [(*state, "polling")]
    (row,) = query(tools.journal.database, "select out_of_band_cents from stripe_invoice_amounts where number = 2")
    assert row["out_of_band_cents"] == (1200 if action == "mark-paid" else 0)


def test_a_late_event_never_brings_back_what_was_asked_for_before(billing_database: BillingDatabase) -> None:
    """Stripe's clock is a minute behind ours, so the payment seems older than our read of the open state."""
    add_organization(billing_database, "acme", customer="cus_1")
    stripe = Account({"cn_1": credit_note()})
    receive(billing_database, event("credit_note.created", credit_note()), "webhook", NOON, stripe.reader)
    paid = invoice(status="paid", amount_paid=118, amount_remaining=0, metadata={})
    earlier = {"created": int((NOON - timedelta(minutes=1)).timestamp())}
    receive(billing_database, event("invoice.paid", paid, "evt_2") | earlier, "webhook", NOON, stripe.reader)
    failed = event("invoice.payment_failed", invoice(metadata={}), "evt_3")
    receive(billing_database, failed, "webhook", NOON, None)
    found = query(billing_database, "select status, remaining_cents from stripe_invoice_amounts order by number")
    assert [tuple(row.values()) for row in found] == [("open", 118), ("paid", 0)]


def test_invoices_of_other_customers_are_not_recorded(billing_database: BillingDatabase) -> None:
    add_organization(billing_database, "acme", customer="cus_1")
    receive(billing_database, event("invoice.paid", invoice(customer="cus_other")), "webhook", NOON, None)
    assert query(billing_database, "select id from stripe_invoice_amounts") == []


def test_an_invoice_made_by_hand_for_our_customer_is_recorded_without_an_invoice_of_ours(
    billing_database: BillingDatabase,
) -> None:
    """The customer is asked for it, although we did not bill it."""
    add_organization(billing_database, "acme", customer="cus_1")
    receive(billing_database, event("invoice.payment_failed", invoice()), "webhook", NOON, None)
    (row,) = query(billing_database, "select organization_id, invoice_id, remaining_cents from stripe_invoice_amounts")
    assert tuple(row.values()) == ("acme", None, 118)


def test_an_event_before_our_sync_ended_is_recorded_again_with_our_invoice(
    tools: SyncTools, sandbox: SandboxServer
) -> None:
    """The process dies between Stripe's answer and our record; the customer pays; the next sync finds the invoice."""
    database = tools.journal.database
    execute(database, "alter table stripe_invoices disable trigger user")
    execute(
        database,
        "update stripe_invoices set state = 'unknown', step = 'create', failure_code = 'no_answer', retryable = true,"
        " stripe_invoice_id = null, stripe_total_cents = null, finalized_at = null",
    )
    execute(database, "alter table stripe_invoice_amounts disable trigger user")
    execute(database, "delete from stripe_invoice_amounts")
    sandbox.control.act("mark-paid", invoice_in_stripe(sandbox, "acme")["id"])
    poll(tools)
    assert query(database, "select invoice_id from stripe_invoice_amounts") == [{"invoice_id": None}]
    sync(tools)
    assert entry(database, "acme")["state"] == "finalized"
    newest = query(database, "select status, due_cents, source from stripe_invoice_amounts where number = 2")
    assert newest == [{"status": "paid", "due_cents": 1200, "source": "sync"}]


def test_an_overpaid_invoice_says_by_how_much(tools: SyncTools, sandbox: SandboxServer) -> None:
    """Stripe credits an overpayment to the customer's balance."""
    database = tools.journal.database
    sent = invoice_in_stripe(sandbox, "acme")
    body = invoice(
        id=sent["id"], customer=sent["customer"], status="paid", total=1200, starting_balance=0, amount_due=1200,
        amount_paid=1200, amount_remaining=0, amount_overpaid=300, metadata=sent["metadata"],
    )  # fmt: skip
    assert receive(database, event("invoice.overpaid", body), "webhook", utc_now(), None) == "applied"
    (row,) = query(database, "select overpaid_cents, paid_cents from stripe_invoice_amounts where number = 2")
    assert tuple(row.values()) == (300, 1200)
