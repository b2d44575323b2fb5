"""Assembling an invoice: usage, recurring fees, one-off items and terms become items that add up to the cent.

Keeps out: where the data comes from, when an invoice may be finalized.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from uuid import NAMESPACE_URL, UUID, uuid5

from fly_billing.bounds import MOST_MONEY
from fly_billing.errors import not_computable
from fly_billing.invoicing.rules.draft import InvoiceInProgress, InvoiceTax
from fly_billing.invoicing.rules.inputs import InvoiceInputs
from fly_billing.invoicing.rules.items import InvoiceItem, line_order
from fly_billing.invoicing.rules.steps.after_tax import return_after_tax, settle_after_tax
from fly_billing.invoicing.rules.steps.commitments import apply_commitments
from fly_billing.invoicing.rules.steps.credits import draw_credits, return_credits
from fly_billing.invoicing.rules.steps.discounts import take_discounts
from fly_billing.invoicing.rules.steps.one_offs import charge_adjustments, charge_one_offs
from fly_billing.invoicing.rules.steps.rounding import round_to_chargeable
from fly_billing.invoicing.rules.steps.subscriptions import charge_subscriptions
from fly_billing.invoicing.rules.steps.taxes import add_taxes
from fly_billing.invoicing.rules.steps.usage import charge_usage
from fly_billing.money import exact_sum, share_out_cents, to_cents
from fly_billing.periods import BillingMonth

INVOICES = uuid5(NAMESPACE_URL, "fly_billing/invoices")

# How an invoice is made, in this order. Argue with it here; each step says why it is as it is.
STEPS: tuple[Callable[[InvoiceInProgress], None], ...] = (
    charge_usage,  # allowance -> price model -> minimum and maximum of the price
    charge_subscriptions,  # recurring fees, prorated
    charge_one_offs,  # as they are
    take_discounts,  # off what was charged, before anything is topped up or paid
    apply_commitments,  # what was agreed at least, and at most, after discounts
    charge_adjustments,  # of earlier months: their discounts and commitments are in them already
    return_credits,  # what credits had paid of fees that are given back
    draw_credits,  # pay for what is left
    add_taxes,  # on what is left to pay, rounded to the cent
    settle_after_tax,  # credits that pay the gross amount
    round_to_chargeable,  # where Stripe could not charge the total: currencies of three decimals
)  # and the sum is rounded, once: `_rounded`

# Those that a final invoice is compared by, should its usage or its terms turn out otherwise
# (`corrections.rules.differences`).
CHARGING_STEPS = STEPS[: STEPS.index(charge_adjustments)]


@dataclass(frozen=True)
class Invoice:
    """One payer's invoice for one month and revision; `amount` is exact, `total_cents` rounded once.

    `tax_rates`: the rates that were in force for it, whether they came to anything or not. `counted`: what of it counts
    towards each commitment, by the commitment's id.
    """

    id: UUID
    organization_id: str
    month: BillingMonth
    revision: int
    currency: str
    amount: Decimal
    total_cents: int
    items: tuple[InvoiceItem, ...]
    taxes: tuple[InvoiceTax, ...] = ()
    tax_rates: tuple[UUID, ...] = ()
    counted: tuple[tuple[UUID, Decimal], ...] = ()


def invoice_id(organization_id: str, month: BillingMonth, revision: int = 0) -> UUID:
    """Return the one identity this invoice can have: billing a month again can't make a second invoice."""
    return uuid5(INVOICES, f"{organization_id}|{month}|{revision}")


def invoice_number(organization_id: str, number: int) -> str:
    """Write an invoice's number for people: `ACME-0007`."""
    return f"{organization_id.upper()}-{number:04d}"


def assemble_invoice(account: InvoiceInputs) -> Invoice:
    """Assemble the invoice. Same input, same invoice, to the item's id.

    Raises BillingError (`unpriced_usage`, `ambiguous_price`, `price_changed_inside_rollup`,
    `unpriced_subscription`, `currency_mismatch`, `mixed_taxes`, `amount_too_large`).
    """
    draft = InvoiceInProgress(account, invoice_id(account.organization_id, account.month, account.revision))
    for step in STEPS:
        step(draft)
    items = _rounded(sorted(draft.items, key=line_order), account.currency)
    amount = exact_sum([item.amount for item in items])
    _refuse_too_much(account, items, amount)
    return Invoice(
        id=draft.id,
        organization_id=account.organization_id,
        month=account.month,
        revision=account.revision,
        currency=account.currency,
        amount=amount,
        total_cents=to_cents(amount, account.currency),
        items=tuple(items),
        taxes=tuple(draft.taxes),
        tax_rates=tuple(rate.id for rate in account.taxes),
        counted=tuple(sorted(draft.counted.items())),
    )


def assemble_charges(account: InvoiceInputs) -> InvoiceInProgress:
    """Assemble what was charged, before adjustments, drawn credits and taxes; with what fees return to credits.

    Raises BillingError as `assemble_invoice`.
    """
    draft = InvoiceInProgress(account, invoice_id(account.organization_id, account.month, account.revision))
    for step in (*CHARGING_STEPS, return_credits, return_after_tax):
        step(draft)
    return draft


def _refuse_too_much(account: InvoiceInputs, items: list[InvoiceItem], amount: Decimal) -> None:
    """Refuse an amount that nobody can mean, and that neither our records nor Stripe's could hold."""
    for what, found in [(f"item {one.description!r}", one.amount) for one in items] + [("the total", amount)]:
        if not abs(found) < MOST_MONEY:
            raise not_computable(
                "amount_too_large",
                f"{what} of {account.organization_id} {account.month} comes to {found:.6e} {account.currency},"
                f" which is not below {MOST_MONEY:,}: look at its quantity and price, then bill the month again",
            )


def _rounded(items: list[InvoiceItem], currency: str) -> list[InvoiceItem]:
    """Share the cents of the total out over the items. A tax is whole cents already, and gets just those."""
    cents = share_out_cents([item.amount for item in items], currency)
    return [item.billed_at(share) for item, share in zip(items, cents, strict=True)]
