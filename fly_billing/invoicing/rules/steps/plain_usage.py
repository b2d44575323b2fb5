"""Makes the items of plain prices (`pricing.rules.plain_prices`) from a prepared item, as the rules make them.

It declines whatever it does not know, and the rules make the item. A test compares both, and so does each billing run
for some invoices (`invoicing.control_sample`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Self
from uuid import UUID

from fly_billing.invoicing.rules.inputs import UsageRollup
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem, PreparedDetail
from fly_billing.invoicing.rules.steps.usage_items import item_name, usage_item
from fly_billing.money import exact_sum, plain
from fly_billing.pricing.rules.plain_prices import PlainPrice
from fly_billing.pricing.rules.prices import Price
from fly_billing.pricing.rules.rating import rate

_NOBODY, _NO_ID = "", UUID(int=0)
# They mark the places of the numbers in the JSON. Texts of a price have no control characters.
_QUANTITY, _AMOUNT = "\0quantity", "\0amount"


class PlainUsage:
    """Makes the items of one price version."""

    def __init__(self, price: Price, rates: PlainPrice) -> None:
        self._rates = rates
        self._name = item_name(price)
        self._of_one_unit = usage_item(_NO_ID, _NOBODY, price, (), rate(price, Decimal(1)), None)
        (self._step,) = self._of_one_unit.detail["steps"]
        text = json.dumps(self._detail(_QUANTITY, _AMOUNT))
        self._before, _, rest = text.partition(json.dumps(_QUANTITY))
        self._between, _, self._after = rest.partition(json.dumps(_AMOUNT))

    @classmethod
    def of(cls, price: Price) -> Self | None:
        """Prepare the items of a price; None if it is not plain."""
        rates = PlainPrice.of(price)
        return cls(price, rates) if rates else None

    def item(
        self, invoice: InvoiceInProgress, organization_id: str, rollups: Sequence[UsageRollup]
    ) -> InvoiceItem | None:
        """Return the item of this usage; None if the rules must decide about it."""
        quantity = exact_sum([rollup.quantity for rollup in rollups])
        amount = self._rates.amount_of(quantity)
        if amount is None:
            return None
        texts = plain(quantity), plain(amount)
        return self._of_one_unit.like(
            id=invoice.item_id(self._name, organization_id),
            organization_id=organization_id,
            quantity=quantity,
            amount=amount,
            rollup_ids=tuple([rollup.id for rollup in rollups]),
            detail=PreparedDetail(self._detail(*texts), self._json(*texts)),
        )

    def _detail(self, quantity: str, amount: str) -> dict[str, Any]:
        return {**self._of_one_unit.detail, "steps": [{**self._step, "quantity": quantity, "amount": amount}]}

    def _json(self, quantity: str, amount: str) -> str:
        """Return the detail as JSON. Numbers need no escapes."""
        return f'{self._before}"{quantity}"{self._between}"{amount}"{self._after}'
