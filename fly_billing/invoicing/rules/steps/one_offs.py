"""One-off items, and adjustments of earlier months. Each is charged unchanged, on one invoice."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fly_billing.invoicing.rules.draft import InvoiceInProgress
from fly_billing.invoicing.rules.inputs import Adjustment, OneOffItem
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.steps.currencies import same_currency
from fly_billing.pricing.rules.models.step import PriceStep


def charge_one_offs(draft: InvoiceInProgress) -> None:
    """Add an item for each one-off item. Raises BillingError `currency_mismatch`."""
    for member in draft.account.members:
        for one in member.one_offs:
            same_currency(one.currency, draft.account.currency, f"one-off item {one.id}")
            draft.charge(
                InvoiceItem(
                    id=draft.item_id(f"one_off|{one.id}", member.organization_id),
                    kind="one_off",
                    organization_id=member.organization_id,
                    product=one.product,
                    description=one.description,
                    quantity=one.quantity,
                    unit=one.unit,
                    amount=one.amount,
                    one_off_item_id=one.id,
                    detail=_steps(one),
                )
            )


def _steps(one: OneOffItem) -> dict[str, Any]:
    """Return quantity x unit amount as the step of a price; empty if the amount has no unit amount."""
    if one.unit_amount is None:
        return {}
    return {"steps": [PriceStep("all", one.quantity, one.unit_amount, Decimal(1), one.amount, one.quantity).as_data()]}


def charge_adjustments(draft: InvoiceInProgress) -> None:
    """Charge corrections of earlier months to the payer of those months, on those months' terms.

    Refunds to credits that pay after tax are charged in `after_tax`. Raises as `charge_adjustment`.
    """
    for member in draft.account.members:
        for one in member.adjustments:
            if not one.is_after_tax:
                charge_adjustment(draft, one, member.organization_id)


def charge_adjustment(draft: InvoiceInProgress, one: Adjustment, payer_id: str) -> None:
    """Charge one adjustment. If its organization is no longer on the invoice, the payer's line names it.

    Raises BillingError `currency_mismatch`.
    """
    same_currency(one.currency, draft.account.currency, f"adjustment {one.id}", f"bill this month in {one.currency}")
    about = one.about or payer_id
    is_here = about in {member.organization_id for member in draft.account.members}
    item = InvoiceItem(
        id=draft.item_id(f"adjustment|{one.id}", about if is_here else payer_id),
        kind="adjustment",
        organization_id=about if is_here else payer_id,
        product=one.product,
        description=one.description if is_here else f"{about}: {one.description}",
        quantity=Decimal(1),
        unit="item",
        amount=one.amount,
        adjustment_id=one.id,
        detail={"month": str(one.month), "causes": list(one.causes)},
    )
    draft.charge(item, one.taxes)
    if one.taxed:
        draft.tax_parts[item.id] = one.taxed
