"""A platform whose customers pay, dispute and are credited in the Stripe sandbox, and the ledger that follows it.

Amounts are in cents. Not here: the sync of invoices (`stripe_builders`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from fly_billing.ledger.checks import ledger_differences
from fly_billing.ledger.owed_and_asked import asked_differences
from fly_billing.ledger.rules.accounts import OWED
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.statements.rules.balance import Balance
from fly_billing.statements.rules.statement import Statement
from fly_billing.statements.statement_reader import read_statement
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.event_inbox import poll_events
from tests.support.stripe_builders import (
    JUNE,
    Json,
    add_organization,
    charge,
    close_month,
    execute,
    query,
    sync,
    sync_tools,
    utc_now,
)

ACME = "acme"
# Each event at Stripe is polled, however old the sandbox's first one is.
FIRST_EVENT = timedelta(days=3)


@dataclass
class StripePlatform:
    """One organization, acme, and its customer in the sandbox."""

    database: BillingDatabase
    sandbox: SandboxServer
    folder: Path

    def __post_init__(self) -> None:
        add_organization(self.database, ACME)
        self.tools = sync_tools(self.database, self.sandbox.url)

    def bill(self, month: BillingMonth, *amounts: str, is_sent: bool = True) -> None:
        """Finalize the month with these items, and send the invoice to Stripe."""
        if amounts:
            charge(self.database, ACME, *amounts, month=month)
        close_month(self.database, self.folder, month)
        if is_sent:
            sync(self.tools, month)

    def tax(self, percent: str, name: str = "VAT", *, is_inclusive: bool = False) -> None:
        """Charge acme this tax from June 2023 on."""
        execute(
            self.database,
            "insert into tax_rates (id, organization_id, name, percent, is_inclusive, first_month)"
            " values (gen_random_uuid(), :id, :name, cast(:percent as numeric), :is_inclusive, '2023-06-01')",
            id=ACME, name=name, percent=percent, is_inclusive=is_inclusive,
        )  # fmt: skip

    def act(self, action: str, month: BillingMonth = JUNE, **given: Any) -> Json:
        """Do an action of the dashboard to the month's invoice, or to the customer."""
        return self.sandbox.control.act(action, self.invoice(month)["id"], **given)

    def pay(self, month: BillingMonth = JUNE) -> None:
        """Give the customer a card and charge it with the month's invoice."""
        self.act("give-card", month)
        self.act("pay", month)

    def poll(self) -> None:
        """Read all events of the sandbox."""
        now = utc_now()
        poll_events(self.database, self.tools.reader(), now - FIRST_EVENT, now)

    def invoice(self, month: BillingMonth = JUNE) -> Json:
        """Return the month's newest invoice in Stripe."""
        found = [
            invoice for invoice in self.sandbox.control.invoices() if invoice["metadata"].get("month") == str(month)
        ]
        return found[-1]

    def asked(self) -> int:
        """Return what Stripe asks acme for: what remains of open invoices, and the customer balance."""
        return sum(self.asked_parts())

    def asked_parts(self) -> tuple[int, int]:
        """Return what remains of open invoices, and the customer balance."""
        return asked_in_stripe(self.sandbox, self.database)

    def statement(self, later: timedelta = timedelta()) -> Statement:
        return read_statement(self.database, ACME, utc_now() + later)

    def balances(self) -> dict[str, int]:
        """Return the accounts that are not 0."""
        return account_balances(self.database)

    def owed(self) -> int:
        """Return what acme owes by the ledger."""
        return sum(self.balances().get(account, 0) for account in OWED)

    def events(self) -> list[tuple[str, dict[str, int]]]:
        """Return each posted event with its entries, oldest first."""
        found = query(
            self.database,
            "select t.event, jsonb_object_agg(e.account, e.amount_cents) as entries"
            " from ledger_transactions as t join ledger_entries as e on e.transaction_id = t.id"
            " group by t.id, t.event order by t.id",
        )
        return [(row["event"], row["entries"]) for row in found]


def agree(acme: StripePlatform, cents: int) -> None:
    """Check that acme owes this amount and Stripe asks for it, and that the ledger equals its sources."""
    acme.poll()
    assert (acme.owed(), acme.asked()) == (cents, cents)
    assert asked_differences(acme.database) == []
    statement = acme.statement().balances().get("USD", Balance())
    assert (statement.owed, statement.carried_over - statement.credit) == acme.asked_parts()
    assert sum(acme.balances().values()) == 0
    months = query(acme.database, "select distinct source_month as month from ledger_rebuilt")
    for row in months:
        assert ledger_differences(acme.database, BillingMonth(row["month"].year, row["month"].month)) == []


def asked_in_stripe(sandbox: SandboxServer, database: BillingDatabase, organization: str = ACME) -> tuple[int, int]:
    """Return what the sandbox asks an organization for: what remains of its open invoices, and its balance."""
    (row,) = query(database, "select stripe_customer_id from organizations where id = :id", id=organization)
    customer = sandbox.control.object(row["stripe_customer_id"])
    invoices = sandbox.control.invoices(customer["id"])
    remaining = sum(invoice["amount_remaining"] for invoice in invoices if invoice["status"] == "open")
    return remaining, int(customer["balance"])


def account_balances(database: BillingDatabase, organization: str = ACME) -> dict[str, int]:
    """Return the accounts of an organization that are not 0."""
    found = query(
        database,
        "select account, sum(amount_cents) as cents from ledger_entries where organization_id = :id group by account"
        " having sum(amount_cents) <> 0",
        id=organization,
    )
    return {row["account"]: int(row["cents"]) for row in found}
