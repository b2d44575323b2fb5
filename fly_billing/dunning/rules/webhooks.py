"""A platform's webhooks about late payments: which are due, and their bodies. Pure.

Bodies follow Standard Webhooks (`type`, `timestamp`, `data`), and are ASCII: the outbox keeps them as they are. A
threshold is sent once per invoice. An invoice of which a threshold was sent gets a message when it is over.
Not here: signing and sending (`dunning.webhook`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

from fly_billing.foreign_text import visible
from fly_billing.money import counted

PAST_DUE, GIVEN_UP, SETTLED = "invoice.past_due", "invoice.given_up", "invoice.settled"


@dataclass(frozen=True)
class LateInvoice:
    """A final invoice that is past due, or was.

    Attributes:
        month: Such as `2026-09`.
        status: As in the table invoices.
        due_cents: What Stripe asks for now, in the currency's minor unit.
        next_attempt_at: When Stripe tries to collect it again.
    """

    invoice_id: UUID
    number: str
    organization_id: str
    month: str
    status: str
    currency: str
    due_cents: int
    due_on: date
    days_past_due: int
    next_attempt_at: datetime | None
    stripe_invoice_id: str | None


@dataclass(frozen=True)
class DunningMessage:
    """A message of the outbox. `key` names its invoice and threshold: it is queued once."""

    key: str
    type: str
    subject: str
    body: str


def past_due_message(invoice: LateInvoice, threshold_days: int, now: datetime) -> DunningMessage:
    """Return the message that the invoice has reached a threshold."""
    more = {"threshold_days": threshold_days, "days_past_due": invoice.days_past_due}
    key = f"past due {invoice.invoice_id} {threshold_days}"
    return _message(key, PAST_DUE, f"{counted(threshold_days, 'day')} past due", invoice, now, more)


def over_message(invoice: LateInvoice, now: datetime) -> DunningMessage:
    """Return the message that an invoice was given up, or that nothing is owed on it: paid, void or credited."""
    if invoice.status == "uncollectible":
        return _message(f"given up {invoice.invoice_id}", GIVEN_UP, "given up", invoice, now, {})
    return _message(f"settled {invoice.invoice_id}", SETTLED, "settled", invoice, now, {})


def _message(
    key: str, type_: str, what: str, invoice: LateInvoice, now: datetime, more: dict[str, int]
) -> DunningMessage:
    data = {
        "invoice_id": str(invoice.invoice_id),
        "invoice_number": invoice.number,
        "organization_id": invoice.organization_id,
        "month": invoice.month,
        "status": invoice.status,
        "currency": invoice.currency,
        "due_cents": invoice.due_cents,
        "due_on": invoice.due_on.isoformat(),
        **more,
        "next_attempt_at": _moment(invoice.next_attempt_at) if invoice.next_attempt_at else None,
        "stripe_invoice_id": invoice.stripe_invoice_id,
    }
    body = json.dumps({"type": type_, "timestamp": _moment(now), "data": data})
    return DunningMessage(key, type_, f"{visible(invoice.organization_id)} {invoice.month}: {what}", body)


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
