"""The Stripe journal in Postgres: each request is recorded before it is sent, and each invoice has a state.

Not here: deciding the next step (`invoice_sync`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, records, rows
from fly_billing.postgres.isolation import VALUE_ERRORS
from fly_billing.stripe_sync.client import StripeResponse
from fly_billing.stripe_sync.money_inbox import record_asked
from fly_billing.stripe_sync.rules.idempotency_keys import Attempt, request_hash
from fly_billing.stripe_sync.rules.invoice_amounts import AskedAmounts
from fly_billing.stripe_sync.rules.requests import BilledLine, FinalizedInvoice, StripeRequest, line_description
from fly_billing.stripe_sync.rules.sync_failures import StripeFailure


@dataclass(frozen=True)
class JournalEntry:
    """The state of an invoice's sync.

    Attributes:
        generation: The generation of its idempotency keys.
        step: The step that failed, if one did.
        status: The status of the invoice in our database.
    """

    state: str
    generation: int
    stripe_invoice_id: str | None
    step: str | None = None
    status: str = "finalized"


@dataclass(frozen=True)
class StripeJournal:
    """Reads and writes the journal. Each method is one transaction."""

    database: BillingDatabase
    run_id: str = "manual"

    def invoices_to_sync(self, month: BillingMonth, groups: Sequence[str]) -> list[UUID]:
        """List finalized invoices that Stripe does not have yet. No other invoice is ever sent."""
        return self.database.values("invoices_to_sync", month=month.first_day, groups=list(groups))

    def finalized_invoices(self, ids: Sequence[UUID]) -> list[FinalizedInvoice]:
        """Read the finalized invoices among these, with their items.

        An invoice whose rows can't be read has `is_unreadable` set; the others are not affected.
        """
        with self.database.transaction() as connection:
            invoices = records(connection, _InvoiceRow, "finalized_invoices", ids=list(ids))
            items = records(connection, _ItemRow, "items_of_invoices", ids=list(ids))
        lines: dict[UUID, list[BilledLine]] = {invoice.id: [] for invoice in invoices}
        unreadable = {invoice.id for invoice in invoices if invoice.total_cents is None or invoice.currency is None}
        for item in items:
            if item.invoice_id in lines:
                try:
                    lines[item.invoice_id].append(_line(item))
                except VALUE_ERRORS:
                    unreadable.add(item.invoice_id)
        return [_invoice(invoice, tuple(lines[invoice.id]), invoice.id in unreadable) for invoice in invoices]

    def not_created(self, ids: Sequence[UUID]) -> list[UUID]:
        """List those of these invoices that have something to pay and that, by our journal, can't be in Stripe."""
        return self.database.values("invoices_not_created", ids=list(ids))

    def organizations_without_customer(self, ids: Sequence[UUID]) -> dict[str, datetime]:
        """Return the organizations of these invoices that have no customer in Stripe, with the time of creation."""
        organizations = self.database.records(_Organization, "organizations_without_customer", ids=list(ids))
        return {organization.id: organization.created_at for organization in organizations}

    def customer_of(self, organization_id: str) -> str | None:
        customer: str | None
        (customer,) = self.database.values("stripe_customer_of", organization_id=organization_id)
        return customer

    def set_customer(self, organization_id: str, customer: str) -> None:
        self.database.rows("set_stripe_customer", organization_id=organization_id, customer=customer)

    def open(self, invoice: UUID, now: datetime) -> JournalEntry:
        """Return the invoice's entry. A new entry is `pending`."""
        (entry,) = self.database.records(
            JournalEntry, "open_stripe_invoice", invoice_id=invoice, run_id=self.run_id, now=now
        )
        return entry

    def attempts(self, key: str) -> list[Attempt]:
        """List what was sent under this idempotency key, oldest first."""
        return self.database.records(Attempt, "stripe_attempts_of_key", idempotency_key=key)

    def begin_attempt(self, invoice: UUID, request: StripeRequest, generation: int, key: str, now: datetime) -> int:
        """Record that a request for an invoice of ours is about to be sent; return the attempt's id."""
        attempt: int
        (attempt,) = self.database.values(
            "begin_stripe_attempt", invoice_id=invoice, step=request.step, generation=generation,
            idempotency_key=key, request_hash=request_hash(request), now=now,
        )  # fmt: skip
        return attempt

    def end_attempt(self, attempt: int, answer: StripeResponse, now: datetime) -> None:
        """Record the response to an attempt."""
        self.database.rows(
            "end_stripe_attempt", id=attempt, now=now, outcome=answer.outcome, http_status=answer.http_status,
            stripe_request_id=answer.request_id, error_code=answer.code, error_message=answer.message or None,
        )  # fmt: skip

    def begin_repair(self, claimed_invoice: str, request: StripeRequest, key: str, now: datetime) -> int:
        """Record that a Stripe invoice is about to be changed that names an invoice we don't have; return the id."""
        repair: int
        (repair,) = self.database.values(
            "begin_stripe_repair", stripe_invoice_id=request.params["invoice"], claimed_invoice_id=claimed_invoice,
            step=request.step, idempotency_key=key, request_hash=request_hash(request), run_id=self.run_id, now=now,
        )  # fmt: skip
        return repair

    def end_repair(self, repair: int, answer: StripeResponse, now: datetime) -> None:
        """Record the response to a repair."""
        self.database.rows(
            "end_stripe_repair", id=repair, now=now, outcome=answer.outcome, http_status=answer.http_status,
            stripe_request_id=answer.request_id, error_code=answer.code, error_message=answer.message or None,
        )  # fmt: skip

    def move(
        self,
        invoice: UUID,
        state: str,
        generation: int,
        now: datetime,
        *,
        stripe_invoice_id: str | None = None,
        asked: AskedAmounts | None = None,
        **facts: Any,
    ) -> None:
        """Set the invoice to a state that is not a failure, and record what Stripe asks for with it."""
        with self.database.transaction() as connection:
            rows(
                connection, "move_stripe_invoice", invoice_id=invoice, state=state, generation=generation, now=now,
                stripe_invoice_id=stripe_invoice_id, run_id=self.run_id,
                stripe_total_cents=facts.get("total"), stripe_due_cents=facts.get("due"),
                stripe_balance_cents=facts.get("balance"),
                hosted_invoice_url=facts.get("hosted_invoice_url"),
            )  # fmt: skip
            if asked is not None:
                record_asked(connection, asked, "sync", now)

    def fail(self, invoice: UUID, state: str, step: str, failure: StripeFailure, now: datetime) -> None:
        """Set the invoice to `unknown`, `failed` or `needs_attention`, with the texts for customer and operator."""
        self.database.rows(
            "fail_stripe_invoice", invoice_id=invoice, state=state, step=step, code=failure.code, now=now,
            customer_text=failure.customer_text, operator_text=failure.operator_text,
            retryable=failure.retryable, run_id=self.run_id,
        )  # fmt: skip


@dataclass(frozen=True)
class InvoiceAttempts:
    """Journals requests for one invoice of ours (table stripe_attempts)."""

    journal: StripeJournal
    clock: Callable[[], datetime]
    invoice: UUID
    generation: int

    def begin(self, request: StripeRequest, key: str) -> int:
        return self.journal.begin_attempt(self.invoice, request, self.generation, key, self.clock())

    def end(self, attempt: int, response: StripeResponse) -> None:
        self.journal.end_attempt(attempt, response, self.clock())


@dataclass(frozen=True)
class RepairAttempts:
    """Journals changes to a Stripe invoice that names an invoice we don't have (table stripe_repairs)."""

    journal: StripeJournal
    clock: Callable[[], datetime]
    claimed_invoice: str

    def begin(self, request: StripeRequest, key: str) -> int:
        return self.journal.begin_repair(self.claimed_invoice, request, key, self.clock())

    def end(self, attempt: int, response: StripeResponse) -> None:
        self.journal.end_repair(attempt, response, self.clock())


@dataclass(frozen=True)
class _Organization:
    """An organization without a customer in Stripe."""

    id: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class _InvoiceRow:
    """A finalized invoice; currency and total are None in a damaged row."""

    id: UUID
    organization_id: str
    organization_name: str
    month: date
    revision: int
    currency: str | None
    total_cents: int | None


@dataclass(frozen=True, slots=True)
class _ItemRow:
    """An item of a finalized invoice; `amount_cents` is None in a damaged row."""

    id: UUID
    invoice_id: UUID
    kind: str
    product: str
    description: str
    quantity: Decimal
    unit: str
    amount_cents: int | None
    detail: Mapping[str, Any]


def _line(item: _ItemRow) -> BilledLine:
    if item.amount_cents is None:
        raise ValueError("an item without amount_cents")
    text = line_description(
        item.product, item.description, item.quantity, item.unit,
        item.detail.get("steps", []), item.detail.get("free_allowance_used"),
    )  # fmt: skip
    return BilledLine(str(item.id), text, item.amount_cents, item.kind == "tax")


def _invoice(row: _InvoiceRow, lines: tuple[BilledLine, ...], is_unreadable: bool) -> FinalizedInvoice:
    return FinalizedInvoice(
        id=row.id,
        organization_id=row.organization_id,
        organization_name=row.organization_name,
        month=BillingMonth(row.month.year, row.month.month),
        revision=row.revision,
        currency=row.currency or "XXX",
        total_cents=sum(line.amount_cents for line in lines) if row.total_cents is None else row.total_cents,
        lines=lines,
        is_unreadable=is_unreadable,
    )
