"""Records each Stripe event once, from a webhook or by polling, in one transaction with the change that it causes.

Not here: the meaning of an event (`stripe_sync.rules.events`), HTTP (`webhooks`), alerts (`alerting`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.errors import ActionableError
from fly_billing.money import counted
from fly_billing.postgres.database import BillingDatabase, records, rows
from fly_billing.postgres.isolation import is_row_error, reason_of
from fly_billing.stripe_sync.money_inbox import FoundMoney, money_of_event, record_asked, record_money
from fly_billing.stripe_sync.reader import ReadingFailed, StripeReader
from fly_billing.stripe_sync.rules.events import (
    ACTED_ON,
    INVOICE_EVENTS,
    PAYMENT_FAILED,
    WAITING,
    EventOutcome,
    StripeEvent,
    SyncState,
    judge,
    of_money,
    read_event,
    unreadable_invoice,
)
from fly_billing.stripe_sync.rules.invoice_amounts import AskedAmounts, read_asked_amounts
from fly_billing.stripe_sync.rules.money_objects import MONEY_EVENTS, UnreadableMoney
from fly_billing.stripe_sync.rules.payment_failures import PaymentError

DUPLICATE = "duplicate"
LEFT_TO_POLL = "left to the poll"
# Stripe keeps events for 30 days.
KEPT = timedelta(days=30)
# Read again by the next poll: events may appear late in Stripe's list, and clocks differ.
OVERLAP = timedelta(minutes=10)
SECOND = timedelta(seconds=1)
# Events that an error names.
MOST_NAMED = 3

# Judges an event, given the state of our invoice.
Judge = Callable[[StripeEvent, SyncState | None], EventOutcome]


def record_event(
    database: BillingDatabase, event: StripeEvent, source: str, now: datetime, asked: AskedAmounts | None = None
) -> str:
    """Record an event and apply it, in one transaction; return its outcome.

    The outcome is `duplicate` if the event was recorded before. Events of one invoice are applied one after the other.
    If the database refuses the change to our invoice, the event waits, an alert reports it, and
    `settle_waiting_events` tries again.

    Args:
        asked: What Stripe asked for with the event's invoice when it made the event.
    """
    try:
        return _record(database, event, source, now, judge, asked)
    except Exception as problem:
        if not is_row_error(problem):
            raise
        refused = unreadable_invoice(event, reason_of(problem))
        return _record(database, event, source, now, lambda event, state: refused)


def _record(
    database: BillingDatabase,
    event: StripeEvent,
    source: str,
    now: datetime,
    judge_event: Judge,
    asked: AskedAmounts | None = None,
) -> str:
    with database.transaction() as connection:
        invoice = _find_invoice(connection, event)
        if rows(connection, "recorded_stripe_events", ids=[event.id]):
            return DUPLICATE
        outcome = judge_event(event, invoice.state if invoice else None)
        invoice_id = invoice.id if invoice else None
        if not _insert(connection, event, outcome, invoice_id, source, now):
            return DUPLICATE
        if asked is not None:  # before the status: what follows from it may read the amounts
            record_asked(connection, asked, source, event.created)
        _change_status(connection, event, outcome, invoice_id)
    return outcome.outcome


def _insert(
    connection: Connection,
    event: StripeEvent,
    outcome: EventOutcome,
    invoice_id: UUID | None,
    source: str,
    now: datetime,
) -> bool:
    """Insert the event with its outcome. Returns False if it was recorded before."""
    columns = {**asdict(event), "invoice_id": invoice_id, **_columns(outcome), "source": source, "now": now}
    return bool(rows(connection, "record_stripe_event", **columns))


def settle_waiting_events(database: BillingDatabase) -> int:
    """Apply events that arrived before our sync finished, or whose change was refused; return the number applied."""
    return sum(_settle(database, waiting) for waiting in database.records(_waiting_event, "waiting_stripe_events"))


@dataclass(frozen=True)
class _WaitingEvent:
    """A recorded event that is not applied yet; `was_refused`: the database refused its change before."""

    event: StripeEvent
    was_refused: bool


def _waiting_event(was_refused: bool, **columns: Any) -> _WaitingEvent:
    return _WaitingEvent(StripeEvent(**columns), was_refused)


def _settle(database: BillingDatabase, waiting: _WaitingEvent) -> bool:
    """Apply one event. If its invoice's row is bad, the event keeps waiting with the reason; the others are applied."""
    try:
        return _settle_as(database, waiting.event, judge)
    except Exception as problem:
        if not is_row_error(problem):
            raise
        if not waiting.was_refused:
            refused = unreadable_invoice(waiting.event, reason_of(problem))
            _settle_as(database, waiting.event, lambda event, state: refused)
        return False


def _settle_as(database: BillingDatabase, event: StripeEvent, judge_event: Judge) -> bool:
    with database.transaction() as connection:
        invoice = _find_invoice(connection, event)
        outcome = judge_event(event, invoice.state if invoice else None)
        if (outcome.outcome == WAITING and outcome.code is None) or not rows(
            connection, "settle_stripe_event", id=event.id, **_columns(outcome)
        ):
            return False
        _change_status(connection, event, outcome, event.invoice_id)
    return True


@dataclass(frozen=True)
class _EventInvoice:
    """Our invoice that an event is about, locked until the transaction ends."""

    id: UUID
    state: SyncState


def _event_invoice(id: UUID, **columns: Any) -> _EventInvoice:
    return _EventInvoice(id, SyncState(**columns))


def _find_invoice(connection: Connection, event: StripeEvent) -> _EventInvoice | None:
    if event.type not in INVOICE_EVENTS:
        return None
    invoices = records(
        connection, _event_invoice, "invoice_of_stripe_event",
        object_id=event.object_id, invoice_id=event.invoice_id, idempotency_key=event.idempotency_key,
    )  # fmt: skip
    return invoices[0] if invoices else None


def _columns(outcome: EventOutcome) -> dict[str, str | None]:
    names = ("outcome", "reason", "code", "customer_text", "operator_text")
    return {name: getattr(outcome, name) for name in names}


def _change_status(connection: Connection, event: StripeEvent, outcome: EventOutcome, invoice_id: UUID | None) -> None:
    if outcome.status:
        paid_at = event.paid_at or event.created
        rows(connection, "set_audit_context", who="Stripe", why=f"{event.type} {event.id}")
        rows(connection, "set_time_at_stripe", happened_at=event.created.isoformat())
        rows(connection, "set_invoice_status", invoice_id=invoice_id, status=outcome.status, paid_at=paid_at)


def receive(
    database: BillingDatabase, body: Mapping[str, Any], source: str, now: datetime, reader: StripeReader | None
) -> str:
    """Record an event as Stripe sent it; return its outcome.

    Args:
        source: `webhook` or `polling`.
        reader: Reads the error of a failed payment, which Stripe's events do not contain, and the objects of
            `MONEY_EVENTS`. None, without an API key: alerts lack the error, and these objects are left to the poll.

    Raises:
        NotAnEvent: The text is not an event.
        ReadingFailed: Stripe does not answer. Nothing is recorded, so Stripe or the next poll brings the event again.
    """
    event = read_event(body)
    asked = _asked_in(body) if event.type in INVOICE_EVENTS else None
    if reader is None:
        return LEFT_TO_POLL if event.type in MONEY_EVENTS else record_event(database, event, source, now, asked)
    if database.rows("recorded_stripe_events", ids=[event.id]):
        return DUPLICATE
    if event.type in MONEY_EVENTS:
        return _record_money_event(database, event, money_of_event(reader, body), source, now)
    if event.type == PAYMENT_FAILED:
        error = payment_error(reader, event.object_id) or PaymentError(None, None)
        event = replace(event, error=error.message, error_code=error.code)
    return record_event(database, event, source, now, asked)


def _asked_in(body: Mapping[str, Any]) -> AskedAmounts | None:
    """Return the amounts of an event's invoice. If they can't be read, the nightly comparison reads and names them."""
    try:
        return read_asked_amounts(body["data"]["object"])
    except UnreadableMoney:
        return None


def _record_money_event(
    database: BillingDatabase, event: StripeEvent, found: FoundMoney, source: str, now: datetime
) -> str:
    """Record an event and the objects that it made us read, in one transaction; return its outcome."""
    with database.transaction() as connection:
        outcome = of_money(record_money(connection, found, source, now))
        return outcome.outcome if _insert(connection, event, outcome, None, source, now) else DUPLICATE


def payment_error(reader: StripeReader, stripe_invoice_id: str) -> PaymentError | None:
    """Read the error of the last payment of an invoice; None if there is none or Stripe can't be read.

    Since API version basil the error is on the payment, not on the invoice.
    """
    try:
        payment = reader.last_payment(stripe_invoice_id)
    except ReadingFailed:
        return None
    if payment is None:
        return None
    intent = payment["payment"].get("payment_intent") or {}
    error = (intent.get("last_payment_error") or {}) if isinstance(intent, Mapping) else {}
    return PaymentError(error.get("message") or None, error.get("decline_code") or error.get("code"))


# Polling -----------------------------------------------------------------------------------------------------------


class EventsRefused(ActionableError):
    """Some Stripe events can't be recorded. All others are recorded, and the next poll reads these again."""


@dataclass
class PollReport:
    """The outcome of a poll.

    Attributes:
        until: All events before this time were read.
        is_done: All events until now were read.
        outcomes: Number of events by outcome.
        refused: A sentence for each event that can't be recorded.
    """

    until: datetime
    is_done: bool = False
    outcomes: dict[str, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    @property
    def new(self) -> int:
        return sum(count for outcome, count in self.outcomes.items() if outcome != DUPLICATE)


def poll_events(
    database: BillingDatabase,
    reader: StripeReader,
    since: datetime,
    now: datetime,
    *,
    seconds: float = 40.0,
) -> PollReport:
    """Read the events that Stripe created since the last poll (the first time: since `since`), oldest first.

    Progress is recorded after each time window, so a poll that is killed or stops after `seconds` continues next time.
    The last ten minutes are always read again. Less than a page of events takes one read.

    Raises:
        ReadingFailed: Stripe does not answer.
        EventsRefused: An event can't be recorded. All others are, and the next poll starts before it.
    """
    begin = start = next(iter(database.values("stripe_poll_position")), since)
    begun = time.monotonic()

    def clock() -> datetime:
        return now + timedelta(seconds=time.monotonic() - begun)

    polled, width, deadline = PollReport(begin), now - begin + SECOND, begun + seconds
    while not polled.is_done and (begin == start or time.monotonic() < deadline):
        end = begin + width if begin + width < now else None
        bodies = _window(reader, begin, end, may_page=width <= SECOND)
        if bodies is None:
            width = max(width / 8, SECOND)
            continue
        newest = _record_new(database, reader, bodies, clock, polled)
        polled.until = end or max(now, newest)
        if not polled.refused:
            database.rows("advance_stripe_poll_position", until=min(polled.until, now - OVERLAP))
        polled.is_done, begin, width = end is None, polled.until, width * 2
    if polled.refused:
        raise EventsRefused(
            f"{counted(len(polled.refused), 'Stripe event')} can't be recorded; the next poll tries again:"
            f" {'; '.join(polled.refused[:MOST_NAMED])}"
        )
    return polled


def _window(
    reader: StripeReader, begin: datetime, end: datetime | None, *, may_page: bool
) -> list[Mapping[str, Any]] | None:
    """Return the events of `[begin, end)`, oldest first; None if there is more than one page and not `may_page`."""
    created = {"gte": int(begin.timestamp()), **({"lt": int(end.timestamp())} if end else {})}
    bodies: list[Mapping[str, Any]] = []
    for page in reader.event_pages(created, ACTED_ON):
        bodies += page["data"]
        if page["has_more"] and not may_page:
            return None
    return bodies[::-1]


def _record_new(
    database: BillingDatabase,
    reader: StripeReader,
    bodies: list[Mapping[str, Any]],
    clock: Callable[[], datetime],
    polled: PollReport,
) -> datetime:
    """Record the new events among these; return the time of the newest event, or the beginning of time.

    Args:
        clock: Each object is recorded with the time just before it is read, not the beginning of the poll: a webhook
            may have recorded an older state meanwhile.
    """
    known = set(database.values("recorded_stripe_events", ids=[body["id"] for body in bodies]))
    newest = datetime.min.replace(tzinfo=UTC)
    for body in bodies:
        try:
            newest = max(newest, read_event(body).created)
            is_new = body["id"] not in known
            outcome = receive(database, body, "polling", clock(), reader) if is_new else DUPLICATE
        except Exception as problem:
            if not is_row_error(problem):
                raise
            polled.refused.append(f"{body['id']}: {reason_of(problem)}")
            continue
        polled.outcomes[outcome] = polled.outcomes.get(outcome, 0) + 1
    return newest
