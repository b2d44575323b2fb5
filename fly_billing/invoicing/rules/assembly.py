"""Assembles an invoice: turns usage, recurring fees, one-off items and terms into items that add up to the cent.

Not here: reading the inputs, and when an invoice may be finalized.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import NAMESPACE_URL, UUID, uuid5

from fly_billing.bounds import MOST_MONEY
from fly_billing.errors import not_computable
from fly_billing.invoicing.rules.inputs import InvoiceInputs
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress, InvoiceTax
from fly_billing.invoicing.rules.items import InvoiceItem, line_order
from fly_billing.invoicing.rules.steps.after_tax import return_after_tax, settle_after_tax
from fly_billing.invoicing.rules.steps.commitments import apply_commitments
from fly_billing.invoicing.rules.steps.credits import draw_credits, return_credits
from fly_billing.invoicing.rules.steps.discounts import take_discounts
from fly_billing.invoicing.rules.steps.one_offs import charge_adjustments, charge_one_offs
from fly_billing.invoicing.rules.steps.rounding import round_to_chargeable
from fly_billing.invoicing.rules.steps.subscriptions import charge_subscriptions
from fly_billing.invoicing.rules.steps.taxes import add_taxes
from fly_billing.invoicing.rules.steps.usage import charge_usage, charge_usage_by_rules
from fly_billing.money import exact_sum, share_out_cents, to_cents
from fly_billing.monthly_ids import monthly_id
from fly_billing.periods import BillingMonth

INVOICES = uuid5(NAMESPACE_URL, "fly_billing/invoices")

# The steps that make an invoice, in this order. Each step's module explains its rules.
STEPS: tuple[Callable[[InvoiceInProgress], None], ...] = (
    charge_usage,  # allowance -> price model -> minimum and maximum of the price
    charge_subscriptions,  # recurring fees, prorated
    charge_one_offs,  # unchanged
    take_discounts,  # before minimums top up and credits pay
    apply_commitments,  # minimums and maximums, after discounts
    charge_adjustments,  # corrections of earlier months, whose discounts and commitments they already include
    return_credits,  # refunds to credits that had paid for fees given back
    draw_credits,  # credits that pay before tax
    add_taxes,  # on the rest, rounded to the cent
    settle_after_tax,  # credits that pay after tax
    round_to_chargeable,  # in currencies of three decimals, where Stripe can't charge every total
)  # then `_rounded` rounds the sum, once

# Most usage is charged from prepared prices. These steps prepare nothing, so that both ways can be compared.
STEPS_BY_RULES = tuple(charge_usage_by_rules if step is charge_usage else step for step in STEPS)

# A correction compares what these steps charged (`corrections.rules.differences`).
CHARGING_STEPS = STEPS[: STEPS.index(charge_adjustments)]


@dataclass(frozen=True)
class Invoice:
    """One payer's invoice for one month and revision.

    Attributes:
        amount: The exact sum of its items, in the currency's major unit.
        total_cents: The amount, rounded once, in the currency's minor unit.
        tax_rates: The rates in force for it, including those that taxed nothing.
        counted: By commitment: its id, and the part of the invoice that counts towards it.
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


def invoice_id(organization_id: str, month: BillingMonth, revision: int = 0, *, has_random_ids: bool = False) -> UUID:
    """Return the invoice's id. It is always the same, so billing a month again can't make a second invoice.

    Args:
        has_random_ids: As `InvoiceInputs.has_random_ids`.
    """
    name = f"{organization_id}|{month}|{revision}"
    return uuid5(INVOICES, name) if has_random_ids else monthly_id(month, INVOICES, name)


def assemble_invoice(inputs: InvoiceInputs) -> Invoice:
    """Assemble the invoice. The same inputs always make the same invoice, with the same ids.

    Raises:
        BillingError: `unpriced_usage`, `ambiguous_price`, `price_changed_inside_rollup`, `unpriced_subscription`,
            `currency_mismatch`, `mixed_taxes`, `amount_too_large`, or another code of a step.
    """
    return _assembled(inputs, STEPS)


def assemble_by_rules(inputs: InvoiceInputs) -> Invoice:
    """Assemble the same invoice without prepared prices. It takes three times as long. Raises as `assemble_invoice`."""
    return _assembled(inputs, STEPS_BY_RULES)


def _assembled(inputs: InvoiceInputs, steps: Sequence[Callable[[InvoiceInProgress], None]]) -> Invoice:
    invoice = InvoiceInProgress(inputs, _id_of(inputs))
    for step in steps:
        step(invoice)
    items = _rounded(sorted(invoice.items, key=line_order), inputs.currency)
    amount = exact_sum([item.amount for item in items])
    _refuse_too_much(inputs, items, amount)
    return Invoice(
        id=invoice.id,
        organization_id=inputs.organization_id,
        month=inputs.month,
        revision=inputs.revision,
        currency=inputs.currency,
        amount=amount,
        total_cents=to_cents(amount, inputs.currency),
        items=tuple(items),
        taxes=tuple(invoice.taxes),
        tax_rates=tuple(rate.id for rate in inputs.taxes),
        counted=tuple(sorted(invoice.counted.items())),
    )


def assemble_charges(inputs: InvoiceInputs) -> InvoiceInProgress:
    """Assemble the charges only: no adjustments, drawn credits or taxes. Refunds of fees to credits are included.

    Raises BillingError, as `assemble_invoice` does.
    """
    invoice = InvoiceInProgress(inputs, _id_of(inputs))
    for step in (*CHARGING_STEPS, return_credits, return_after_tax):
        step(invoice)
    return invoice


def _id_of(inputs: InvoiceInputs) -> UUID:
    return invoice_id(inputs.organization_id, inputs.month, inputs.revision, has_random_ids=inputs.has_random_ids)


def _refuse_too_much(inputs: InvoiceInputs, items: list[InvoiceItem], amount: Decimal) -> None:
    """Refuse an amount that must be an error, and that neither our records nor Stripe's can store."""
    for item, found in [*((item, item.amount) for item in items), (None, amount)]:
        if not abs(found) < MOST_MONEY:
            what = _named(item) if item else "the total"
            raise not_computable(
                "amount_too_large",
                f"{what} of {inputs.organization_id} {inputs.month} is {found:.6e} {inputs.currency}, which is not"
                f" below {MOST_MONEY:,}: check its quantity and price, then bill the month again",
            )


def _named(item: InvoiceItem) -> str:
    return f"item {item.description!r}" + (f" (price {item.price_key!r})" if item.price_key else "")


def _rounded(items: list[InvoiceItem], currency: str) -> list[InvoiceItem]:
    """Share the cents of the total out over the items. A tax is already in whole cents and keeps them."""
    cents = share_out_cents([item.amount for item in items], currency)
    return [item.billed_at(share) for item, share in zip(items, cents, strict=True)]
