"""The rows that a statement is read from: what each SQL statement of the reader returns, with its checks.

Not here: the SQL (`sql/statement_*.sql`), and what a statement shows of a row (`shown_month`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any
from uuid import UUID

from fly_billing.bounds import refuse_incomplete, refuse_unreadable
from fly_billing.periods import BillingMonth
from fly_billing.statements.rules.balance import StripeAmounts
from fly_billing.statements.rules.statement import STATUS, EarlierMonths, IdleCap
from fly_billing.stripe_sync.rules.customer_details import InvoiceDetails

# Columns that may be null in a row that is shown.
_MAY_BE_MISSING = frozenset(
    {
        "period_start", "period_end", "interval_start", "interval_end", "one_off_item_id", "occurred_at", "credit_ids",
        "legal_text", "expires_at",
    }
)  # fmt: skip


def check_row(row: Any) -> None:
    """Raise ValueError naming the first column of the row that can't be shown or calculated with."""
    refuse_incomplete(vars(row), _MAY_BE_MISSING)


@dataclass(frozen=True)
class OrganizationRow:
    """The organization.

    Attributes:
        stripe_read_at: None if events at Stripe are not polled, or it is not a customer there.
        billed_in: The currency of this month's invoice.
        idle_cap_cents, idle_cap_currency: The cap in another currency; None if there is none.
    """

    name: str
    stripe_read_at: datetime | None
    billed_in: str
    idle_cap_cents: int | None
    idle_cap_currency: str | None

    @property
    def idle_cap(self) -> IdleCap | None:
        if self.idle_cap_cents is None or self.idle_cap_currency is None:
            return None
        return IdleCap(self.idle_cap_cents, self.idle_cap_currency, self.billed_in)


@dataclass(frozen=True)
class CustomerRow:
    """A customer's details. All of them are None where an invoice has none."""

    name: str | None
    legal_name: str | None
    email: str | None
    line1: str | None
    line2: str | None
    postal_code: str | None
    city: str | None
    state: str | None
    country: str | None
    tax_ids: Sequence[str]
    collection: str
    purchase_order: str | None
    memo: str | None
    footer: str | None

    @cached_property
    def details(self) -> InvoiceDetails:
        """The customer. Raises TypeError if the tax ids are missing."""
        return InvoiceDetails(
            name=self.name or self.legal_name or "",
            legal_name=self.legal_name,
            email=self.email,
            line1=self.line1,
            line2=self.line2,
            postal_code=self.postal_code,
            city=self.city,
            state=self.state,
            country=self.country,
            tax_ids=tuple(self.tax_ids),
            collection=self.collection,
            purchase_order=self.purchase_order,
            memo=self.memo,
            footer=self.footer,
        )


@dataclass(frozen=True)
class InvoiceRow(CustomerRow):
    """A month of the organization. `id` is None for a month without an invoice, because billing it failed.

    Attributes:
        holder_id: The organization whose invoice it is: this one, or the one that pays for it (`is_linked`).
        total_cents: The organization's share of the total if another one pays.
        has_details: The invoice has its own customer: it is final, and nobody else pays it.
        seller: The lines about the seller, if they were recorded.
        earlier_months, first_earlier_month: The months that are not read; the same in every row.
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
    trouble: str | None
    has_details: bool
    seller: str | None
    earlier_months: int
    first_earlier_month: date | None

    @property
    def billing_month(self) -> BillingMonth:
        return BillingMonth(self.month.year, self.month.month)

    @property
    def month_text(self) -> str:
        """`str(billing_month)`, at a tenth of the time: every month of a statement shows it."""
        return self.month.isoformat()[:7]

    def is_of(self, month: BillingMonth) -> bool:
        return (self.month.year, self.month.month) == (month.year, month.month)

    @property
    def earlier(self) -> EarlierMonths | None:
        """The months that are not read. Raises AttributeError if the first of them can't be read."""
        if self.first_earlier_month is None:
            return None
        return EarlierMonths(self.earlier_months, self.first_earlier_month.isoformat()[:7])

    @property
    def seller_lines(self) -> tuple[str, ...] | None:
        return None if self.seller is None else tuple(self.seller.splitlines())

    @property
    def amounts_in_stripe(self) -> StripeAmounts | None:
        due, balance, finalized_at = self.stripe_due_cents, self.stripe_balance_cents, self.stripe_finalized_at
        if due is None or balance is None or finalized_at is None:
            return None
        return StripeAmounts(due, balance, finalized_at, self.stripe_noted_cents or 0, self.stripe_part_paid_cents or 0)

    def check(self) -> bool:
        """Return True. Raises ValueError naming the first column that every statement shows and that can't be read."""
        refuse_incomplete({"month": self.month, "currency": self.currency})
        if self.id is not None:
            refuse_incomplete({"status": self.status, "total_cents": self.total_cents})
            if self.status not in STATUS:
                raise ValueError(f"no such status: {self.status}")
        refuse_unreadable({"month": self.month, "as_of": self.as_of, "due_on": self.due_on})
        return True

    def __str__(self) -> str:
        return f"invoice {self.id or ''} of {self.holder_id} in {self.month}".replace("  ", " ")


@dataclass(frozen=True)
class ItemRow:
    """An item; `occurred_at` is the time of a one-off item, `credit_ids` may be those of a reservation."""

    id: UUID
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
class RollupRow:
    """A usage rollup that an item billed. App and region are None if the meter has no such dimension.

    Attributes:
        daily: The quantity of each day of the month; None for a rollup from before days were recorded.
    """

    item_id: UUID
    app: str | None
    region: str | None
    quantity: Decimal
    daily: Sequence[Decimal] | None


@dataclass(frozen=True)
class SourceRow:
    """A file that brings usage, as `UsageSource`, and until when all usage landed. No name: no file landed yet.

    Attributes:
        looked_at: When the folder of the day after `complete_until` was last as it was billed.
    """

    complete_until: date
    name: str | None
    days: int
    until: date | None
    looked_at: datetime | None


@dataclass(frozen=True)
class TaxRow:
    """The tax of one rate on an invoice."""

    name: str
    percent: Decimal
    is_inclusive: bool
    taxable_cents: int
    tax_cents: int
    category: str
    legal_text: str | None


@dataclass(frozen=True)
class CreditRow:
    """A credit that is not used up; amounts in the currency's major unit."""

    description: str
    currency: str
    amount: Decimal
    left_over: Decimal
    expires_at: datetime | None
    pays: str
