"""The last item of an invoice in a currency of three decimals: up or down to a total that Stripe can charge.

The rules:
  - A total of BHD, JOD, KWD, OMR or TND must end in 0, as 10.230 does (`invoicing.rules.chargeable_amounts`). If it
    does not, the exact sum is rounded to a hundredth, halves away from zero, and an item says so: 10.234 has one of
    -0.004.
  - Items and taxes stay as they are, each tax rounded at the third decimal: what is owed to the state is not touched.
    The rounding itself is not taxed; it is at most half a hundredth, up or down.
  - What is given back is rounded like what was charged: a charge and its return come to nothing.
  - It is not part of what a correction compares: that is charges, before the total is rounded.
Keeps out: the rounding of every invoice to its minor unit (`invoicing.rules.assembly`).
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from fly_billing.invoicing.rules.chargeable_amounts import chargeable_step
from fly_billing.invoicing.rules.draft import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import EXACT, exact_sum, from_cents, plain, to_cents


def round_to_chargeable(draft: InvoiceInProgress) -> None:
    """Add an item where Stripe could not charge the total. Its `detail`: `base`, the exact sum, and `step`."""
    currency = draft.account.currency
    step = chargeable_step(currency)
    base = exact_sum([item.amount for item in draft.items])
    if to_cents(base, currency) % step == 0:
        return
    size = from_cents(step, currency)
    steps = EXACT.multiply(base, Decimal(1) / size).to_integral_value(ROUND_HALF_UP)
    amount = EXACT.subtract(EXACT.multiply(steps, size), base)
    draft.items.append(
        InvoiceItem(
            id=draft.item_id("rounding"),
            kind="rounding",
            organization_id=draft.account.organization_id,
            product="Rounding",
            description=f"To a total that can be charged, in steps of {plain(size)} {currency}",
            quantity=Decimal(1),
            unit="item",
            amount=amount,
            detail={"base": plain(base), "step": plain(size)},
        )
    )
