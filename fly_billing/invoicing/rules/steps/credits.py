"""Credits: prepaid or granted money pays for what is left of the items that it may pay for.

The rules, for a reader to argue with:
  - The order is that of `CreditGrant`: lower priority first, then what expires sooner, then what was granted earlier.
    Whoever grants a credit says by its priority what it is for: one that is bound to a region comes before a free one
    only so. Of equal ones, what would be lost sooner is used first.
  - A credit pays for a month that begins before it expires and ends after it was granted. A month is paid as a whole:
    one that expires on the 2nd still pays for what happened on the 30th, one granted on the 30th for what happened on
    the 2nd. To the second would be stricter, and nobody could see from an invoice what a credit was good for. This is
    the kind choice: in doubt it is the customer's money.
  - It fills the item first that the invoice lists first (`invoice_items.line_order`), and never takes more than what it
    may pay for comes to, or than the invoice comes to: what was given back elsewhere needs no credit. What is left of
    it stays for later months.
  - A fee that is given back returns what was paid the way it was paid. The fee is calculated as it should have been:
    the credits pay of it what they had paid, in their order, and no more than it comes to. What they paid beyond that
    goes back to them, the rest is money. 29.00 were paid, 20.00 of it by credit; half of the month unused: of the 14.50
    that are given back 9.00 are money and 5.50 are credit.
  - What is returned can be drawn at once, by the same invoice.
Keeps out: credits that pay after tax (`after_tax`), and the ledger. `available` is read from it before; what is drawn
here is booked in it when the invoice is final.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from fly_billing.invoicing.rules.draft import InvoiceInProgress
from fly_billing.invoicing.rules.inputs import CreditGrant, CreditPaid, FeeCharged
from fly_billing.invoicing.rules.items import InvoiceItem, is_ahead
from fly_billing.invoicing.rules.steps.currencies import same_currency
from fly_billing.invoicing.rules.steps.term_items import listed, term_item
from fly_billing.money import EXACT, exact_sum, plain
from fly_billing.periods import BillingMonth

_NEVER = datetime.max.replace(tzinfo=UTC)


def draw_credits(draft: InvoiceInProgress) -> None:
    """Add an item below zero per credit that pays for something.

    Its `detail`: what was `available` of the credit, what was `drawn` now and what is `left` of it, and `applied_to`:
    what it paid of which item.
    """
    returned = returned_on(draft)
    for credit in sorted(draft.account.credits, key=drawing_order):
        if credit.pays == "net" and is_drawn_in(credit, draft.account.month):
            available = EXACT.add(credit.available, returned.get(credit.id, Decimal(0)))
            parts = draft.parts_of(credit.scope, available)
            if parts:
                check_currency(draft, credit)
                _draw(draft, replace(credit, available=available), parts)


def check_currency(draft: InvoiceInProgress, credit: CreditGrant) -> None:
    """Raise BillingError `currency_mismatch` where the credit is in another currency than the invoice that draws it."""
    currency = draft.account.currency
    remedy = f"let it expire (credit_grants.expires_at), and grant what is left of it in {currency}"
    same_currency(credit.currency, currency, f"credit {credit.description!r}", remedy)


def return_credits(draft: InvoiceInProgress) -> None:
    """Add an item above zero per fee that is given back and credit that had paid it, for what goes back to the credit.

    Its `detail`: `paid` (what the credit had paid of the fee), `returned`, and `applied_to`, below zero.
    """
    for item, charged in given_back(draft):
        _return(draft, item, charged)


def given_back(draft: InvoiceInProgress) -> list[tuple[InvoiceItem, FeeCharged]]:
    """List the fees that this invoice gives back by itself, each with what was charged for it."""
    account = draft.account
    fees = [one for one in draft.items if one.kind == "subscription" and one.amount < 0]
    if account.charged_ahead is not None:
        fees = [one for one in fees if not is_ahead(one, account.month)]
    return [(one, charged) for one in fees if (charged := account.fee_charged(one))]


def _return(draft: InvoiceInProgress, item: InvoiceItem, charged: FeeCharged) -> None:
    paid = EXACT.subtract(charged.amount, charged.discounted)
    still_owed = max(Decimal(0), EXACT.add(paid, draft.left[item.id]))
    for credit in [one for one in charged.credits if one.pays == "net"]:
        kept = min(credit.amount, still_owed)
        still_owed = EXACT.subtract(still_owed, kept)
        back = min(EXACT.subtract(credit.amount, kept), EXACT.minus(draft.left[item.id]))
        if back > 0:
            draft.take_off(returned_item(draft, item, credit, back), {item.id: EXACT.minus(back)})


def returned_item(draft: InvoiceInProgress, item: InvoiceItem, credit: CreditPaid, back: Decimal) -> InvoiceItem:
    made = term_item(
        draft,
        "credit",
        credit.grant_id,
        "Credits",
        f"{credit.description}, on the fee given back",
        back,
        {
            "paid": plain(credit.amount),
            "returned": plain(back),
            "applied_to": listed(draft, {item.id: EXACT.minus(back)}),
        },
    )
    return replace(made, id=draft.item_id(f"credit|{credit.grant_id}|{item.id}"), credit_grant_id=credit.grant_id)


def returned_on(draft: InvoiceInProgress) -> dict[UUID, Decimal]:
    """Add up what each credit got back on this invoice."""
    returned: dict[UUID, Decimal] = {}
    for item in draft.items:
        if item.credit_grant_id is not None:
            before = returned.get(item.credit_grant_id, Decimal(0))
            returned[item.credit_grant_id] = EXACT.add(before, item.amount)
    return returned


def drawing_order(credit: CreditGrant) -> tuple[int, datetime, datetime, str]:
    return credit.priority, credit.expires_at or _NEVER, credit.granted_at, str(credit.id)


def is_drawn_in(credit: CreditGrant, month: BillingMonth) -> bool:
    return credit.granted_at < month.end and (credit.expires_at is None or month.start < credit.expires_at)


def _draw(draft: InvoiceInProgress, credit: CreditGrant, parts: dict[UUID, Decimal]) -> None:
    drawn = exact_sum(list(parts.values()))
    item = term_item(
        draft,
        "credit",
        credit.id,
        "Credits",
        credit.description,
        EXACT.minus(drawn),
        {
            "available": plain(credit.available),
            "drawn": plain(drawn),
            "left": plain(EXACT.subtract(credit.available, drawn)),
            "applied_to": listed(draft, parts),
        },
    )
    draft.take_off(replace(item, credit_grant_id=credit.id), parts)
