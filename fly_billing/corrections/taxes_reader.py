"""Reads how the items and adjustments of final invoices were taxed, for invoices whose items have different rates.

Not here: the rules (`corrections.rules.taxes`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.corrections.rules.differences import Difference
from fly_billing.corrections.rules.taxes import Split, splits_of, splits_of_credits, taxed_differences
from fly_billing.invoicing.rules.inputs import InvoiceInputs
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import EXACT
from fly_billing.postgres.database import records, rows
from fly_billing.pricing.rules.fields import read_match
from fly_billing.pricing.rules.tax_rates import TaxRate


@dataclass(frozen=True, slots=True)
class TaxedAdjustment:
    """An adjustment of a final invoice.

    Attributes:
        item_key: The key of its charge.
        taxed: The parts of its amount that have different rates, as JSON; None if it has none.
    """

    invoice_id: UUID
    item_key: str
    taxed: Sequence[Mapping[str, Any]] | None


@dataclass(frozen=True)
class BilledTaxes:
    """The taxes of final invoices.

    Attributes:
        matches: By item, the dimension values that its price is limited to.
        adjusted: By invoice, its taxed adjustments.
    """

    matches: Mapping[UUID, Mapping[str, tuple[str, ...]]]
    adjusted: Mapping[UUID, Sequence[TaxedAdjustment]]

    def taxed(
        self,
        invoice: UUID,
        inputs: InvoiceInputs,
        found: Sequence[Difference],
        billed: Sequence[InvoiceItem],
        now: Sequence[InvoiceItem],
        *,
        is_adjusted: bool = True,
    ) -> dict[str, Split]:
        """Return how much of each difference is taxed at which rates; empty if all items have the same rates.

        Args:
            billed: The items to compare with.
            is_adjusted: Earlier adjustments were billed too. False if `billed` is a calculation, not an invoice.
        """
        if not inputs.is_taxed_by_item or not found:
            return {}
        before, after = self._complete(billed), self._complete(now)
        charged = [difference for difference in found if difference.charge.credit_grant_id is None]
        returned = [difference for difference in found if difference.charge.credit_grant_id is not None]
        adjusted = self._adjusted(invoice, inputs) if is_adjusted else {}
        return taxed_differences(
            charged, splits_of(before, inputs), adjusted, splits_of(after, inputs)
        ) | splits_of_credits(returned, before, adjusted, after, inputs)

    def _complete(self, items: Sequence[InvoiceItem]) -> list[InvoiceItem]:
        return [replace(item, match=self.matches[item.id]) if item.id in self.matches else item for item in items]

    def _adjusted(self, invoice: UUID, inputs: InvoiceInputs) -> dict[str, Split]:
        known = (inputs.taxes, *inputs.earlier_taxes.values())
        rates: dict[UUID, TaxRate] = {rate.id: rate for some in known for rate in some}
        splits: dict[str, Split] = defaultdict(dict)
        for adjustment in self.adjusted.get(invoice, ()):
            split = splits[adjustment.item_key]
            for part in adjustment.taxed or ():
                own = tuple(rates[UUID(rate)] for rate in part["rates"])
                split[own] = EXACT.add(split.get(own, Decimal(0)), Decimal(part["amount"]))
        return splits


def read_billed_taxes(connection: Connection, invoices: Sequence[UUID]) -> BilledTaxes:
    """Read the taxes of these invoices. The caller names only invoices whose items have different rates."""
    if not invoices:
        return BilledTaxes({}, {})
    matches = {row["id"]: read_match(row) for row in rows(connection, "matches_of_items", invoices=list(invoices))}
    adjusted: dict[UUID, list[TaxedAdjustment]] = defaultdict(list)
    for adjustment in records(connection, TaxedAdjustment, "taxed_adjustments", invoices=list(invoices)):
        adjusted[adjustment.invoice_id].append(adjustment)
    return BilledTaxes(matches, adjusted)
