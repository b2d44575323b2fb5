"""Builds the requests that bring a finalized invoice to Stripe.

The same invoice gives the same requests in every process and on every day, so that a retry is a replay. Not here: their
keys (`idempotency_keys`), sending them (`stripe_sync.sender`). Source: docs.stripe.com/api, invoices and add_lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from fly_billing.invoicing.rules.chargeable_amounts import to_stripe
from fly_billing.invoicing.rules.line_text import working
from fly_billing.invoicing.rules.service_periods import ServicePeriod
from fly_billing.money import counted, plain
from fly_billing.periods import BillingMonth
from fly_billing.stripe_sync.rules.customer_details import (
    FOOTER_LENGTH,
    MEMO_LENGTH,
    NAME_LENGTH,
    NUMBER_LENGTH,
    InvoiceDetails,
    customer_params,
    split_tax_id,
)
from fly_billing.stripe_sync.rules.line_taxes import LineTax, merged_taxes

# Stripe takes at most 250 lines on an invoice; two are left free.
MOST_LINES = 248
# The lines per add_lines call. Stripe documents no limit; others use 100 in production.
LINES_PER_CALL = 100
DESCRIPTION_LENGTH = 500


@dataclass(frozen=True)
class BilledLine:
    """One item as Stripe receives it.

    Attributes:
        description: Shows how the amount was calculated.
        is_tax: The line is never folded, however small, because it may name the law by which no tax is due.
        period: When it was supplied; None: in the month of the invoice.
        taxes: The taxes on it that are tax amounts at Stripe.
    """

    item_id: str
    description: str
    amount_cents: int
    is_tax: bool = False
    period: ServicePeriod | None = None
    taxes: tuple[LineTax, ...] = ()


@dataclass(frozen=True)
class FinalizedInvoice:
    """A finalized invoice from our database, ready to be synced unless `is_unreadable`.

    A missing currency is XXX (no currency); a missing total is the sum of the readable lines.

    Attributes:
        number: The number for people, as `ACME-0007`.
        details: None for an invoice that became final before these were kept: its requests are those of that time, so
            that a sync that was interrupted then goes on.
        legal_texts: The reasons for charging no tax.
    """

    id: UUID
    organization_id: str
    organization_name: str
    month: BillingMonth
    revision: int
    currency: str
    total_cents: int
    lines: tuple[BilledLine, ...]
    is_unreadable: bool = False
    number: str | None = None
    details: InvoiceDetails | None = None
    legal_texts: tuple[str, ...] = ()

    @property
    def taxes(self) -> tuple[LineTax, ...]:
        """The taxes that are tax amounts at Stripe, one for each rate."""
        return merged_taxes(tax for line in self.lines for tax in line.taxes)

    @property
    def footer(self) -> str | None:
        """The text below the invoice, with the reasons for charging no tax."""
        own = (self.details.footer,) if self.details and self.details.footer else ()
        return "\n\n".join((*own, *self.legal_texts)) or None


@dataclass(frozen=True)
class StripeRequest:
    """One mutation. `batch` numbers the add_lines calls of an invoice from 0."""

    step: str
    params: Mapping[str, Any]
    batch: int = 0


def line_description(
    product: str, description: str, quantity: Decimal, unit: str, steps: Sequence[Mapping[str, str]], free: str | None
) -> str:
    """Return how a line's amount was calculated, as on the statement, within Stripe's 500 characters."""
    sum_ = working(plain(quantity), unit, steps, free)
    text = f"{product}: {description}" + (f" ({sum_})" if sum_ else "")
    return text if len(text) <= DESCRIPTION_LENGTH else text[: DESCRIPTION_LENGTH - 1] + "…"


def folded_lines(lines: Sequence[BilledLine]) -> tuple[BilledLine, ...]:
    """Return at most 248 lines with the same total: the smallest ones become one line, but never taxes.

    The statement still lists every item.
    """
    if len(lines) <= MOST_LINES:
        return tuple(lines)
    by_size = sorted(range(len(lines)), key=lambda n: (not lines[n].is_tax, -abs(lines[n].amount_cents), n))
    kept = sorted(by_size[: MOST_LINES - 1])
    folded = by_size[MOST_LINES - 1 :]
    rest = BilledLine(
        "folded",
        f"{len(folded)} smaller items: your statement lists each of them",
        sum(lines[n].amount_cents for n in folded),
        period=_span([period for n in folded if (period := lines[n].period)]),
        taxes=merged_taxes(tax for n in folded for tax in lines[n].taxes),
    )
    return (*(lines[n] for n in kept), rest)


def _span(periods: Sequence[ServicePeriod]) -> ServicePeriod | None:
    if not periods:
        return None
    return ServicePeriod(min(period.start for period in periods), max(period.end for period in periods))


def limit_problem(invoice: FinalizedInvoice) -> str | None:
    """Return the sentence about a text that is too long for Stripe, or None. The database limits all others."""
    if invoice.footer and len(invoice.footer) > FOOTER_LENGTH:
        return (
            f"the footer has {counted(len(invoice.footer), 'character')} with the legal texts of the taxes, and"
            f" Stripe takes {FOOTER_LENGTH:,}"
        )
    return None


def create_customer_request(organization_id: str, name: str, details: InvoiceDetails | None = None) -> StripeRequest:
    params: dict[str, Any] = {"name": name, "metadata": {"organization": organization_id}}
    if details:
        params |= {"name": details.name[:NAME_LENGTH]} | customer_params(details, {})
        tax_ids = [split_tax_id(text) for text in params.pop("tax_ids", ())]
        if tax_ids:
            params["tax_id_data"] = [{"type": kind, "value": value} for kind, value in tax_ids]
    return StripeRequest("create_customer", params)


def update_customer_request(params: Mapping[str, Any]) -> StripeRequest:
    return StripeRequest("update_customer", dict(params))


def add_tax_id_request(text: str) -> StripeRequest:
    kind, value = split_tax_id(text)
    return StripeRequest("add_tax_id", {"type": kind, "value": value})


def remove_tax_id_request(stripe_id: str) -> StripeRequest:
    return StripeRequest("remove_tax_id", {"id": stripe_id})


def create_request(invoice: FinalizedInvoice, customer: str, generation: int) -> StripeRequest:
    """Return the request for a draft without pending items, which Stripe does not advance until we finalize it."""
    return StripeRequest(
        "create",
        _details_params(invoice, generation)
        | {
            "customer": customer,
            "currency": invoice.currency.lower(),
            "auto_advance": False,
            "pending_invoice_items_behavior": "exclude",
            "description": _description(invoice),
            "metadata": {
                "fly_billing_invoice": str(invoice.id),
                "organization": invoice.organization_id,
                "month": str(invoice.month),
                "revision": str(invoice.revision),
                "generation": str(generation),
            },
        },
    )


def _description(invoice: FinalizedInvoice) -> str:
    if invoice.details is None:
        return f"{invoice.organization_name}: {invoice.month.start:%B %Y}"
    memo = f"\n{invoice.details.memo}" if invoice.details.memo else ""
    return f"{invoice.details.name[:NAME_LENGTH]}: {invoice.month.start:%B %Y}{memo}"[:MEMO_LENGTH]


def _details_params(invoice: FinalizedInvoice, generation: int) -> dict[str, Any]:
    """Return the parameters of an invoice with details. Nothing is inherited: no discount, and no tax of Stripe's."""
    details = invoice.details
    if details is None:
        return {}
    params: dict[str, Any] = {
        "automatic_tax": {"enabled": False},
        "collection_method": details.collection,
        "discounts": "",
    }
    if details.collection == "send_invoice":
        # Not `due_date`, which would be in the past if the sync is late.
        params["days_until_due"] = details.net_days
    if details.purchase_order:
        params["custom_fields"] = [{"name": "Purchase order", "value": details.purchase_order}]
    if invoice.footer:
        params["footer"] = invoice.footer
    if number := number_at_stripe(invoice.number, generation):
        params["number"] = number
    return params


def number_at_stripe(number: str | None, generation: int) -> str | None:
    """Return our number as Stripe takes it; None if it is too long, so that Stripe gives one.

    Stripe takes a number once, also after the invoice was voided or deleted, so an invoice that is made again there has
    a suffix: `ACME-0007-R1`.
    """
    if number is None:
        return None
    text = f"{number}-R{generation}" if generation else number
    return text if len(text) <= NUMBER_LENGTH else None


def add_lines_requests(invoice: FinalizedInvoice) -> list[StripeRequest]:
    """Return the requests that add the lines in our order, at most LINES_PER_CALL each."""
    lines = folded_lines(invoice.lines)
    month = ServicePeriod.of_month(invoice.month)
    sent = [
        {
            "amount": to_stripe(line.amount_cents, invoice.currency),
            "description": line.description,
            "metadata": {"fly_billing_item": line.item_id},
            "period": line_period(line.period or month),
        }
        | ({"tax_amounts": [tax.as_param(invoice.currency) for tax in line.taxes]} if line.taxes else {})
        for line in lines
    ]
    starts = range(0, len(sent), LINES_PER_CALL)
    return [StripeRequest("add_lines", {"lines": sent[n : n + LINES_PER_CALL]}, n // LINES_PER_CALL) for n in starts]


def finalize_request(collect: bool) -> StripeRequest:
    """Return the finalize request. With `collect`, Stripe then charges the customer's default payment method."""
    return StripeRequest("finalize", {"auto_advance": collect})


def discard_request() -> StripeRequest:
    return StripeRequest("discard", {})


def line_period(period: ServicePeriod) -> dict[str, int]:
    """Return the period as Stripe's inclusive one in epoch seconds, from noon of its first to noon of its last day.

    Stripe can show an earlier hour as the day before.
    """
    first, end = period.days
    noons = [datetime.combine(date.fromordinal(day), time(12), UTC) for day in (first, end - 1)]
    return {"start": int(noons[0].timestamp()), "end": int(noons[1].timestamp())}
