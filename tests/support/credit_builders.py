"""Credit notes that tests ask for, and what became of them at Stripe and here."""

from __future__ import annotations

from typing import Any

from fly_billing.money import parse_typed_amount
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.credit_notes import plan_credit, request_credit, send_credit
from fly_billing.stripe_sync.invoice_sync import SyncTools
from fly_billing.stripe_sync.rules.credit_requests import TO_BALANCE, CreditRequest
from tests.support.stripe_builders import JUNE, query


def ask_for_credit(
    tools: SyncTools,
    organization: str,
    amount: str,
    to: str = TO_BALANCE,
    why: str = "an outage",
    limit: int = 10_000,
    month: BillingMonth = JUNE,
) -> CreditRequest:
    """Record a request for a credit note on a month's invoice. `limit`: the most cents that need no approval."""
    plan = plan_credit(
        tools, organization, month, lambda currency, asked: parse_typed_amount(amount, currency), to,
        why=why, made_by="ann", limit_cents=lambda currency: limit,
    )  # fmt: skip
    return request_credit(tools.journal.database, plan, tools.clock())


def credit(tools: SyncTools, organization: str, amount: str, to: str = TO_BALANCE, **more: Any) -> CreditRequest:
    """Ask for a credit note and send it."""
    return send_credit(tools, ask_for_credit(tools, organization, amount, to, **more).id)


def notes(sandbox: SandboxServer) -> list[tuple[int, int, int, int, int]]:
    """List Stripe's credit notes: (amount, lowered an open invoice, refunded, to the balance, outside), by amount."""
    found = []
    for body in sandbox.control.objects("credit_note"):
        refunded = sum(refund["amount_refunded"] for refund in body["refunds"])
        outside = body["out_of_band_amount"] or 0
        balance = body["post_payment_amount"] - refunded - outside
        found.append((body["amount"], body["pre_payment_amount"], refunded, balance, outside))
    return sorted(found)


def requests(database: BillingDatabase) -> list[tuple[str, int]]:
    """List our requests: (state, generation), oldest first."""
    found = query(database, "select state, generation from credit_requests order by made_at, id")
    return [(row["state"], row["generation"]) for row in found]
