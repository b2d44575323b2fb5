"""Compares both sides after a campaign: amounts owed and asked for, cash, disputes, write-offs, and the tax of both.

Reads the sandbox's store and the billing database, and trusts neither the checks nor the statement of the project: it
compares these too. Keeps out: the words (report.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fly_billing.accounting.recognition import defer_revenue, recognition_problems
from fly_billing.ledger.checks import ledger_differences
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.statements.rules.balance import Balance
from fly_billing.statements.statement_reader import read_statement
from fly_billing.stripe_sandbox import SandboxControl
from fly_billing.stripe_sandbox.balances import OTHERS
from tests.support.stripe_builders import Json, query

LEDGER = """
select organization_id, currency, account, sum(amount_cents) as cents
from ledger_entries group by organization_id, currency, account
"""
DOUBLED = """
select count(*) as doubled from (
    select from ledger_transactions
    group by
        invoice_change_id, credit_note_id, credit_grant_id, stripe_money_id, credit_expiry_id, stripe_amounts_id, event
    having count(*) > 1
) as twice
"""
NOT_SENT = """
select i.organization_id, sum(i.total_cents) as cents
from invoices as i left join stripe_invoices as s on s.invoice_id = i.id
where i.status = 'finalized' and i.total_cents <> 0 and coalesce(s.state, '') <> 'finalized'
group by i.organization_id
"""


@dataclass(frozen=True)
class MoneySide:
    """An organization's sums at Stripe, in cents.

    Attributes:
        remaining: What its open invoices ask for.
        balance, other_balance: Its balances in US dollars and in euros.
        cash: What it paid, less what it got back.
        disputed: What banks hold back.
        written_off: What can't be collected: lost disputes, and the rest of uncollectible invoices.
        tax: The tax of its invoices, less that of credit notes.
    """

    remaining: int = 0
    balance: int = 0
    other_balance: int = 0
    cash: int = 0
    disputed: int = 0
    written_off: int = 0
    tax: int = 0


@dataclass
class MoneyFindings:
    """The result. Each difference is a sentence.

    Attributes:
        owed: Organizations whose remaining amounts or balance differ between the ledger and Stripe.
        cash: Organizations whose cash differs.
        disputed, written_off, tax: Organizations in which this account differs.
        other_currency: Organizations whose balance in euros differs.
        statements: Organizations whose statement differs from Stripe.
        ledger: Differences that the project's own check finds between the ledger and its sources.
        recognized: Organizations and months whose recognized + deferred revenue + breakage is not what was billed, or
            whose deferred revenue is not what their invoices say.
        doubled: Sources that are posted more than once.
        unbalanced: Organizations whose accounts do not sum to zero.
    """

    organizations: int = 0
    owed: list[str] = field(default_factory=list)
    cash: list[str] = field(default_factory=list)
    disputed: list[str] = field(default_factory=list)
    written_off: list[str] = field(default_factory=list)
    tax: list[str] = field(default_factory=list)
    other_currency: list[str] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    ledger: list[str] = field(default_factory=list)
    recognized: list[str] = field(default_factory=list)
    doubled: int = 0
    unbalanced: list[str] = field(default_factory=list)
    postings: int = 0
    not_sent_cents: int = 0

    @property
    def differences(self) -> dict[str, list[str]]:
        """The differences by kind."""
        return {
            "owed": self.owed, "cash": self.cash, "disputed": self.disputed, "written_off": self.written_off,
            "tax": self.tax, "other_currency": self.other_currency, "statements": self.statements,
            "ledger": self.ledger, "recognized": self.recognized, "unbalanced": self.unbalanced,
        }  # fmt: skip

    @property
    def wrong(self) -> dict[str, int]:
        """The number of differences by kind, without the kinds that have none."""
        counts = {
            **{name: len(found) for name, found in self.differences.items()},
            "doubled": self.doubled,
        }
        return {name: count for name, count in counts.items() if count}


def audit_money(database: BillingDatabase, control: SandboxControl) -> MoneyFindings:
    """Compare every organization. All events must have been read before."""
    customers = {
        row["id"]: row["stripe_customer_id"]
        for row in query(database, "select id, stripe_customer_id from organizations")
    }
    accounts: dict[str, Counter[str]] = {name: Counter() for name in customers}
    euros: dict[str, Counter[str]] = {name: Counter() for name in customers}
    for row in query(database, LEDGER):
        of_currency = {"USD": accounts, "EUR": euros}[row["currency"]]
        of_currency[row["organization_id"]][row["account"]] = int(row["cents"])
    not_sent = {row["organization_id"]: int(row["cents"]) for row in query(database, NOT_SENT)}
    there = at_stripe(control.objects())
    found = MoneyFindings(len(customers), not_sent_cents=sum(not_sent.values()))
    found.postings = query(database, "select count(*) as n from ledger_transactions")[0]["n"]
    found.doubled = query(database, DOUBLED)[0]["doubled"]
    for name, customer in sorted(customers.items()):
        sums, stripe = accounts[name], there.get(customer, MoneySide())
        owed = sums["receivable"] - not_sent.get(name, 0), sums["stripe_balance"]
        if owed != (stripe.remaining, stripe.balance):
            found.owed.append(f"{name}: {owed} here, {(stripe.remaining, stripe.balance)} in Stripe")
        compared = (
            (found.cash, sums["cash"], stripe.cash),
            (found.disputed, sums["disputed"], stripe.disputed),
            (found.written_off, sums["written_off"], stripe.written_off),
            (found.tax, -sums["tax_payable"], stripe.tax),
            (found.other_currency, euros[name]["stripe_balance"], stripe.other_balance),
        )
        for differing, here, at_stripe_now in compared:
            if here != at_stripe_now and not (differing is found.tax and name in not_sent):
                differing.append(f"{name}: {here} here, {at_stripe_now} in Stripe")
        shown = read_statement(database, name, datetime.now(UTC)).balances().get("USD", Balance())
        if name not in not_sent and (shown.owed, shown.total) != (stripe.remaining, stripe.remaining + stripe.balance):
            found.statements.append(f"{name}: {shown.owed} and {shown.total} shown, {stripe}")
        if sum(sums.values()) or sum(euros[name].values()):
            found.unbalanced.append(f"{name}: {sum(sums.values())} and EUR {sum(euros[name].values())}")
    months = query(
        database, "select source_month as month from ledger_rebuilt union select source_month from ledger_posted"
    )
    found.recognized = [str(each) for each in defer_revenue(database).failed]
    for row in months:
        month = BillingMonth(row["month"].year, row["month"].month)
        found.ledger += [f"{each.organization_id}: {each}" for each in ledger_differences(database, month)]
        found.recognized += [f"{each['organization_id']}: {each}" for each in recognition_problems(database, month)]
    return found


def at_stripe(objects: Iterable[Json]) -> Mapping[str, MoneySide]:
    """Add up the sandbox's objects by customer."""
    kinds: dict[str, list[Json]] = {}
    for body in objects:
        kinds.setdefault(body["object"], []).append(body)
    charges = {charge["id"]: charge for charge in kinds.get("charge", [])}
    remaining: Counter[str] = Counter()
    cash: Counter[str] = Counter()
    disputed: Counter[str] = Counter()
    written_off: Counter[str] = Counter()
    tax: Counter[str] = Counter()
    void = {invoice["id"] for invoice in kinds.get("invoice", []) if invoice["status"] == "void"}
    for invoice in kinds.get("invoice", []):
        remaining[invoice["customer"]] += invoice["amount_remaining"] if invoice["status"] == "open" else 0
        written_off[invoice["customer"]] += invoice["amount_remaining"] if invoice["status"] == "uncollectible" else 0
        cash[invoice["customer"]] += invoice.get("amount_paid_off_stripe") or 0
        tax[invoice["customer"]] += 0 if invoice["status"] in ("void", "draft") else _tax_of(invoice)
    for charge in charges.values():
        cash[charge["customer"]] += charge["amount"] if charge["status"] == "succeeded" else 0
    for refund in kinds.get("refund", []):
        cash[charges[refund["charge"]]["customer"]] -= refund["amount"] if refund["status"] == "succeeded" else 0
    for dispute in kinds.get("dispute", []):
        customer_id, status = charges[dispute["charge"]]["customer"], dispute["status"]
        cash[customer_id] -= dispute["amount"] if status != "won" else 0
        disputed[customer_id] += dispute["amount"] if status in ("needs_response", "under_review") else 0
        written_off[customer_id] += dispute["amount"] if status == "lost" else 0
    for note in kinds.get("credit_note", []):
        cash[note["customer"]] -= _paid_back_outside(note)
        tax[note["customer"]] -= _tax_of(note) if note["status"] == "issued" and note["invoice"] not in void else 0
    return {
        (id := customer["id"]): MoneySide(
            remaining=remaining[id], balance=customer["balance"],
            other_balance=customer.get(OTHERS, {}).get("eur", 0), cash=cash[id], disputed=disputed[id],
            written_off=written_off[id], tax=tax[id],
        )
        for customer in kinds.get("customer", [])
    }  # fmt: skip


def _tax_of(body: Mapping[str, Any]) -> int:
    return sum(tax["amount"] for tax in body["total_taxes"])


def _paid_back_outside(note: Mapping[str, Any]) -> int:
    return int(note["out_of_band_amount"] or 0) if note["status"] == "issued" else 0
