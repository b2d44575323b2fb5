"""The nightly sweep finds what happened at Stripe and never reached us as an event, and records it once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.event_inbox import poll_events
from fly_billing.stripe_sync.invoice_sync import SyncTools
from fly_billing.stripe_sync.money_sweep import MoneySweep, sweep_money
from tests.support.stripe_builders import (
    MovableClock,
    bill_june,
    execute,
    invoice_in_stripe,
    query,
    reads,
    sync,
    sync_tools,
)


@pytest.fixture
def tools(billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path) -> SyncTools:
    """June 2023 of acme ($12.00) and bolt ($5.00) in Stripe; acme paid by card."""
    bill_june(billing_database, tmp_path, acme=["12.00"], bolt=["5.00"])
    tools = sync_tools(billing_database, sandbox.url, clock=MovableClock(sandbox))
    sync(tools)
    sent = invoice_in_stripe(sandbox, "acme")
    sandbox.control.act("give-card", sent["customer"])
    sandbox.control.act("pay", sent["id"])
    return tools


def busy_day(sandbox: SandboxServer) -> None:
    """Of acme's $12.00, $2.00 are refunded, $3.00 credited, $7.00 disputed; $40.00 given; bolt owes $1.00 less."""
    acme, bolt = invoice_in_stripe(sandbox, "acme"), invoice_in_stripe(sandbox, "bolt")
    sandbox.control.act("refund", acme["id"], amount=200)
    sandbox.control.act("credit-note", acme["id"], amount=300, to="credit")
    sandbox.control.act("dispute", acme["id"], amount=700)
    sandbox.control.act("credit", acme["customer"], amount=4000)
    sandbox.control.act("credit-note", bolt["id"], amount=100)


def sweep(tools: SyncTools, now: datetime | None = None) -> MoneySweep:
    return sweep_money(tools.journal.database, tools.reader(), now or tools.clock())


def money(database: BillingDatabase) -> list[tuple[Any, ...]]:
    """List every recorded state: (organization, kind, status, amount, source)."""
    found = query(
        database,
        "select organization_id, kind, status, amount_cents, source from stripe_money"
        " order by organization_id, kind, amount_cents, number",
    )
    return [tuple(row.values()) for row in found]


def asked(database: BillingDatabase) -> list[tuple[Any, ...]]:
    """List what Stripe asks for now: (organization, status, due, remaining, source)."""
    found = query(
        database,
        "select distinct on (organization_id) organization_id, status, due_cents, remaining_cents, source"
        " from stripe_invoice_amounts order by organization_id, number desc",
    )
    return [tuple(row.values()) for row in found]


BUSY_DAY = [
    ("acme", "credit_note", "issued", 300, "sweep"),
    ("acme", "customer_balance_transaction", "adjustment", -4000, "sweep"),
    ("acme", "customer_balance_transaction", "credit_note", -300, "sweep"),
    ("acme", "dispute", "needs_response", 700, "sweep"),
    ("acme", "refund", "succeeded", 200, "sweep"),
    ("bolt", "credit_note", "issued", 100, "sweep"),
]
ASKED = [("acme", "paid", 1200, 0, "sweep"), ("bolt", "open", 400, 400, "sweep")]


def test_what_no_event_brought_is_found_by_the_sweep_and_recorded_once(
    tools: SyncTools, sandbox: SandboxServer
) -> None:
    """No webhook, no poll: the sweep finds all of it. A second sweep, and events that come after all, add nothing."""
    database = tools.journal.database
    busy_day(sandbox)
    first = sweep(tools)
    assert (money(database), asked(database)) == (BUSY_DAY, ASKED)
    assert first.missed == {"invoices": 2, "credit_note": 2, "refund": 1, "dispute": 1, "balances": 2}
    assert (first.refused, first.unread) == ([], None)
    assert not sum(sweep(tools).missed.values())
    poll_events(database, tools.reader(), tools.clock() - timedelta(days=1), tools.clock())
    assert (money(database), asked(database)) == (BUSY_DAY, ASKED)


def test_what_events_brought_already_is_not_recorded_again(tools: SyncTools, sandbox: SandboxServer) -> None:
    busy_day(sandbox)
    poll_events(tools.journal.database, tools.reader(), tools.clock() - timedelta(days=1), tools.clock())
    assert not sum(sweep(tools).missed.values())
    assert {row[-1] for row in money(tools.journal.database)} == {"polling"}


@pytest.mark.parametrize(
    ("endpoint", "kind"),
    [
        ("credit_notes.list", "credit note"),
        ("refunds.list", "refund"),
        ("invoice_payments.list", "refund"),
        ("disputes.list", "dispute"),
        ("customers.list", "balances"),
        ("customer_balance.list", "balances"),
    ],
)
def test_a_sweep_that_stripe_stops_answering_is_completed_by_the_next_one(
    tools: SyncTools, sandbox: SandboxServer, endpoint: str, kind: str
) -> None:
    """Objects that were read before are recorded, the rest with the next sweep, and nothing twice."""
    busy_day(sandbox)
    fault = sandbox.control.add_fault("drop_before_apply", endpoint)
    stopped = sweep(tools)
    assert stopped.unread is not None
    assert stopped.unread.startswith(f"{kind}: no_answer")
    assert len(money(tools.journal.database)) < len(BUSY_DAY)
    sandbox.control.clear_faults(fault["id"])
    assert sweep(tools).unread is None
    assert (money(tools.journal.database), asked(tools.journal.database)) == (BUSY_DAY, ASKED)


def test_a_dispute_that_is_lost_two_months_later_is_found_although_its_event_is_not(
    tools: SyncTools, sandbox: SandboxServer
) -> None:
    """The list of the last 30 days does not have the dispute any more; our record says that it was not decided."""
    busy_day(sandbox)
    sweep(tools)
    clock: Any = tools.clock
    clock.advance(hours=60 * 24)
    sandbox.control.act("lose-dispute", invoice_in_stripe(sandbox, "acme")["id"])
    assert sweep(tools).missed["dispute"] == 1
    assert [row for row in money(tools.journal.database) if row[1] == "dispute"] == [
        ("acme", "dispute", "needs_response", 700, "sweep"),
        ("acme", "dispute", "lost", 700, "sweep"),
    ]
    assert not sum(sweep(tools).missed.values())


def test_an_open_invoice_of_any_age_is_compared(tools: SyncTools, sandbox: SandboxServer) -> None:
    """Two months later, a credit note takes $1.00 off bolt's open invoice, and no event of it comes."""
    clock: Any = tools.clock
    clock.advance(hours=60 * 24)
    sandbox.control.act("credit-note", invoice_in_stripe(sandbox, "bolt")["id"], amount=100)
    assert sweep(tools).missed["invoices"] == 1
    assert asked(tools.journal.database)[1] == ("bolt", "open", 400, 400, "sweep")


def test_a_sweep_of_a_quiet_night_costs_one_read_per_hundred_objects(tools: SyncTools, sandbox: SandboxServer) -> None:
    busy_day(sandbox)
    sweep(tools)
    sandbox.control.clear_calls()
    sweep(tools)
    quiet = reads(sandbox)
    assert quiet == {
        "invoices.list": 2, "credit_notes.list": 1, "refunds.list": 1, "disputes.list": 1, "customers.list": 1,
    }  # fmt: skip


def test_a_balance_in_a_second_currency_is_found_by_the_sweep_and_read_once(
    tools: SyncTools, sandbox: SandboxServer
) -> None:
    """Acme is billed in USD; 40.00 EUR are given to it, and half of them taken back. No event brings it."""
    customer = invoice_in_stripe(sandbox, "acme")["customer"]
    sandbox.control.act("credit", customer, amount=4000, currency="eur")
    assert sweep(tools).missed["balances"] == 1
    sandbox.control.act("debit", customer, amount=2000, currency="eur")
    assert sweep(tools).missed["balances"] == 1
    sandbox.control.clear_calls()
    assert not sum(sweep(tools).missed.values())
    assert "customer_balance.list" not in reads(sandbox)
    found = query(
        tools.journal.database,
        "select currency, cast(sum(amount_cents) as bigint) as cents from ledger_entries"
        " where account = 'stripe_balance' group by currency order by currency",
    )
    assert [tuple(row.values()) for row in found] == [("EUR", -2000)]


def test_an_object_that_cannot_be_read_is_named_and_stops_nobody_else(
    tools: SyncTools, sandbox: SandboxServer, tmp_path: Path
) -> None:
    """Half a shilling of credit is not an amount of Uganda's currency. Acme's and bolt's states are recorded."""
    database = tools.journal.database
    execute(
        database,
        "insert into organizations (id, name, currency, billing_group, created_at, stripe_customer_id)"
        " values ('kampala', 'Kampala', 'UGX', 'kampala', '2023-01-01Z', 'cus_kampala')",
    )
    sandbox.control.seed_customer("cus_kampala")
    sandbox.control.act("credit", "cus_kampala", amount=150, currency="ugx")
    busy_day(sandbox)
    found = sweep(tools)
    assert money(database) == BUSY_DAY
    assert [(row["organization"], row["stripe"]) for row in found.refused] == [("kampala", "customer cus_kampala")]
    assert "not a whole amount of UGX" in found.refused[0]["what"]


def test_a_newer_state_that_an_event_brings_during_the_sweep_stays(tools: SyncTools, sandbox: SandboxServer) -> None:
    """The sweep began before the credit note, and reads the invoice without it from a slow page."""
    began = tools.clock()
    stale = tools.reader()
    before = list(stale.open_invoices())
    sandbox.control.act("credit-note", invoice_in_stripe(sandbox, "bolt")["id"], amount=100)
    poll_events(tools.journal.database, tools.reader(), tools.clock() - timedelta(days=1), tools.clock())
    stale.open_invoices = lambda: iter(before)  # type: ignore[method-assign]
    stale.invoices_since = lambda since, until=None: iter(())  # type: ignore[method-assign]
    sweep_money(tools.journal.database, stale, began)
    assert asked(tools.journal.database)[1] == ("bolt", "open", 400, 400, "polling")


def test_the_sweep_says_what_it_compared(tools: SyncTools, sandbox: SandboxServer) -> None:
    busy_day(sandbox)
    said: list[str] = []
    progress: Callable[[str], None] = said.append
    sweep_money(tools.journal.database, tools.reader(), tools.clock(), progress)
    assert said == [
        "invoices: 3 compared, 2 states missed",
        "credit note: 2 compared, 2 states missed",
        "refund: 1 compared, 1 state missed",
        "dispute: 1 compared, 1 state missed",
        "balances: 2 compared, 2 states missed",
    ]
