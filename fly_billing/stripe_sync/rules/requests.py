"""Builds the requests that bring a finalized invoice to Stripe.

The same invoice gives the same requests in every process and on every day, so that a retry is a replay. Not here: their
keys (`idempotency_keys`), sending them (`stripe_sync.sender`). Source: docs.stripe.com/api, invoices and add_lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from fly_billing.invoicing.rules.chargeable_amounts import to_stripe
from fly_billing.invoicing.rules.line_text import working
from fly_billing.money import plain
from fly_billing.periods import BillingMonth

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
    """

    item_id: str
    description: str
    amount_cents: int
    is_tax: bool = False


@dataclass(frozen=True)
class FinalizedInvoice:
    """A finalized invoice from our database, ready to be synced unless `is_unreadable`.

    A missing currency is XXX (no currency); a missing total is the sum of the readable lines.
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
    )
    return (*(lines[n] for n in kept), rest)


def create_customer_request(organization_id: str, name: str) -> StripeRequest:
    return StripeRequest("create_customer", {"name": name, "metadata": {"organization": organization_id}})


def create_request(invoice: FinalizedInvoice, customer: str, generation: int) -> StripeRequest:
    """Return the request for a draft without pending items, which Stripe does not advance until we finalize it."""
    return StripeRequest(
        "create",
        {
            "customer": customer,
            "currency": invoice.currency.lower(),
            "auto_advance": False,
            "pending_invoice_items_behavior": "exclude",
            "description": f"{invoice.organization_name}: {invoice.month.start:%B %Y}",
            "metadata": {
                "fly_billing_invoice": str(invoice.id),
                "organization": invoice.organization_id,
                "month": str(invoice.month),
                "revision": str(invoice.revision),
                "generation": str(generation),
            },
        },
    )


def add_lines_requests(invoice: FinalizedInvoice) -> list[StripeRequest]:
    """Return the requests that add the lines in our order, at most LINES_PER_CALL each."""
    lines = folded_lines(invoice.lines)
    period = line_period(invoice.month)
    sent = [
        {
            "amount": to_stripe(line.amount_cents, invoice.currency),
            "description": line.description,
            "metadata": {"fly_billing_item": line.item_id},
            "period": period,
        }
        for line in lines
    ]
    starts = range(0, len(sent), LINES_PER_CALL)
    return [StripeRequest("add_lines", {"lines": sent[n : n + LINES_PER_CALL]}, n // LINES_PER_CALL) for n in starts]


def finalize_request(collect: bool) -> StripeRequest:
    """Return the finalize request. With `collect`, Stripe then charges the customer's default payment method."""
    return StripeRequest("finalize", {"auto_advance": collect})


def discard_request() -> StripeRequest:
    return StripeRequest("discard", {})


def line_period(month: BillingMonth) -> dict[str, int]:
    """Return the month as Stripe's inclusive period in epoch seconds, from noon to noon.

    Stripe can show an earlier hour as the day before.
    """
    last_day = month.end.date() - timedelta(days=1)
    noons = [datetime.combine(day, time(12), UTC) for day in (month.first_day, last_day)]
    return {"start": int(noons[0].timestamp()), "end": int(noons[1].timestamp())}
