"""One-off items, and adjustments of earlier months. Each is charged unchanged, on one invoice."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fly_billing.invoicing.rules.inputs import Adjustment, OneOffItem
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.steps.currencies import same_currency
from fly_billing.pricing.rules.models.step import PriceStep


def charge_one_offs(invoice: InvoiceInProgress) -> None:
    """Add an item for each one-off item. Raises BillingError `currency_mismatch`."""
    for member in invoice.inputs.members:
        for one_off in member.one_offs:
            same_currency(one_off.currency, invoice.inputs.currency, f"one-off item {one_off.id}")
            invoice.charge(
                InvoiceItem(
                    id=invoice.item_id(f"one_off|{one_off.id}", member.organization_id),
                    kind="one_off",
                    organization_id=member.organization_id,
                    product=one_off.product,
                    description=one_off.description,
                    quantity=one_off.quantity,
                    unit=one_off.unit,
                    amount=one_off.amount,
                    one_off_item_id=one_off.id,
                    period_start=one_off.period_start,
                    period_end=one_off.period_end,
                    detail=_steps(one_off),
                )
            )


def _steps(one_off: OneOffItem) -> dict[str, Any]:
    """Return quantity x unit amount as the step of a price; empty if the amount has no unit amount."""
    if one_off.unit_amount is None:
        return {}
    quantity = one_off.quantity
    return {"steps": [PriceStep("all", quantity, one_off.unit_amount, Decimal(1), one_off.amount, quantity).as_data()]}


def charge_adjustments(invoice: InvoiceInProgress) -> None:
    """Charge corrections of earlier months to the payer of those months, on those months' terms.

    Refunds to credits that pay after tax are charged in `after_tax`. Raises as `charge_adjustment`.
    """
    for member in invoice.inputs.members:
        for adjustment in member.adjustments:
            if not adjustment.is_after_tax:
                charge_adjustment(invoice, adjustment, member.organization_id)


def charge_adjustment(invoice: InvoiceInProgress, adjustment: Adjustment, payer_id: str) -> None:
    """Charge one adjustment. If its organization is no longer on the invoice, the payer's line names it.

    Raises BillingError `currency_mismatch`.
    """
    same_currency(
        adjustment.currency,
        invoice.inputs.currency,
        f"adjustment {adjustment.id}",
        f"bill this month in {adjustment.currency}",
    )
    about = adjustment.about or payer_id
    is_here = about in {member.organization_id for member in invoice.inputs.members}
    organization_id = about if is_here else payer_id
    item = InvoiceItem(
        id=invoice.item_id(f"adjustment|{adjustment.id}", organization_id),
        kind="adjustment",
        organization_id=organization_id,
        product=adjustment.product,
        description=adjustment.description if is_here else f"{about}: {adjustment.description}",
        quantity=Decimal(1),
        unit="item",
        amount=adjustment.amount,
        adjustment_id=adjustment.id,
        detail={"month": str(adjustment.month), "causes": list(adjustment.causes)},
    )
    invoice.charge(item, adjustment.taxes)
    if adjustment.taxed:
        invoice.tax_parts[item.id] = adjustment.taxed
