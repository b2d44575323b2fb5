"""Makes the item of a price version from rated usage. Not here: rating (`steps.usage`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fly_billing.invoicing.rules.inputs import UsageRollup
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.steps.price_detail import negotiated_detail, price_detail
from fly_billing.money import plain
from fly_billing.pricing.rules.prices import Price
from fly_billing.pricing.rules.rating import Rated


def item_name(price: Price, again: str = "") -> str:
    """Return the name of which the item's id is made (`InvoiceInProgress.item_id`).

    Args:
        price: The price version.
        again: Distinguishes a version's parts, if it applies more than once in the month.
    """
    return f"price|{price.id}{again}"


def usage_item(
    id: UUID, organization_id: str, price: Price, rollups: Sequence[UsageRollup], rated: Rated, at_list: Rated | None
) -> InvoiceItem:
    """Make the item of one price version.

    Args:
        id: The id of the item.
        organization_id: The organization that used it.
        price: The price version.
        rollups: The usage that it prices.
        rated: The result of rating the usage.
        at_list: The result at the list price, if the price is negotiated.
    """
    return InvoiceItem(
        id=id,
        kind="usage",
        organization_id=organization_id,
        product=price.product,
        description=price.description,
        quantity=rated.quantity,
        unit=price.unit,
        amount=rated.amount,
        price_id=price.list_price.id,
        negotiated_price_id=price.negotiated.id if price.negotiated else None,
        price_key=price.key,
        meter=price.meter,
        match=price.match,
        rollup_ids=tuple(rollup.id for rollup in rollups),
        detail=_detail(price, rated, at_list),
    )


def _detail(price: Price, rated: Rated, at_list: Rated | None) -> dict[str, Any]:
    detail = price_detail(price, rated.steps)
    if rated.allowance_used:
        detail["free_allowance_used"] = plain(rated.allowance_used)
    if how := price.transform_quantity:
        detail["transformed"] = {"used": plain(rated.used), **how.to_data()}
    return detail | (negotiated_detail(price, at_list.steps, at_list.allowance_used) if at_list else {})
