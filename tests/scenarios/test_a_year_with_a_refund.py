"""One customer's year: a refund after a plan change, and a credit note for an outage. Worked by hand.

Acme pays by card.

| month | what | billed | Stripe asks for | paid | goes back |
|---|---|---|---|---|---|
| June | the plan Pro | 30.00 | 30.00 | 30.00 | |
| July | Pro again, although acme had changed to Basic (10.00) | 30.00 | 30.00 | 30.00 | 20.00 to the card |
| August | Basic; 2.00 are credited for an outage before it is paid | 10.00 | 8.00 | 8.00 | |
| September | Basic; acme pays, and gets 3.00 as credit | 10.00 | 10.00 | 10.00 | 3.00 to the balance |
| October | Basic, less the credit | 10.00 | 7.00 | 7.00 | |

Billed are 90.00, of which 20.00 + 2.00 + 3.00 = 25.00 are taken back: revenue is 65.00. Paid are 30.00 + 30.00 + 8.00 +
10.00 + 7.00 = 85.00, of which 20.00 went back: cash is 65.00. Nothing is owed.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.event_inbox import poll_events
from fly_billing.stripe_sync.invoice_sync import SyncTools
from fly_billing.stripe_sync.money_sweep import sweep_money
from fly_billing.stripe_sync.rules.credit_requests import TO_BALANCE, TO_CARD
from tests.support.credit_builders import credit
from tests.support.stripe_builders import (
    add_organization,
    charge,
    close_month,
    entry,
    query,
    sync,
    sync_tools,
    utc_now,
)

JUNE, JULY, AUGUST, SEPTEMBER, OCTOBER = (BillingMonth(2023, number) for number in range(6, 11))


def send_bill(tools: SyncTools, sandbox: SandboxServer, folder: Path, month: BillingMonth, amount: str) -> str:
    """Bill the month and sync it; return Stripe's invoice."""
    charge(tools.journal.database, "acme", amount, month=month)
    close_month(tools.journal.database, folder, month)
    sync(tools, month)
    return str(entry(tools.journal.database, "acme", month)["stripe_invoice_id"])


def pay(tools: SyncTools, sandbox: SandboxServer, invoice: str) -> int:
    """Pay what the invoice asks for, let a poll find it, and return the amount."""
    asked = int(sandbox.control.object(invoice)["amount_remaining"])
    sandbox.control.act("give-card", sandbox.control.object(invoice)["customer"])
    sandbox.control.act("pay", invoice)
    poll_events(tools.journal.database, tools.reader(), utc_now() - timedelta(days=1), utc_now())
    return asked


def test_a_refund_after_a_plan_change(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    add_organization(billing_database, "acme")
    tools = sync_tools(billing_database, sandbox.url)
    asked = [pay(tools, sandbox, send_bill(tools, sandbox, tmp_path, JUNE, "30.00"))]

    asked.append(pay(tools, sandbox, send_bill(tools, sandbox, tmp_path, JULY, "30.00")))
    credit(tools, "acme", "20.00", TO_CARD, why="You changed to Basic on 1 July", month=JULY)

    august = send_bill(tools, sandbox, tmp_path, AUGUST, "10.00")
    credit(tools, "acme", "2.00", why="An outage on 3 August", month=AUGUST)
    asked.append(pay(tools, sandbox, august))

    asked.append(pay(tools, sandbox, send_bill(tools, sandbox, tmp_path, SEPTEMBER, "10.00")))
    credit(tools, "acme", "3.00", TO_BALANCE, why="Goodwill", month=SEPTEMBER)

    asked.append(pay(tools, sandbox, send_bill(tools, sandbox, tmp_path, OCTOBER, "10.00")))

    assert asked == [3000, 3000, 800, 1000, 700]
    found = query(
        billing_database,
        "select account, cast(sum(amount_cents) as bigint) as cents from ledger_entries group by account"
        " having sum(amount_cents) <> 0 order by account",
    )
    assert [(row["account"], row["cents"]) for row in found] == [("cash", 6500), ("revenue", -6500)]
    assert not sum(sweep_money(billing_database, tools.reader(), utc_now()).missed.values())
    history = query(
        billing_database,
        "select action, amount_cents, subject, reason from finance_history where first_month = :month"
        " and action not in ('finalized', 'paid') order by action",
        month=JULY.first_day,
    )
    assert [tuple(row.values()) for row in history] == [
        ("credited", 2000, "credit note at Stripe of invoice 2: issued", "You changed to Basic on 1 July"),
        ("refunded", 2000, "refund of a payment of invoice 2: succeeded", None),
    ]
