"""Applies an invoice's status at Stripe whose event never arrived, as if it had: through the same code.

The nightly sweep records what Stripe asks for, status included, and an event normally brings the status within minutes.
Not here: the meaning of a status (`stripe_sync.rules.events`), and reading Stripe (`stripe_sync.money_sweep`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sync.event_inbox import record_event
from fly_billing.stripe_sync.rules.events import APPLIED, STATUSES, StripeEvent


@dataclass(frozen=True)
class _MissedStatus:
    """A status that was read at Stripe, and not applied."""

    stripe_invoice_id: str
    status: str
    read_at: datetime


def apply_missed_statuses(database: BillingDatabase, now: datetime) -> int:
    """Apply the statuses whose events are missing; return their number. Repeating it applies nothing more.

    The event that is recorded instead is named after the invoice and the status, so it is applied once. If Stripe's own
    event arrives later, it changes nothing.
    """
    types = {status: event for event, status in STATUSES.items()}
    outcomes = [
        record_event(database, _event(missed, types[missed.status]), "sweep", now)
        for missed in database.records(_MissedStatus, "missed_statuses")
    ]
    return outcomes.count(APPLIED)


def _event(missed: _MissedStatus, type: str) -> StripeEvent:
    return StripeEvent(
        id=f"missed_{missed.stripe_invoice_id}_{missed.status}",
        type=type,
        created=missed.read_at,
        object_id=missed.stripe_invoice_id,
        paid_at=missed.read_at if missed.status == "paid" else None,
    )
