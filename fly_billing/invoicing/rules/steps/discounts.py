"""Discounts: percentages and amounts that an organization was promised off what it is charged.

The rules, for a reader to argue with:
  - They come one after the other, lower `order` first, then as granted, each off what those before it left: 10 % and
    then $5 off $100 leave $85.00, $5 and then 10 % leave $85.50. So no two of them take the same dollar.
  - A percentage is taken of items above zero. A one-off item below zero is a credit that somebody promised in full; a
    fee that is given back returns what its own discounts left of it (`billing_steps.subscriptions`).
  - An amount fills the item first that the invoice lists first (`invoice_items.line_order`). It takes no more than what
    it covers comes to, and no more than the invoice comes to: what is not used of it is lost, as it is for one month.
  - Nothing is rounded here: an invoice rounds once.
Keeps out: which discounts an organization has in a month, and how often a coupon may be redeemed.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

from fly_billing.invoicing.rules.draft import InvoiceInProgress
from fly_billing.invoicing.rules.inputs import Discount
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.steps.currencies import same_currency
from fly_billing.invoicing.rules.steps.term_items import listed, term_item
from fly_billing.money import EXACT, exact_sum, plain


def take_discounts(draft: InvoiceInProgress) -> None:
    """Add an item below zero per discount; none for one that takes nothing. Raises BillingError `currency_mismatch`.

    Its `detail`: `code`, `percent` or `amount` as promised, `base` (what was left of the items that it covers), and
    `applied_to`: what it took from which.
    """
    for discount in sorted(draft.account.discounts, key=lambda one: one.order):
        same_currency(
            discount.currency, draft.account.currency, f"coupon {discount.code!r}",
            f"end it (discounts.last_month), and redeem a coupon in {draft.account.currency}",
        )  # fmt: skip
        parts = _parts(draft, discount)
        if parts:
            _take(draft, discount, parts)


def _parts(draft: InvoiceInProgress, discount: Discount) -> dict[UUID, Decimal]:
    if discount.amount is not None:
        return draft.parts_of(discount.scope, discount.amount)
    assert discount.percent is not None  # `Discount` sees to it that one of the two is given
    parts = {item.id: _percent_of(draft.left[item.id], discount.percent) for item in _reduced(draft, discount)}
    return {item: part for item, part in parts.items() if part}


def _reduced(draft: InvoiceInProgress, discount: Discount) -> list[InvoiceItem]:
    """List the items that a percentage is taken of."""
    return [item for item in draft.covered(discount.scope) if item.amount > 0]


def _percent_of(amount: Decimal, percent: Decimal) -> Decimal:
    return EXACT.multiply(amount, percent).scaleb(-2, context=EXACT)


def _take(draft: InvoiceInProgress, discount: Discount, parts: dict[UUID, Decimal]) -> None:
    base = (
        draft.left_of(discount.scope)
        if discount.percent is None
        else exact_sum([draft.left[one.id] for one in _reduced(draft, discount)])
    )
    promised = {"percent": discount.percent, "amount": discount.amount}
    item = term_item(
        draft,
        "discount",
        discount.id,
        "Discounts",
        discount.description,
        EXACT.minus(exact_sum(list(parts.values()))),
        {
            "code": discount.code,
            **{name: plain(value) for name, value in promised.items() if value is not None},
            "base": plain(base),
            "applied_to": listed(draft, parts),
        },
    )
    draft.take_off(replace(item, discount_id=discount.id), parts)
