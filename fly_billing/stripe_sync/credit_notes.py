"""Makes credit notes at Stripe, exactly once: recorded, approved, journaled, sent, and recorded as Stripe made them.

A request is a row before it is sent, with the split between its unpaid part and the part that goes back, so that a
resend under the same idempotency key has the same parameters. An unknown outcome is settled by that resend while Stripe
remembers the key, and after that by reading the invoice's credit notes. Not here: the limits, and the parameters
(`stripe_sync.rules.credit_requests`); credit notes of corrections (`corrections.credit_notes`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection

from fly_billing.errors import ActionableError
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceTax
from fly_billing.money import counted, format_cents, from_cents
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, records, rows
from fly_billing.postgres.isolation import VALUE_ERRORS, reason_of
from fly_billing.stripe_sync.client import APPLIED
from fly_billing.stripe_sync.client import UNKNOWN as UNKNOWN_OUTCOME
from fly_billing.stripe_sync.invoice_sync import NEW_STARTS, SyncTools
from fly_billing.stripe_sync.journal import InvoiceAttempts
from fly_billing.stripe_sync.money_inbox import FoundMoney, record_money
from fly_billing.stripe_sync.reader import ReadingFailed, StripeReader
from fly_billing.stripe_sync.rules.credit_requests import (
    FAILED,
    ISSUED,
    PENDING,
    UNKNOWN,
    WAITING,
    WITHDRAWN,
    CreditRequest,
    credit_note_request,
    credit_request_id,
    is_as_requested,
    is_of,
    needs_approval,
    unpaid_part,
    why_not_creditable,
)
from fly_billing.stripe_sync.rules.idempotency_keys import idempotency_key, is_safe_to_send
from fly_billing.stripe_sync.rules.invoice_amounts import AskedAmounts, read_asked_amounts
from fly_billing.stripe_sync.rules.money_objects import CREDIT_NOTE, read_money_object
from fly_billing.stripe_sync.rules.note_taxes import are_left, taxes_of_correction, taxes_of_note

Body = Mapping[str, Any]
TAX_TAKEN = "credit notes at Stripe took back so much of the invoice's tax that the tax of this correction is not left"
ON_NEXT_INVOICE = "Leave out --credit-note; the next open invoice then gives the correction back with its own taxes"


class CreditRefused(ActionableError):
    """The credit note can't be made; nothing was written or sent."""


@dataclass(frozen=True)
class CreditPlan:
    """The effect that a credit note would have.

    Attributes:
        credit: As it would be recorded.
        asked: What Stripe asks for with the invoice now.
        unpaid_cents: The part that lowers what the invoice asks for. The rest of the amount goes back.
        needs_approval: Someone else must approve it before it is sent.
        corrected_cents: What credit notes of corrections took off the invoice; the next invoices use that.
    """

    credit: CreditRequest
    asked: AskedAmounts
    unpaid_cents: int
    needs_approval: bool
    corrected_cents: int


@dataclass(frozen=True)
class _Billed:
    """The invoice that a credit note is for."""

    invoice_id: UUID
    organization_id: str
    currency: str
    stripe_invoice_id: str | None
    noted_cents: int
    requested_cents: int


@dataclass(frozen=True)
class _Returned:
    """The amount that a correction gives back, before tax, and the month that it corrects."""

    month: date
    amount_cents: int


def plan_credit(
    tools: SyncTools,
    organization_id: str,
    month: BillingMonth,
    amount_cents: Callable[[str, AskedAmounts], int],
    pays_back: str,
    *,
    why: str,
    made_by: str,
    limit_cents: Callable[[str], int],
    corrected: Sequence[InvoiceTax] | None = None,
) -> CreditPlan:
    """Read the invoice at Stripe and check the credit note. Writes nothing.

    Args:
        amount_cents: The amount for a currency and what Stripe asks for.
        limit_cents: The largest amount in a currency that needs no approval.
        corrected: For a correction: the tax of each rate on it. None: the invoice's taxes in proportion.

    Raises:
        CreditRefused: There is no such invoice, or the amount or the taxes can't be credited.
        ReadingFailed: Stripe does not answer.
    """
    if not why.strip():
        raise CreditRefused("a credit note needs a reason: --why REASON")
    found = tools.journal.database.records(
        _Billed, "invoice_to_credit", organization_id=organization_id, month=month.first_day
    )
    if not found:
        raise CreditRefused(f"{organization_id} has no final invoice for {month} that could be credited")
    billed = found[0]
    invoice = tools.reader().invoice(billed.stripe_invoice_id) if billed.stripe_invoice_id else None
    asked = None if invoice is None else read_asked_amounts(invoice)
    amount = amount_cents(billed.currency, asked) if asked else 0
    id = credit_request_id(billed.invoice_id, amount, pays_back, why)
    known = _find(tools.journal.database, id)
    if known and known.state == WITHDRAWN:
        raise CreditRefused(f"the same credit note was withdrawn ({known.id}): give another reason to ask for it again")
    if known is None:
        at_stripe = (asked.unpaid_credited_cents + asked.paid_credited_cents) if asked else 0
        credited = at_stripe + billed.noted_cents + billed.requested_cents
        returned = _returned_without_note(tools.journal.database, billed.invoice_id)
        if problem := why_not_creditable(asked, amount, pays_back, credited, returned):
            raise CreditRefused(f"{organization_id} {month}: {problem}")
    assert invoice is not None and asked is not None, "refused above"
    taxes = None if corrected is None else _taxes_of_correction(tools, billed, invoice, corrected, amount)
    approval = needs_approval(amount, limit_cents(billed.currency))
    credit = known or CreditRequest(
        id, billed.invoice_id, billed.organization_id, asked.stripe_invoice_id, billed.currency, amount, pays_back,
        why.strip(), made_by, WAITING if approval else PENDING, taxes=taxes, is_correction=taxes is not None,
    )  # fmt: skip
    return CreditPlan(credit, asked, unpaid_part(asked, amount), approval and known is None, billed.noted_cents)


def _taxes_of_correction(
    tools: SyncTools, billed: _Billed, invoice: Body, corrected: Sequence[InvoiceTax], amount_cents: int
) -> list[Mapping[str, Any]]:
    taxes = taxes_of_correction(invoice, tools.journal.taxes_of(billed.invoice_id), corrected, amount_cents)
    if taxes is None:
        raise CreditRefused(
            "a credit note of this invoice can't have the correction's taxes at Stripe: it has other rates than the"
            " invoice, some of its taxes go up, or Stripe has the invoice's taxes as plain lines."
            f" {ON_NEXT_INVOICE}"
        )
    if taxes and not are_left(taxes, invoice, tools.reader().credit_notes_of(str(invoice["id"]))):
        raise CreditRefused(f"{TAX_TAKEN}. {ON_NEXT_INVOICE}")
    return [tax.as_data() for tax in taxes]


def request_credit(database: BillingDatabase, plan: CreditPlan, now: datetime) -> CreditRequest:
    """Record the request, once: the same credit for the same reason is the request that was recorded before."""
    if plan.credit.state in (WAITING, PENDING):
        with database.transaction() as connection:
            _record(connection, plan.credit, now)
    return known_credit(database, plan.credit.id)


def request_correction(connection: Connection, plan: CreditPlan, now: datetime) -> UUID:
    """Record the request that gives a correction back, in the transaction that books the correction.

    Raises CreditRefused if the same credit was asked for before, for another correction or as goodwill.
    """
    if plan.credit.state not in (WAITING, PENDING) or not _record(connection, plan.credit, now):
        raise CreditRefused("the same amount was credited for the same reason before: give another one (--why REASON)")
    return plan.credit.id


def _record(connection: Connection, credit: CreditRequest, now: datetime) -> bool:
    """Record the request. Returns False if the same one is recorded."""
    added = rows(
        connection, "add_credit_request", id=credit.id, invoice_id=credit.invoice_id, amount_cents=credit.amount_cents,
        pays_back=credit.pays_back, why=credit.why, made_by=credit.made_by, now=now, state=credit.state,
        taxes=None if credit.taxes is None else json.dumps(credit.taxes),
    )  # fmt: skip
    return bool(added)


def approve_credit(database: BillingDatabase, id: UUID, by: str, now: datetime) -> CreditRequest:
    """Approve a credit note that waits, as someone else than who asked for it.

    Raises CreditRefused if no such request waits, or the same person asked for it.
    """
    credit = _find(database, id)
    if credit is None:
        raise CreditRefused(f"no credit note {id} was requested")
    if not by.strip():
        raise CreditRefused("an approval needs a name: --by NAME")
    if credit.state == WAITING and by.strip() == credit.made_by:
        raise CreditRefused(f"{by.strip()} asked for this credit note: someone else must approve it")
    database.rows("approve_credit_request", id=id, by=by.strip(), now=now)
    return known_credit(database, id)


def withdraw_credit(tools: SyncTools, id: UUID, by: str, why: str) -> CreditRequest:
    """Withdraw a request that waits for an approval, or that Stripe refused. A correction becomes credit here instead.

    Raises:
        CreditRefused: It may be at Stripe, there is no such request, or a name or a reason is missing.
        ReadingFailed: Stripe does not answer whether it has the credit note.
    """
    database, credit = tools.journal.database, known_credit(tools.journal.database, id)
    if not (by.strip() and why.strip()):
        raise CreditRefused("withdrawing needs a name and a reason: --by NAME --why REASON")
    with database.session_lock(f"sync {credit.invoice_id}") as is_ours:
        credit = known_credit(database, id)
        if not is_ours or credit.state not in (WAITING, FAILED, WITHDRAWN):
            raise CreditRefused(
                f"it is {credit.state} and may be at Stripe: only one that waits or failed is withdrawn"
            )
        if credit.state == FAILED:
            _refuse_one_at_stripe(tools.reader(), credit)
        _withdraw(database, credit, by.strip(), why.strip(), tools.clock())
    return known_credit(database, id)


def _refuse_one_at_stripe(reader: StripeReader, credit: CreditRequest) -> None:
    for body in reader.credit_notes_of(credit.stripe_invoice_id):
        if is_of(credit, body) and body.get("status") != "void":
            raise CreditRefused(f"Stripe has its credit note {body['id']}: void it there first")


def _withdraw(database: BillingDatabase, credit: CreditRequest, by: str, why: str, now: datetime) -> None:
    """Record it, and give the credit of a correction here, in one transaction."""
    with database.transaction() as connection:
        if not rows(connection, "withdraw_credit_request", id=credit.id, by=by, why=why, now=now):
            return
        for returned in records(connection, _Returned, "correction_of_credit_request", id=credit.id):
            rows(
                connection, "add_credit_note",
                id=uuid4(), grant_id=uuid4(), invoice_id=credit.invoice_id, organization_id=credit.organization_id,
                amount=from_cents(returned.amount_cents, credit.currency), amount_cents=returned.amount_cents,
                currency=credit.currency, made_at=now, made_by=by, why=why,
                description=f"Credit note for {returned.month:%Y-%m}",
            )  # fmt: skip


def known_credit(database: BillingDatabase, id: UUID) -> CreditRequest:
    """Return a recorded request. Raises CreditRefused."""
    credit = _find(database, id)
    if credit is None:
        raise CreditRefused(f"no credit note {id} was requested")
    return credit


def _find(database: BillingDatabase, id: UUID) -> CreditRequest | None:
    return next(iter(database.records(CreditRequest, "credit_requests_of", ids=[id])), None)


def waiting_credits(database: BillingDatabase) -> list[CreditRequest]:
    """List the requests that wait for an approval, oldest first."""
    return database.records(CreditRequest, "unfinished_credit_requests", states=[WAITING])


def send_unfinished(tools: SyncTools) -> list[CreditRequest]:
    """Send every request that was not sent, or whose outcome is unknown; return them as they are afterwards.

    A request that Stripe refused is not sent again: whoever asked for it must see why. One failure stops no other.
    """
    unfinished = tools.journal.database.records(CreditRequest, "unfinished_credit_requests", states=[PENDING, UNKNOWN])
    return [send_credit(tools, credit.id) for credit in unfinished]


def send_unfinished_of(tools: SyncTools, invoice_id: UUID) -> list[CreditRequest]:
    """Do as `send_unfinished` for one invoice: a command that was killed continues when it is given again."""
    unfinished = tools.journal.database.records(CreditRequest, "unfinished_credit_requests", states=[PENDING, UNKNOWN])
    return [send_credit(tools, credit.id) for credit in unfinished if credit.invoice_id == invoice_id]


def send_credit(tools: SyncTools, id: UUID) -> CreditRequest:
    """Bring a credit note to Stripe as far as possible; return it as it is then.

    It may be called again at any time, in any process. One process at a time works on the requests of an invoice.
    """
    database = tools.journal.database
    with database.session_lock(f"sync {known_credit(database, id).invoice_id}") as is_ours:
        if is_ours:
            _CreditSync(tools, known_credit(database, id)).run()
    return known_credit(database, id)


class _CreditSync:
    """Sends one request. All its state is in its row and the journal, so another process can continue at any time."""

    def __init__(self, tools: SyncTools, credit: CreditRequest) -> None:
        self._tools = tools
        self._database = tools.journal.database
        self._reader = tools.reader()
        self._credit = credit

    def run(self) -> None:
        if self._credit.state in (WAITING, ISSUED, WITHDRAWN):
            return
        try:
            for _ in range(NEW_STARTS):
                if self._try():
                    return
            self._fail("Stripe refused the credit note each time that it was planned again")
        except ReadingFailed as failed:
            self._move(UNKNOWN if self._was_sent() else PENDING, failure=str(failed))
        except VALUE_ERRORS as problem:  # a response that is none of Stripe's
            self._move(UNKNOWN if self._was_sent() else FAILED, failure=reason_of(problem))

    def _try(self) -> bool:
        """Send under the present generation. Returns False if the request must be planned again."""
        if self._credit.unpaid_cents is None and not self._plan():
            return True
        request = credit_note_request(self._credit)
        key = idempotency_key(request, str(self._credit.id), self._credit.generation)
        if not is_safe_to_send(request, self._tools.journal.attempts(key), self._tools.clock()):
            return self._settle_by_reading()
        log = InvoiceAttempts(self._tools.journal, self._tools.clock, self._credit.invoice_id, self._credit.generation)
        service = self._tools.client.v1.credit_notes
        answers = self._tools.sender().send(
            request,
            key,
            lambda key: service.create(dict(request.params), {"idempotency_key": key}),  # type: ignore[arg-type]
            log,
        )
        last = answers[-1]
        if last.outcome == APPLIED:
            # A replay shows the credit note as it was made; somebody may have voided it since.
            now = self._reader.money_object(CREDIT_NOTE, last.body["id"]) if last.was_replayed else None
            return self._finish(now or last.body)
        if last.was_replayed or last.code == "idempotency_error":
            return self._settle_by_reading()  # a stored error does not say what was applied
        if any(answer.outcome == UNKNOWN_OUTCOME for answer in answers):
            self._move(UNKNOWN, failure=f"{last.code}: {last.message}")
            return True
        return self._refused(f"{last.code}: {last.message}")

    def _plan(self) -> bool:
        """Record how the amount splits before it is sent. Returns False if the invoice can't be credited any more."""
        credit = self._credit
        invoice = self._reader.invoice(credit.stripe_invoice_id)
        asked = read_asked_amounts(invoice) if invoice else None
        credited = (asked.unpaid_credited_cents + asked.paid_credited_cents) if asked else 0
        returned = _returned_without_note(self._database, credit.invoice_id)
        problem = why_not_creditable(asked, credit.amount_cents, credit.pays_back, credited, returned)
        if invoice is None or asked is None or problem:
            self._fail(problem or "")
            return False
        notes = self._reader.credit_notes_of(credit.stripe_invoice_id) if credited else []
        if credit.is_correction and not are_left(credit.note_taxes, invoice, notes):
            self._fail(TAX_TAKEN)
            return False
        taxes = (
            credit.taxes
            if credit.is_correction
            else [tax.as_data() for tax in taxes_of_note(invoice, notes, credit.amount_cents)]
        )
        self._move(PENDING, unpaid_cents=unpaid_part(asked, credit.amount_cents), taxes=taxes)
        return True

    def _settle_by_reading(self) -> bool:
        """Read the invoice's credit notes. If ours is not there, it is planned again under the next keys."""
        ours = [
            body for body in self._reader.credit_notes_of(self._credit.stripe_invoice_id) if is_of(self._credit, body)
        ]
        if len(ours) > 1:
            ids = ", ".join(body["id"] for body in ours)
            self._fail(f"Stripe has {counted(len(ours), 'credit note')} of this request: {ids}")
            return True
        if ours:
            return self._finish(ours[0])
        self._start_over()
        return False

    def _refused(self, why: str) -> bool:
        """Handle a request that changed nothing: plan it again if the invoice was paid or credited meanwhile."""
        asked = _asked(self._reader, self._credit.stripe_invoice_id)
        if asked is not None and unpaid_part(asked, self._credit.amount_cents) != self._credit.unpaid_cents:
            self._start_over()
            return False
        self._fail(why)
        return True

    def _start_over(self) -> None:
        taxes = self._credit.taxes if self._credit.is_correction else None
        self._credit = replace(self._credit, unpaid_cents=None, taxes=taxes)
        self._move(PENDING, generation=self._credit.generation + 1)

    def _finish(self, body: Body) -> bool:
        """Record the credit note and what it did to the invoice, in one transaction."""
        if not is_as_requested(self._credit, body):
            self._fail(f"Stripe's credit note {body['id']} has another invoice, amount, currency or tax: void it there")
            return True
        asked = self._asked_now()
        money = read_money_object(body)
        now = self._tools.clock()
        with self._database.transaction() as connection:
            rows(connection, "issue_credit_request", id=self._credit.id, stripe_credit_note_id=body["id"], now=now)
            record_money(connection, FoundMoney([money], [asked] if asked else []), "sync", now)
        return True

    def _asked_now(self) -> AskedAmounts | None:
        """Read what the invoice asks for now. If Stripe does not answer, an event or the nightly sweep brings it."""
        try:
            return _asked(self._reader, self._credit.stripe_invoice_id)
        except ReadingFailed:
            return None

    def _was_sent(self) -> bool:
        if self._credit.unpaid_cents is None:
            return False
        request = credit_note_request(self._credit)
        key = idempotency_key(request, str(self._credit.id), self._credit.generation)
        return any(attempt.outcome != "not_applied" for attempt in self._tools.journal.attempts(key))

    def _fail(self, why: str) -> None:
        self._move(FAILED, failure=why)

    def _move(self, state: str, *, failure: str | None = None, **planned: Any) -> None:
        self._credit = replace(self._credit, state=state, failure=failure, **planned)
        self._database.rows(
            "move_credit_request", id=self._credit.id, state=state, generation=self._credit.generation,
            unpaid_cents=self._credit.unpaid_cents, failure=failure, now=self._tools.clock(),
            taxes=None if self._credit.taxes is None else json.dumps(self._credit.taxes),
        )  # fmt: skip


def _returned_without_note(database: BillingDatabase, invoice_id: UUID) -> int:
    (cents,) = database.values("returned_without_credit_note", invoice_id=invoice_id)
    return int(cents)


def _asked(reader: StripeReader, stripe_invoice_id: str | None) -> AskedAmounts | None:
    body = reader.invoice(stripe_invoice_id) if stripe_invoice_id else None
    return None if body is None else read_asked_amounts(body)


def everything_paid(asked: AskedAmounts) -> int:
    """Return the part of an invoice that was paid by card and is not credited yet."""
    return max(0, asked.paid_cents - (asked.out_of_band_cents or 0) - asked.paid_credited_cents)


def effect_of(plan: CreditPlan) -> str:
    """Describe in a sentence what the credit note does."""
    credit, currency = plan.credit, plan.credit.currency
    back = credit.amount_cents - plan.unpaid_cents
    parts = []
    if plan.unpaid_cents:
        asks = format_cents(plan.asked.remaining_cents - plan.unpaid_cents, currency)
        parts.append(
            f"the open invoice asks for {asks} instead of {format_cents(plan.asked.remaining_cents, currency)}"
        )
    if back:
        where = {
            "refund": "go back to the customer's card",
            "balance": "become credit for the next invoice",
            "out_of_band": "must be paid back outside Stripe",
        }
        parts.append(f"{format_cents(back, currency)} {where[credit.pays_back]}")
    return "; ".join(parts)
