"""The Stripe journal in Postgres: each request is recorded before it is sent, and each invoice has a state.

Not here: deciding the next step (`invoice_sync`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol, TypeVar
from uuid import UUID

from fly_billing.invoicing.rules.invoice_numbers import invoice_number
from fly_billing.invoicing.rules.service_periods import service_periods
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, records, rows
from fly_billing.postgres.isolation import VALUE_ERRORS
from fly_billing.stripe_sync.client import StripeResponse
from fly_billing.stripe_sync.money_inbox import record_asked
from fly_billing.stripe_sync.rules.customer_details import InvoiceDetails
from fly_billing.stripe_sync.rules.idempotency_keys import Attempt, request_hash
from fly_billing.stripe_sync.rules.invoice_amounts import AskedAmounts
from fly_billing.stripe_sync.rules.line_taxes import BilledTax, LineTax, taxes_by_position
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
            items = _grouped(records(connection, _ItemRow, "items_of_invoices", ids=list(ids)))
            taxes = _grouped(records(connection, _TaxRow, "taxes_of_invoices", ids=list(ids)))
        return [_invoice(invoice, items.get(invoice.id, ()), taxes.get(invoice.id, ())) for invoice in invoices]

    def taxes_of(self, invoice: UUID) -> list[LineTax]:
        """Return the tax of each rate on an invoice that was billed."""
        with self.database.transaction() as connection:
            return [_tax(tax).tax for tax in records(connection, _TaxRow, "taxes_of_invoices", ids=[invoice])]

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

    def sent_details(self, organization_id: str) -> Mapping[str, Any]:
        """Return the details that Stripe's customer has of us."""
        found = self.database.values("sent_details", organization_id=organization_id)
        return found[0] if found else {}

    def set_sent_details(self, organization_id: str, sent: Mapping[str, Any], now: datetime) -> None:
        self.database.rows("set_sent_details", organization_id=organization_id, sent=json.dumps(sent), now=now)

    def correct_refused_details(self, ids: Sequence[UUID]) -> None:
        """Take corrected billing details into those of these invoices that Stripe refused because of them."""
        self.database.rows("correct_refused_details", ids=list(ids))

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
                hosted_invoice_url=facts.get("hosted_invoice_url"), invoice_pdf_url=facts.get("invoice_pdf_url"),
                stripe_number=facts.get("number"), stripe_due_on=facts.get("due_on"),
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
    """A finalized invoice; currency and total are None in a damaged row. `customer` is a row of invoice_details."""

    id: UUID
    organization_id: str
    organization_name: str
    month: date
    revision: int
    currency: str | None
    total_cents: int | None
    number: int | None
    due_on: date | None
    finalized_on: date | None
    customer: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class _ItemRow:
    """An item of a finalized invoice; `amount_cents` is None in a damaged row."""

    id: UUID
    invoice_id: UUID
    position: int
    kind: str
    product: str
    description: str
    quantity: Decimal
    unit: str
    amount: Decimal
    amount_cents: int | None
    detail: Mapping[str, Any]
    period_start: datetime | None
    period_end: datetime | None
    interval_start: datetime | None
    interval_end: datetime | None
    one_off_item_id: UUID | None
    occurred_at: datetime | None
    credit_ids: Sequence[UUID] | None


@dataclass(frozen=True, slots=True)
class _TaxRow:
    """The tax of one rate on a finalized invoice."""

    invoice_id: UUID
    name: str
    percent: Decimal
    is_inclusive: bool
    category: str
    legal_text: str | None
    taxable_cents: int
    tax_cents: int
    shares: Sequence[Sequence[int]] | None


class _OfInvoice(Protocol):
    @property
    def invoice_id(self) -> UUID: ...


Row = TypeVar("Row", bound=_OfInvoice)


def _grouped(rows: Iterable[Row]) -> Mapping[UUID, Sequence[Row]]:
    grouped: dict[UUID, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row.invoice_id].append(row)
    return grouped


def _invoice(row: _InvoiceRow, items: Sequence[_ItemRow], taxes: Sequence[_TaxRow]) -> FinalizedInvoice:
    lines, is_unreadable = _lines(items)
    invoice = FinalizedInvoice(
        id=row.id,
        organization_id=row.organization_id,
        organization_name=row.organization_name,
        month=BillingMonth(row.month.year, row.month.month),
        revision=row.revision,
        currency=row.currency or "XXX",
        total_cents=sum(line.amount_cents for line in lines.values()) if row.total_cents is None else row.total_cents,
        lines=tuple(lines.values()),
        is_unreadable=is_unreadable or row.total_cents is None or row.currency is None,
    )
    if row.customer is None or invoice.is_unreadable:
        return invoice
    try:
        return _with_details(invoice, row, items, taxes)
    except VALUE_ERRORS:
        return replace(invoice, is_unreadable=True)


def _lines(items: Sequence[_ItemRow]) -> tuple[dict[UUID, BilledLine], bool]:
    """Return the readable items as lines, and True if there are others."""
    lines: dict[UUID, BilledLine] = {}
    for item in items:
        with suppress(*VALUE_ERRORS):
            lines[item.id] = _line(item)
    return lines, len(lines) < len(items)


def _line(item: _ItemRow) -> BilledLine:
    if item.amount_cents is None:
        raise ValueError("an item without amount_cents")
    text = line_description(
        item.product, item.description, item.quantity, item.unit,
        item.detail.get("steps", []), item.detail.get("free_allowance_used"),
    )  # fmt: skip
    return BilledLine(str(item.id), text, item.amount_cents, item.kind == "tax")


def _with_details(
    invoice: FinalizedInvoice, row: _InvoiceRow, items: Sequence[_ItemRow], taxes: Sequence[_TaxRow]
) -> FinalizedInvoice:
    """Add what invoices say since their details are kept: times, taxes, number and customer."""
    assert row.customer is not None, "an invoice with details"
    by_position = taxes_by_position(
        [_tax(tax) for tax in taxes], sum(item.amount_cents or 0 for item in items if item.kind == "tax")
    )
    periods = service_periods(items, invoice.month)
    lines = [
        replace(line, period=periods[item.id], taxes=(by_position or {}).get(item.position, ()))
        for item, line in zip(items, invoice.lines, strict=True)
        if by_position is None or item.kind != "tax"
    ]
    return replace(
        invoice,
        lines=tuple(lines),
        number=None if row.number is None else invoice_number(row.organization_id, row.number),
        details=_details(row.customer, row.finalized_on, row.due_on),
        legal_texts=tuple(dict.fromkeys(tax.legal_text for tax in taxes if tax.legal_text)),
    )


def _tax(row: _TaxRow) -> BilledTax:
    tax = LineTax(row.name, row.percent, row.is_inclusive, row.category, row.taxable_cents, row.tax_cents)
    if row.shares is None:
        return BilledTax(tax, None)
    return BilledTax(tax, tuple((position, taxable, cents) for position, taxable, cents in row.shares))


def _details(kept: Mapping[str, Any], finalized_on: date | None, due_on: date | None) -> InvoiceDetails:
    fields = {name: value for name, value in kept.items() if name not in ("invoice_id", "net_days", "tax_ids")}
    days = (due_on - finalized_on).days if due_on and finalized_on else 0
    return InvoiceDetails(**fields, tax_ids=tuple(kept["tax_ids"]), net_days=max(0, days))
