"""Makes the items of an invoice's terms: discounts, commitments, credits and taxes. Not here: their rules."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import plain


def term_item(
    invoice: InvoiceInProgress,
    kind: str,
    term_id: UUID,
    product: str,
    description: str,
    amount: Decimal,
    detail: Mapping[str, Any],
) -> InvoiceItem:
    """Make the one item that a term can have on an invoice. It belongs to the payer, even for items of others."""
    return InvoiceItem(
        id=invoice.item_id(f"{kind}|{term_id}"),
        kind=kind,
        organization_id=invoice.inputs.organization_id,
        product=product,
        description=description,
        quantity=Decimal(1),
        unit="item",
        amount=amount,
        detail=detail,
    )


def listed(invoice: InvoiceInProgress, parts: Mapping[UUID, Decimal]) -> list[dict[str, str]]:
    """List the items of a term, each with its part: JSON-ready, with amounts as text so that they stay exact."""
    items = {item.id: item for item in invoice.items}
    return [
        {
            "item": str(item_id),
            "product": items[item_id].product,
            "description": items[item_id].description,
            "amount": plain(part),
        }
        for item_id, part in parts.items()
    ]
