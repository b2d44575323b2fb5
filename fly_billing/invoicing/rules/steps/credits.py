"""Credits: prepaid or granted money pays for the unpaid amount of the items in its scope.

The rules:
  - Credits are drawn in the order of `CreditGrant`: lower priority first, then earlier expiry, then earlier grant. A
    credit for one region is drawn before a general one only if its priority is lower. Of credits with equal priority,
    the one that would be lost sooner is used first.
  - A credit pays for every month that begins before it expires and ends after it was granted, and for the whole of that
    month. One that expires on the 2nd still pays for usage on the 30th; one granted on the 30th pays for usage on the
    2nd. A limit to the second would be stricter, but nobody could verify it from an invoice. In doubt, we decide for
    the customer.
  - A credit pays the first item of the invoice first (`items.line_order`). It never pays more than the unpaid amount of
    its items, nor more than the whole invoice, which other refunds may have lowered. The rest stays for later months.
  - A refund goes back the way it was paid. The correct fee is calculated first. Credits pay it in their order, each up
    to the amount that it had paid. The excess goes back to the credits; the rest is refunded as money. 29.00 were paid,
    20.00 of it by credit, and half of the month is unused: of the 14.50 given back, 9.00 are money and 5.50 are credit.
  - The same invoice may draw a refunded credit at once.
Not here: credits that pay after tax (`after_tax`), and the ledger. `available` is read from the ledger; draws are
booked in it when the invoice is final.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from fly_billing.invoicing.rules.inputs import CreditGrant, CreditPaid, FeeCharged
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem, is_ahead
from fly_billing.invoicing.rules.steps.currencies import same_currency
from fly_billing.invoicing.rules.steps.term_items import listed, term_item
from fly_billing.money import EXACT, exact_sum, plain
from fly_billing.periods import BillingMonth

_NEVER = datetime.max.replace(tzinfo=UTC)


def draw_credits(invoice: InvoiceInProgress) -> None:
    """Add an item below zero for each credit that pays for something.

    Its `detail` has the amounts that were `available` before, are `drawn` now and are `left` afterwards, and
    `applied_to`: the amount paid, by item.
    """
    returned = returned_on(invoice)
    for credit in sorted(invoice.inputs.credits, key=drawing_order):
        if credit.pays == "net" and is_drawn_in(credit, invoice.inputs.month):
            available = EXACT.add(credit.available, returned.get(credit.id, Decimal(0)))
            parts = invoice.parts_of(credit.scope, available)
            if parts:
                check_currency(invoice, credit)
                _draw(invoice, replace(credit, available=available), parts)


def check_currency(invoice: InvoiceInProgress, credit: CreditGrant) -> None:
    """Raise BillingError `currency_mismatch` if the credit and the invoice differ in currency."""
    currency = invoice.inputs.currency
    remedy = f"let it expire (credit_grants.expires_at), and grant what is left of it in {currency}"
    same_currency(credit.currency, currency, f"credit {credit.description!r}", remedy)


def return_credits(invoice: InvoiceInProgress) -> None:
    """Add an item above zero for each credit that had paid for a fee given back: the refund to the credit.

    Its `detail` has `paid` (the part of the fee that the credit had paid), `returned`, and `applied_to`, below zero.
    """
    for item, charged in given_back(invoice):
        _return(invoice, item, charged)


def given_back(invoice: InvoiceInProgress) -> list[tuple[InvoiceItem, FeeCharged]]:
    """List the fees that this invoice itself gives back, each with its earlier charges."""
    inputs = invoice.inputs
    fees = [fee for fee in invoice.items if fee.kind == "subscription" and fee.amount < 0]
    if inputs.charged_ahead is not None:
        fees = [fee for fee in fees if not is_ahead(fee, inputs.month)]
    return [(fee, charged) for fee in fees if (charged := inputs.fee_charged(fee))]


def _return(invoice: InvoiceInProgress, item: InvoiceItem, charged: FeeCharged) -> None:
    paid = EXACT.subtract(charged.amount, charged.discounted)
    still_owed = max(Decimal(0), EXACT.add(paid, invoice.left[item.id]))
    for credit in [credit for credit in charged.credits if credit.pays == "net"]:
        kept = min(credit.amount, still_owed)
        still_owed = EXACT.subtract(still_owed, kept)
        back = min(EXACT.subtract(credit.amount, kept), EXACT.minus(invoice.left[item.id]))
        if back > 0:
            invoice.take_off(returned_item(invoice, item, credit, back), {item.id: EXACT.minus(back)})


def returned_item(invoice: InvoiceInProgress, item: InvoiceItem, credit: CreditPaid, back: Decimal) -> InvoiceItem:
    made = term_item(
        invoice,
        "credit",
        credit.grant_id,
        "Credits",
        f"{credit.description}, on the fee given back",
        back,
        {
            "paid": plain(credit.amount),
            "returned": plain(back),
            "applied_to": listed(invoice, {item.id: EXACT.minus(back)}),
        },
    )
    return replace(made, id=invoice.item_id(f"credit|{credit.grant_id}|{item.id}"), credit_grant_id=credit.grant_id)


def returned_on(invoice: InvoiceInProgress) -> dict[UUID, Decimal]:
    """Return the sum of each credit's items on this invoice: the refunds, as long as none is drawn."""
    returned: dict[UUID, Decimal] = {}
    for item in invoice.items:
        if item.credit_grant_id is not None:
            before = returned.get(item.credit_grant_id, Decimal(0))
            returned[item.credit_grant_id] = EXACT.add(before, item.amount)
    return returned


def drawing_order(credit: CreditGrant) -> tuple[int, datetime, datetime, str]:
    return credit.priority, credit.expires_at or _NEVER, credit.granted_at, str(credit.id)


def is_drawn_in(credit: CreditGrant, month: BillingMonth) -> bool:
    return credit.granted_at < month.end and (credit.expires_at is None or month.start < credit.expires_at)


def _draw(invoice: InvoiceInProgress, credit: CreditGrant, parts: dict[UUID, Decimal]) -> None:
    drawn = exact_sum(list(parts.values()))
    item = term_item(
        invoice,
        "credit",
        credit.id,
        "Credits",
        credit.description,
        EXACT.minus(drawn),
        {
            "available": plain(credit.available),
            "drawn": plain(drawn),
            "left": plain(EXACT.subtract(credit.available, drawn)),
            "applied_to": listed(invoice, parts),
        },
    )
    invoice.take_off(replace(item, credit_grant_id=credit.id), parts)
