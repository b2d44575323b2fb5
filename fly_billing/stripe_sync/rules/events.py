"""The effect of a Stripe event on our invoice, and the texts for customer and operator. Pure functions.

Events arrive late, twice and out of order. Statuses have ranks, as in Stripe (docs.stripe.com/invoicing/overview):
finalized < uncollectible < paid = void. They only rise, so the order of events does not matter. Of several failures the
last one that Stripe created counts. Not here: receiving and recording events (`stripe_sync.event_inbox`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from fly_billing.stripe_sync.rules.money_objects import MONEY_EVENTS
from fly_billing.stripe_sync.rules.payment_failures import payment_failure
from fly_billing.stripe_sync.rules.sync_failures import KNOWN_CODES, stripe_failure

PAYMENT_FAILED, FINALIZATION_FAILED = "invoice.payment_failed", "invoice.finalization_failed"
OVERPAID = "invoice.overpaid"
STATUSES = {"invoice.paid": "paid", "invoice.voided": "void", "invoice.marked_uncollectible": "uncollectible"}
INVOICE_EVENTS = (*STATUSES, PAYMENT_FAILED, FINALIZATION_FAILED, OVERPAID)
# The events that change something here; all others are recorded and ignored. A poll asks for them, at most 20 types.
ACTED_ON = (*INVOICE_EVENTS, *MONEY_EVENTS)

# Stripe's limit for ids, types, codes and keys (docs.stripe.com/upgrades). A longer text does not fit into an index.
MOST_CHARACTERS = 255

RANKS = {"finalized": 0, "uncollectible": 1, "paid": 2, "void": 2}
APPLIED, SUPERSEDED, IGNORED, WAITING, CONFLICT = "applied", "superseded", "ignored", "waiting", "conflict"


class NotAnEvent(ValueError):
    """The text is not an event of Stripe's v1 API."""


@dataclass(frozen=True)
class StripeEvent:
    """The recorded part of an event.

    Attributes:
        object_id: The id of its Stripe invoice.
        invoice_id: Our invoice id, from the metadata of the Stripe invoice.
        error: Stripe's message. A failed finalization contains it; for a failed payment it must be read.
        error_code: Its decline code, or else its error code.
    """

    id: str
    type: str
    created: datetime
    object_id: str
    livemode: bool = False
    invoice_id: UUID | None = None
    idempotency_key: str | None = None
    paid_at: datetime | None = None
    next_attempt_at: datetime | None = None
    error: str | None = None
    error_code: str | None = None

    @property
    def link(self) -> str:
        return f"https://dashboard.stripe.com/{'' if self.livemode else 'test/'}invoices/{self.object_id}"


@dataclass(frozen=True)
class SyncState:
    """The state of our invoice when an event arrives.

    Attributes:
        stripe_state, stripe_invoice_id: From our journal.
        is_own_request: A request in our journal caused the event.
    """

    status: str
    origin: str
    stripe_state: str | None
    stripe_invoice_id: str | None
    is_own_request: bool = False


@dataclass(frozen=True)
class EventOutcome:
    """The effect of an event.

    Attributes:
        outcome: Applied, superseded, ignored, waiting (for our own sync) or conflict.
        reason: The reason for the outcome.
        status: The invoice's new status, if it changes.
        code, operator_text: For an alert.
        customer_text: For the statement.
    """

    outcome: str
    reason: str
    status: str | None = None
    code: str | None = None
    customer_text: str | None = None
    operator_text: str | None = None


def read_event(body: Mapping[str, Any]) -> StripeEvent:
    """Read an event of Stripe's v1 API. Raises NotAnEvent."""
    try:
        thing = body["data"]["object"]
        transitions = thing.get("status_transitions") or {}
        error = (thing.get("last_finalization_error") if body["type"] == FINALIZATION_FAILED else None) or {}
        return StripeEvent(
            id=_text(body["id"]),
            type=_text(body["type"]),
            created=_required_moment(body["created"]),
            object_id=_optional_text(thing.get("id")) or "",
            livemode=bool(body.get("livemode")),
            invoice_id=_uuid((thing.get("metadata") or {}).get("fly_billing_invoice")),
            idempotency_key=_optional_text((body.get("request") or {}).get("idempotency_key")),
            paid_at=_moment(transitions.get("paid_at")),
            next_attempt_at=_moment(thing.get("next_payment_attempt")),
            error=_storable(error["message"]) if error.get("message") else None,
            error_code=_optional_text(error.get("decline_code") or error.get("code")),
        )
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, OSError) as problem:
        raise NotAnEvent(f"not an event of Stripe's v1 API: {type(problem).__name__}") from problem


def _text(value: Any) -> str:
    if not _storable(value) or len(value) > MOST_CHARACTERS:
        raise ValueError("no text, or a longer one than Stripe's")
    return str(value)


def _optional_text(value: Any) -> str | None:
    return _text(value) if value else None


def _storable(value: Any) -> str:
    """Return a text if Postgres can store it: without NUL and without half of a surrogate pair."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("no text that can be stored")
    value.encode()  # raises UnicodeEncodeError, which is a ValueError
    return value


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(value)
    except (ValueError, TypeError, AttributeError):
        return None  # somebody else's metadata


def _moment(value: int | None) -> datetime | None:
    return None if value is None else _required_moment(value)


def _required_moment(value: int) -> datetime:
    return datetime.fromtimestamp(value, UTC)


def judge(event: StripeEvent, state: SyncState | None) -> EventOutcome:
    """Return the effect of an event, given the state of our invoice. `state` is None if we have no such invoice."""
    if event.type not in INVOICE_EVENTS:
        return EventOutcome(IGNORED, "events of this type change nothing here")
    if state is None:
        return EventOutcome(IGNORED, "not an invoice of ours")
    if state.origin != "billed":
        return EventOutcome(IGNORED, "the invoice was imported and settled elsewhere")
    if event.type == FINALIZATION_FAILED:
        return _failed_finalization(event, state)
    if state.stripe_state not in ("finalized", "skipped_zero"):
        return EventOutcome(WAITING, "our sync has not finished this invoice yet")
    if state.stripe_invoice_id != event.object_id:
        return _of_another(event)
    if event.type == OVERPAID:
        return EventOutcome(APPLIED, "more was paid than asked for: Stripe credits the rest to the customer's balance")
    return _failed_payment(event, state) if event.type == PAYMENT_FAILED else _new_status(event, state)


def of_money(recorded: int) -> EventOutcome:
    """Return the outcome of an event of `MONEY_EVENTS`, given the number of new states that were recorded."""
    if not recorded:
        return EventOutcome(IGNORED, "nothing that our customers owe or paid changed")
    return EventOutcome(APPLIED, "the new state at Stripe is recorded")


def unreadable_invoice(event: StripeEvent, reason: str) -> EventOutcome:
    """Return the outcome of an event that can't be applied to our invoice's row. `reason` describes the row's fault."""
    text = (
        f"the event {event.type} can't be applied to the invoice's row: {reason}: correct the row, and the next poll of"
        " Stripe's events applies it"
    )
    return EventOutcome(WAITING, reason, code="unreadable_invoice", operator_text=_operator_text(text, event))


def _failed_finalization(event: StripeEvent, state: SyncState) -> EventOutcome:
    if state.stripe_state == "finalized" or state.stripe_invoice_id not in (None, event.object_id):
        return EventOutcome(SUPERSEDED, "the invoice was finalized since, or a new draft was made")
    code = event.error_code if event.error_code in KNOWN_CODES else "finalization_failed"
    known = stripe_failure(code, "", None)
    return EventOutcome(
        APPLIED,
        "Stripe could not finalize the draft",
        code="finalization_failed",
        customer_text=known.customer_text,
        operator_text=_operator_text(f"Stripe could not finalize the draft: {known.operator_text.rstrip('.')}", event),
    )


def _of_another(event: StripeEvent) -> EventOutcome:
    reason = "about an earlier try or a duplicate in Stripe, not about the invoice that we billed"
    if event.type != "invoice.paid":
        return EventOutcome(SUPERSEDED, reason)
    text = "a duplicate or an earlier try was paid: refund it in Stripe, or void the invoice that we billed"
    return EventOutcome(CONFLICT, reason, code="paid_elsewhere", operator_text=_operator_text(text, event))


def _failed_payment(event: StripeEvent, state: SyncState) -> EventOutcome:
    if state.status != "finalized":
        return EventOutcome(SUPERSEDED, f"the invoice is {state.status} since")
    again, known = event.next_attempt_at, payment_failure(event.error_code)
    said = f' ("{event.error.rstrip(".")}")' if event.error and known.may_be_quoted else ""
    then = f"We will try again on {again:%Y-%m-%d}." if again else "We will not try again automatically."
    meaning = f"{known.meaning}. " if known.meaning else ""
    return EventOutcome(
        APPLIED,
        "the payment failed",
        code="payment_failed" if again else "payment_given_up",
        customer_text=f"We could not collect this invoice{said}. {known.what_to_do} {then}",
        operator_text=_operator_text(meaning + _what_to_do(again), event),
    )


def _what_to_do(again: datetime | None) -> str:
    if again:
        return f"Stripe will retry automatically on {again:%Y-%m-%d}: ask the customer for another payment method"
    return "Stripe will not retry: contact the customer, then collect it or write it off in Stripe's dashboard"


def _new_status(event: StripeEvent, state: SyncState) -> EventOutcome:
    new = STATUSES[event.type]
    if new == state.status or RANKS[new] < RANKS[state.status]:
        return EventOutcome(SUPERSEDED, f"the invoice is {state.status} already")
    if RANKS[new] == RANKS[state.status]:
        text = (
            f"the invoice is {new} in Stripe and {state.status} here, and neither can change: find out what happened"
            " to it"
        )
        reason = f"the invoice is {state.status} here, which is final"
        return EventOutcome(CONFLICT, reason, code="disagreement", operator_text=_operator_text(text, event))
    if new == "void" and state.is_own_request:
        return EventOutcome(SUPERSEDED, "we voided it ourselves, to send it again")
    reason = f"the invoice is {new}"
    if new not in _ALERTS:
        return EventOutcome(APPLIED, reason, new)
    code, text = _ALERTS[new]
    return EventOutcome(APPLIED, reason, new, code, operator_text=_operator_text(text, event))


_ALERTS: Mapping[str, tuple[str, str]] = {
    "void": (
        "voided_by_hand",
        "the customer owes nothing on it any more. A fee that it charged in advance is on the invoice of its own month."
        " If voiding it was a mistake, `fly-billing rebill ORG MONTH --reissue` issues it again",
    ),
    "uncollectible": (
        "uncollectible",
        "it no longer counts as owed: if that was a mistake, collect it in Stripe's dashboard, and it becomes paid",
    ),
}


def _operator_text(text: str, event: StripeEvent) -> str:
    said = f" Stripe said: {event.error}" if event.error else ""
    code = f"{event.error_code}, " if event.error_code else ""
    return f"{text}.{said} ({code}{event.link})"
