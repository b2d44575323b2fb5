"""Rounds the total of an invoice in a currency of three decimals to an amount that Stripe can charge.

The rules:
  - A total in BHD, JOD, KWD, OMR or TND must end in 0, as 10.230 does (`invoicing.rules.chargeable_amounts`). If it
    does not, an item rounds the exact sum to a hundredth, halves away from zero: 10.234 gets an item of -0.004.
  - Items and taxes do not change; each tax is rounded at the third decimal. The rounding item is not taxed, and is at
    most half a hundredth.
  - Refunds are rounded like charges, so a charge and its refund cancel each other.
  - Corrections ignore it, because they compare charges before the total is rounded.
Not here: rounding every invoice to its currency's minor unit (`invoicing.rules.assembly`).
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from fly_billing.invoicing.rules.chargeable_amounts import chargeable_step
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import EXACT, exact_sum, from_cents, plain, to_cents


def round_to_chargeable(invoice: InvoiceInProgress) -> None:
    """Add an item if Stripe can't charge the total. Its `detail` has `base`, the exact sum, and `step`."""
    currency = invoice.inputs.currency
    step = chargeable_step(currency)
    if step == 1:
        return
    base = exact_sum([item.amount for item in invoice.items])
    if to_cents(base, currency) % step == 0:
        return
    size = from_cents(step, currency)
    steps = EXACT.multiply(base, Decimal(1) / size).to_integral_value(ROUND_HALF_UP)
    amount = EXACT.subtract(EXACT.multiply(steps, size), base)
    invoice.items.append(
        InvoiceItem(
            id=invoice.item_id("rounding"),
            kind="rounding",
            organization_id=invoice.inputs.organization_id,
            product="Rounding",
            description=f"Rounding to a chargeable total, in steps of {plain(size)} {currency}",
            quantity=Decimal(1),
            unit="item",
            amount=amount,
            detail={"base": plain(base), "step": plain(size)},
        )
    )
