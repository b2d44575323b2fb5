"""Discounts: percentages and amounts off an organization's charges.

The rules:
  - Discounts apply one after the other, lower `order` first, then as granted. Each reduces the amount that the earlier
    ones left: $100 less 10 % less $5 is $85.00, $100 less $5 less 10 % is $85.50. So no dollar is discounted twice.
  - A percentage applies to items above zero. A one-off item below zero is goodwill, promised in full. A fee that is
    given back also gives back its own discounts (`steps.subscriptions`).
  - An amount reduces the first item of the invoice first (`items.line_order`). It never exceeds the covered items, nor
    the whole invoice. It is for one month: an unused rest is lost.
  - Nothing is rounded here: an invoice rounds once.
Not here: which discounts an organization has in a month, and how often a coupon may be redeemed.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

from fly_billing.invoicing.rules.inputs import Discount
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.steps.currencies import same_currency
from fly_billing.invoicing.rules.steps.term_items import listed, term_item
from fly_billing.money import EXACT, exact_sum, plain


def take_discounts(invoice: InvoiceInProgress) -> None:
    """Add an item below zero for each discount that takes something off. Raises BillingError `currency_mismatch`.

    Its `detail` has `code`, the promised `percent` or `amount`, `base` (the unpaid amount of the covered items) and
    `applied_to` (the amount taken off, by item).
    """
    for discount in sorted(invoice.inputs.discounts, key=lambda discount: discount.order):
        same_currency(
            discount.currency, invoice.inputs.currency, f"coupon {discount.code!r}",
            f"end it (discounts.last_month), and redeem a coupon in {invoice.inputs.currency}",
        )  # fmt: skip
        parts = _parts(invoice, discount)
        if parts:
            _take(invoice, discount, parts)


def _parts(invoice: InvoiceInProgress, discount: Discount) -> dict[UUID, Decimal]:
    if discount.amount is not None:
        return invoice.parts_of(discount.scope, discount.amount)
    assert discount.percent is not None  # `Discount` has exactly one of the two
    parts = {item.id: _percent_of(invoice.left[item.id], discount.percent) for item in _reduced(invoice, discount)}
    return {item: part for item, part in parts.items() if part}


def _reduced(invoice: InvoiceInProgress, discount: Discount) -> list[InvoiceItem]:
    """List the items that a percentage reduces."""
    return [item for item in invoice.covered(discount.scope) if item.amount > 0]


def _percent_of(amount: Decimal, percent: Decimal) -> Decimal:
    return EXACT.multiply(amount, percent).scaleb(-2, context=EXACT)


def _take(invoice: InvoiceInProgress, discount: Discount, parts: dict[UUID, Decimal]) -> None:
    base = (
        invoice.left_of(discount.scope)
        if discount.percent is None
        else exact_sum([invoice.left[item.id] for item in _reduced(invoice, discount)])
    )
    promised = {"percent": discount.percent, "amount": discount.amount}
    item = term_item(
        invoice,
        "discount",
        discount.id,
        "Discounts",
        discount.description,
        EXACT.minus(exact_sum(list(parts.values()))),
        {
            "code": discount.code,
            **{name: plain(value) for name, value in promised.items() if value is not None},
            "base": plain(base),
            "applied_to": listed(invoice, parts),
        },
    )
    invoice.take_off(replace(item, discount_id=discount.id), parts)
