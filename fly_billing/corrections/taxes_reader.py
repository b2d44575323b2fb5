"""Reads what corrections need to know of taxes by item: of final invoices what their items were taxed by, and what
earlier adjustments were. Keeps out: the rules (`corrections.rules.taxes`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.corrections.rules.differences import Difference
from fly_billing.corrections.rules.taxes import Split, splits_of, splits_of_credits, taxed_differences
from fly_billing.invoicing.rules.inputs import InvoiceInputs
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import EXACT
from fly_billing.postgres.database import Row, rows
from fly_billing.pricing.rules.fields import read_match
from fly_billing.pricing.rules.tax_rates import TaxRate


@dataclass(frozen=True)
class BilledTaxes:
    """Of final invoices: for what usage the price of an item is, by the item's id; and their adjustments' parts."""

    matches: Mapping[UUID, Mapping[str, tuple[str, ...]]]
    adjusted: Mapping[UUID, Sequence[Row]]

    def taxed(
        self,
        invoice: UUID,
        account: InvoiceInputs,
        found: Sequence[Difference],
        billed: Sequence[InvoiceItem],
        now: Sequence[InvoiceItem],
        *,
        is_adjusted: bool = True,
    ) -> dict[str, Split]:
        """Return how much of each difference is taxed at which rates; nothing where all is taxed alike.

        `is_adjusted`: earlier adjustments are part of what was billed; not so where `billed` is a calculation itself.
        """
        if not account.is_taxed_by_item or not found:
            return {}
        was, is_ = self._complete(billed), self._complete(now)
        charged = [one for one in found if one.charge.credit_grant_id is None]
        returned = [one for one in found if one.charge.credit_grant_id is not None]
        adjusted = self._adjusted(invoice, account) if is_adjusted else {}
        return taxed_differences(
            charged, splits_of(was, account), adjusted, splits_of(is_, account)
        ) | splits_of_credits(returned, was, adjusted, is_, account)

    def _complete(self, items: Sequence[InvoiceItem]) -> list[InvoiceItem]:
        return [replace(item, match=self.matches[item.id]) if item.id in self.matches else item for item in items]

    def _adjusted(self, invoice: UUID, account: InvoiceInputs) -> dict[str, Split]:
        known = (account.taxes, *account.earlier_taxes.values())
        rates: dict[UUID, TaxRate] = {rate.id: rate for some in known for rate in some}
        splits: dict[str, Split] = defaultdict(dict)
        for row in self.adjusted.get(invoice, ()):
            split = splits[row["item_key"]]
            for part in row["taxed"] or ():
                own = tuple(rates[UUID(one)] for one in part["rates"])
                split[own] = EXACT.add(split.get(own, Decimal(0)), Decimal(part["amount"]))
        return splits


def read_billed_taxes(connection: Connection, invoices: Sequence[UUID]) -> BilledTaxes:
    """Read this of the invoices whose items are taxed at different rates: the caller names only those."""
    matches = rows(connection, "matches_of_items", invoices=list(invoices)) if invoices else []
    adjusted: dict[UUID, list[Row]] = defaultdict(list)
    for row in rows(connection, "taxed_adjustments", invoices=list(invoices)) if invoices else ():
        adjusted[row["invoice_id"]].append(row)
    return BilledTaxes({row["id"]: read_match(row) for row in matches}, adjusted)
