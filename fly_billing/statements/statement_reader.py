"""Reads a customer's statement from Postgres: one SQL statement per part, however many items there are.

Stripe is never asked. A record that can't be read is left out and named; the rest of the statement is still shown.
Not here: how spend is broken down (`statements.rules.spend`), and the layout (`cli.statement`, `statements.page`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.bounds import problem_of, refuse_incomplete
from fly_billing.invoicing.rules.assembly import invoice_number
from fly_billing.invoicing.rules.line_text import term_working, working
from fly_billing.invoicing.rules.service_periods import ServicePeriod, service_periods
from fly_billing.money import plain
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, records, values
from fly_billing.postgres.isolation import VALUE_ERRORS, reason_of
from fly_billing.postgres.organizations import organization_name
from fly_billing.statements.rules.balance import LedgerSums, StripeAmounts
from fly_billing.statements.rules.spend import (
    MonthComparison,
    SpendItem,
    UsagePart,
    break_down,
    compare_products,
    total_by_product,
)
from fly_billing.statements.rules.statement import (
    STATUS,
    Completeness,
    PayingOrganization,
    RemainingCredit,
    Statement,
    StatementInvoice,
    StatementItem,
    StatementTax,
    UsageSource,
    negotiated_working,
)
from fly_billing.statements.usage_reader import UsageOfDay, UsageOfPlace
from fly_billing.stripe_sync.rules.customer_details import InvoiceDetails
from fly_billing.stripe_sync.rules.sync_failures import WAITING
from fly_billing.usage.rejections import has_unresolved

# A finalized invoice reaches Stripe within the hour. The statement calls one that takes longer than this delayed.
SYNCED_WITHIN = timedelta(hours=6)
# Columns that may be null in a row that is shown.
_MAY_BE_MISSING = frozenset(
    {
        "period_start", "period_end", "interval_start", "interval_end", "one_off_item_id", "occurred_at", "credit_ids",
        "legal_text", "expires_at",
    }
)  # fmt: skip

T = TypeVar("T")


class NoSuchMonth(ValueError):
    """The organization has no invoice for this month."""


@dataclass(frozen=True)
class _InvoiceRow:
    """A month of the organization. `id` is None for a month without an invoice, because billing it failed.

    Attributes:
        holder_id: The organization whose invoice it is: this one, or the one that pays for it (`is_linked`).
        total_cents: The organization's share of the total if another one pays.
    """

    id: UUID | None
    month: date
    holder_id: str
    is_linked: bool
    holder_name: str
    status: str | None
    number: int | None
    currency: str
    total_cents: int
    as_of: datetime
    lake_version: int | None
    rolled_up_at: datetime
    due_on: date | None
    stripe_invoice_id: str | None
    stripe_due_cents: int | None
    stripe_balance_cents: int | None
    stripe_finalized_at: datetime | None
    stripe_noted_cents: int | None
    stripe_part_paid_cents: int | None
    is_waiting: bool | None
    hosted_invoice_url: str | None
    invoice_pdf_url: str | None
    stripe_number: str | None
    customer: Mapping[str, Any] | None
    seller: str | None
    trouble: str | None

    @property
    def billing_month(self) -> BillingMonth:
        return BillingMonth(self.month.year, self.month.month)

    @property
    def amounts_in_stripe(self) -> StripeAmounts | None:
        due, balance, finalized_at = self.stripe_due_cents, self.stripe_balance_cents, self.stripe_finalized_at
        if due is None or balance is None or finalized_at is None:
            return None
        return StripeAmounts(due, balance, finalized_at, self.stripe_noted_cents or 0, self.stripe_part_paid_cents or 0)

    def __str__(self) -> str:
        return f"invoice {self.id or ''} of {self.holder_id} in {self.month}".replace("  ", " ")


@dataclass(frozen=True)
class _ItemRow:
    """An item; `occurred_at` is the time of a one-off item, `credit_ids` may be those of a reservation."""

    id: UUID
    invoice_id: UUID
    kind: str
    organization_id: str
    product: str
    description: str
    quantity: Decimal
    unit: str
    amount: Decimal
    amount_cents: int
    period_start: datetime | None
    period_end: datetime | None
    interval_start: datetime | None
    interval_end: datetime | None
    detail: Mapping[str, Any]
    one_off_item_id: UUID | None
    occurred_at: datetime | None
    credit_ids: Sequence[UUID] | None

    @property
    def period(self) -> tuple[datetime, datetime] | None:
        if self.period_start is None:
            return None
        if self.period_end is None:
            raise ValueError("period_end is missing")
        return self.period_start, self.period_end

    def __str__(self) -> str:
        return f"item {self.id} ({self.description})"


@dataclass(frozen=True)
class _TaxRow:
    """The tax of one rate on an invoice."""

    invoice_id: UUID
    name: str
    percent: Decimal
    is_inclusive: bool
    taxable_cents: int
    tax_cents: int
    category: str
    legal_text: str | None


@dataclass(frozen=True)
class _CreditRow:
    """A credit that is not used up; amounts in the currency's major unit."""

    description: str
    currency: str
    amount: Decimal
    left_over: Decimal
    expires_at: datetime | None
    pays: str


@dataclass
class _Reading:
    """Reads records one by one, and keeps a sentence for each that can't be read.

    Attributes:
        problems: The sentences: which row it is, what is wrong with it, and what to do.
        invoices: The invoices with a record that can't be read; None for a record that belongs to no invoice.
    """

    problems: list[str] = field(default_factory=list)
    invoices: set[UUID | None] = field(default_factory=set)

    def attempt(self, what: str, make: Callable[[], T], invoice: UUID | None = None) -> T | None:
        """Return `make()`, or None if it meets a value that can't be read. `what` names the row."""
        try:
            return make()
        except VALUE_ERRORS as problem:
            sentence = f"{what} can't be read: {reason_of(problem)}. It is left out: correct the row to include it."
            if sentence not in self.problems:
                self.problems.append(sentence)
            self.invoices.add(invoice)
            return None


def read_statement(
    database: BillingDatabase, organization_id: str, now: datetime, month: BillingMonth | None = None
) -> Statement:
    """Read all months of an organization, with the details of `month` (None: the newest).

    For an organization that another one pays for, the statement has its own lines of the payer's invoice. A record that
    can't be read is left out and named in `problems`.

    Raises:
        NoSuchOrganization: No organization has this id.
        NoSuchMonth: The organization has no invoice for this month.
    """
    reading = _Reading()
    with database.transaction() as connection:
        name = organization_name(connection, organization_id)
        late = {"late_since": now - SYNCED_WITHIN, "waiting": WAITING}
        months = records(connection, _InvoiceRow, "statement_invoices", organization_id=organization_id, **late)
        invoices = [row for row in months if reading.attempt(str(row), partial(_check_invoice, row))]
        if month and not reading.problems and month not in [row.billing_month for row in invoices]:
            raise NoSuchMonth(f"{organization_id} has no invoice for {month}")
        shown = month or (invoices[0].billing_month if invoices else None)
        detail = _Detail.read(connection, organization_id, invoices, shown, reading)
        credit_rows = records(connection, _CreditRow, "credits_of_statement", organization_id=organization_id, now=now)
        newest = next((row for row in invoices if row.billing_month == shown), None)
        completeness = reading.attempt("the completeness of the usage", lambda: _completeness(connection, newest))
        has_unread_usage = shown is not None and has_unresolved(connection, organization_id, shown)
        ledger = records(connection, LedgerSums, "ledger_of_statement", organization_id=organization_id)
        stripe_read_at = values(connection, "stripe_of_organization_read_at", organization_id=organization_id)
    return Statement(
        organization_id=organization_id,
        organization_name=name,
        as_of=now,
        invoices=tuple(_invoice(row, detail) for row in invoices),
        month=None if shown is None else str(shown),
        credits=tuple(_credits(credit_rows, reading)),
        completeness=completeness,
        problems=tuple(reading.problems),
        has_unread_usage=has_unread_usage,
        ledger=tuple(ledger),
        stripe_read_at=next(iter(stripe_read_at), None),
    )


def _check(row: Any) -> None:
    """Raise ValueError naming the first column of the row that can't be shown or calculated with."""
    refuse_incomplete(vars(row), _MAY_BE_MISSING)


def _check_invoice(row: _InvoiceRow) -> bool:
    """Raise ValueError naming the first column that every statement shows and that can't be read; otherwise True."""
    needed = {"month": row.month, "currency": row.currency}
    if row.id is not None:
        needed |= {"status": row.status, "total_cents": row.total_cents}
    refuse_incomplete(needed, _MAY_BE_MISSING)
    if row.id is not None and row.status not in STATUS:
        raise ValueError(f"no such status: {row.status}")
    for name, value in (("as_of", row.as_of), ("due_on", row.due_on), ("rolled_up_at", row.rolled_up_at)):
        if problem := problem_of(value):
            raise ValueError(f"{name} {problem}")
    return True


def _credits(credit_rows: Iterable[_CreditRow], reading: _Reading) -> Iterator[RemainingCredit]:
    for row in credit_rows:
        credit = reading.attempt(f"credit {row.description!r}", partial(_credit, row))
        if credit:
            yield credit


def _credit(row: _CreditRow) -> RemainingCredit:
    _check(row)
    return RemainingCredit.of(**vars(row))


@dataclass(frozen=True)
class _Detail:
    """The records of the month that is shown, and of the month before for the comparison; by invoice or by item."""

    shown: BillingMonth | None
    items: Mapping[UUID, Sequence[_ItemRow]]
    usage: Mapping[UUID, Sequence[UsageOfPlace]]
    daily: Mapping[UUID, Sequence[UsageOfDay]]
    taxes: Mapping[UUID, Sequence[_TaxRow]]
    before: _InvoiceRow | None
    reading: _Reading

    @classmethod
    def read(
        cls,
        connection: Connection,
        organization_id: str,
        invoices: Sequence[_InvoiceRow],
        shown: BillingMonth | None,
        reading: _Reading,
    ) -> _Detail:
        now = [row.id for row in invoices if row.id and row.billing_month == shown]
        before = [row for row in invoices if row.id and row.status != "void" and row.billing_month.next() == shown]
        of_months = {"ids": [*now, *(row.id for row in before)], "organization_id": organization_id}
        items = _grouped(records(connection, _ItemRow, "items_of_statement", **of_months), lambda row: row.invoice_id)
        wanted = [item.id for invoice in now for item in items[invoice]]
        of_month = {"ids": now, "organization_id": organization_id}
        return cls(
            shown=shown,
            items=items,
            usage=_grouped(
                records(connection, UsageOfPlace, "usage_of_statement", items=wanted), lambda row: row.item_id
            ),
            daily=_grouped(
                records(connection, UsageOfDay, "daily_usage_of_statement", items=wanted), lambda row: row.item_id
            ),
            taxes=_grouped(records(connection, _TaxRow, "taxes_of_statement", **of_month), lambda row: row.invoice_id),
            before=before[0] if before else None,
            reading=reading,
        )

    def items_of(self, invoice: _InvoiceRow) -> Sequence[_ItemRow]:
        """Return the invoice's items; none if its month is not one of those that were read."""
        return self.items.get(invoice.id, ()) if invoice.id else ()

    def is_shown(self, invoice: _InvoiceRow) -> bool:
        return invoice.id is not None and invoice.billing_month == self.shown

    def spend_items(self, invoice: _InvoiceRow) -> list[SpendItem]:
        return [self._spend_item(item, invoice.billing_month) for item in self.items_of(invoice)]

    def _spend_item(self, item: _ItemRow, month: BillingMonth) -> SpendItem:
        daily = {
            None if row.day is None else month.first_day + timedelta(days=row.day - 1): row.quantity
            for row in self.daily.get(item.id, ())
        }
        usage = [UsagePart({"app": row.app, "region": row.region}, row.quantity) for row in self.usage.get(item.id, ())]
        return SpendItem(
            kind=item.kind,
            product=item.product,
            organization_id=item.organization_id,
            amount=item.amount,
            amount_cents=item.amount_cents,
            usage=usage,
            daily=daily,
            period=item.period,
            occurred_at=item.occurred_at,
        )

    def compare(self, invoice: _InvoiceRow, now: Sequence[SpendItem]) -> MonthComparison | None:
        """Compare with the month before, unless its currency or the organization that pays is another one."""
        before = self.before
        if before is None or (before.currency, before.holder_id) != (invoice.currency, invoice.holder_id):
            return None
        products = total_by_product(self.spend_items(before))
        return compare_products(total_by_product(now), products, before.billing_month)


def _grouped(found: Iterable[T], key: Callable[[T], UUID]) -> Mapping[UUID, Sequence[T]]:
    grouped: dict[UUID, list[T]] = defaultdict(list)
    for row in found:
        grouped[key(row)].append(row)
    return grouped


def _invoice(row: _InvoiceRow, detail: _Detail) -> StatementInvoice:
    reading, is_shown = detail.reading, detail.is_shown(row)
    item_rows = detail.items_of(row) if is_shown else ()
    times = reading.attempt(f"the times of {row}", lambda: service_periods(item_rows, row.billing_month), row.id)
    periods = times or {}
    items = [reading.attempt(str(item), partial(_item, item, periods.get(item.id)), row.id) for item in item_rows]
    tax_rows = detail.taxes.get(row.id, ()) if row.id and is_shown else ()
    taxes = [reading.attempt(f"tax {tax.name} of {row}", partial(_tax, tax), row.id) for tax in tax_rows]
    spent = reading.attempt(f"an item of {row}", lambda: detail.spend_items(row), row.id) if is_shown else None
    # Shares of a total whose items are not all known would be wrong.
    is_whole = spent is not None and row.id not in reading.invoices
    spend = compared = None
    if spent is not None and is_whole:
        spend = reading.attempt(
            f"usage by day of {row}", lambda: break_down(spent, row.billing_month, row.currency, row.as_of), row.id
        )
        compared = reading.attempt(f"the month before {row.billing_month}", lambda: detail.compare(row, spent))
    return StatementInvoice(
        month=str(row.billing_month),
        status=row.status or "not computed",
        currency=row.currency,
        total_cents=row.total_cents if row.id else None,
        as_of=row.as_of,
        due_on=row.due_on,
        stripe_invoice_id=row.stripe_invoice_id,
        hosted_invoice_url=row.hosted_invoice_url,
        trouble=row.trouble,
        items=tuple(item for item in items if item),
        number=row.stripe_number or (invoice_number(row.holder_id, row.number) if row.number else None),
        pdf_url=row.invoice_pdf_url,
        customer=reading.attempt(f"the customer of {row}", lambda: _customer(row), row.id),
        seller=None if row.seller is None else tuple(row.seller.splitlines()),
        payer=PayingOrganization(row.holder_id, row.holder_name) if row.is_linked else None,
        taxes=tuple(tax for tax in taxes if tax),
        spend=spend,
        compared=compared,
        in_stripe=row.amounts_in_stripe,
        is_waiting=row.is_waiting or False,
        id=str(row.id) if row.id else None,
    )


def _customer(row: _InvoiceRow) -> InvoiceDetails:
    """Return the customer on the invoice: of a final one as it was then, of an open one as it is now."""
    given = dict(row.customer or {})
    tax_ids = tuple(given.pop("tax_ids", ()))
    for name in ("invoice_id", "organization_id", "net_days"):
        given.pop(name, None)
    given["name"] = given.get("name") or given.get("legal_name") or row.holder_name
    return InvoiceDetails(**given, tax_ids=tax_ids)


def _item(row: _ItemRow, period: ServicePeriod | None) -> StatementItem:
    _check(row)
    calculation = term_working(row.kind, row.detail) or working(
        plain(row.quantity), row.unit, row.detail.get("steps", []), row.detail.get("free_allowance_used")
    ) + negotiated_working(row.detail)
    return StatementItem(
        product=row.product,
        description=row.description,
        working=calculation,
        amount=plain(row.amount),
        amount_cents=row.amount_cents,
        kind=row.kind,
        organization_id=row.organization_id,
        causes=tuple(row.detail.get("causes", ())),
        period=period,
        is_after_tax=row.detail.get("pays") == "after tax",
        id=str(row.id),
        quantity=plain(row.quantity),
        unit=row.unit,
    )


def _tax(row: _TaxRow) -> StatementTax:
    _check(row)
    return StatementTax(
        row.name, plain(row.percent), row.is_inclusive, row.taxable_cents, row.tax_cents, row.category, row.legal_text
    )


def _completeness(connection: Connection, shown: _InvoiceRow | None) -> Completeness | None:
    """Return how complete the usage was from which the month's newest invoice was calculated."""
    if shown is None or shown.lake_version is None:
        return None
    landed = {"first": shown.month, "last": min(shown.rolled_up_at, shown.as_of).date()}
    (complete,) = values(connection, "usage_complete_until", **landed, lake_version=shown.lake_version)
    sources = records(connection, UsageSource, "usage_sources", **landed)
    until = complete if complete >= shown.month else None
    last_day = shown.billing_month.end.date() - timedelta(days=1)
    return Completeness(until, last_day, tuple(sources))
