"""Reads what final invoices charged, and recalculates one of them from the current records.

Not here: comparing the two (`recalculation`), how an invoice is calculated (`invoicing.rules.assembly`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.corrections.rules.differences import Charge, charges_of, recalculate
from fly_billing.corrections.taxes_reader import BilledTaxes
from fly_billing.invoicing.inputs_reader import BillingRecords, inputs_of
from fly_billing.invoicing.payers import Payer, refuse_damaged_usage
from fly_billing.invoicing.rules.inputs import InvoiceInputs
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.usage_reader import UsageToBill
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import records, rows
from fly_billing.pricing.negotiated_prices import PriceBooks


@dataclass(frozen=True)
class BilledInvoices:
    """The charges of final invoices.

    Attributes:
        ids: The invoice of each payer.
        items: The items of each invoice.
        adjusted: By invoice and charge key, the sum of its adjustments.
    """

    ids: Mapping[str, UUID]
    items: Mapping[UUID, Sequence[InvoiceItem]]
    adjusted: Mapping[UUID, Mapping[str, Charge]]


@dataclass(frozen=True, slots=True)
class _BookedAdjustments:
    """The sum of an invoice's adjustments of one charge. The fields after `invoice_id` are those of `Charge`."""

    invoice_id: UUID
    key: str
    kind: str
    organization_id: str
    product: str
    description: str
    amount: Decimal
    quantity: Decimal
    has_quantity: bool
    unit: str
    meter: str | None

    @property
    def charge(self) -> Charge:
        return Charge(
            self.key, self.kind, self.organization_id, self.product, self.description, self.amount, self.quantity,
            self.unit, self.meter, has_quantity=self.has_quantity,
        )  # fmt: skip


def read_billed_invoices(connection: Connection, month: BillingMonth, payers: Sequence[Payer]) -> BilledInvoices:
    """Read the final invoices of these payers in the month. Payers without one are not in the result."""
    names = [payer.organization_id for payer in payers]
    ids: dict[str, UUID] = {}
    items: dict[UUID, list[InvoiceItem]] = defaultdict(list)
    for row in rows(connection, "billed_items", month=month.first_day, organizations=names):
        item = dict(row)
        payer_id, invoice_id = item.pop("payer_id"), item.pop("invoice_id")
        ids[payer_id] = invoice_id
        if item["id"] is not None:
            items[invoice_id].append(InvoiceItem(**item))
    adjusted: dict[UUID, dict[str, Charge]] = defaultdict(dict)
    for sums in records(connection, _BookedAdjustments, "booked_adjustments", invoices=list(ids.values())):
        adjusted[sums.invoice_id][sums.key] = sums.charge
    return BilledInvoices(ids, items, adjusted)


@dataclass(frozen=True)
class FinalInvoice:
    """A final invoice and the current records that it is recalculated from.

    Attributes:
        adjusted: By charge key, the sum of its adjustments.
        is_paid_by_credit: Credits paid part of the invoice or of its adjustments.
    """

    payer: Payer
    month: BillingMonth
    records: BillingRecords
    books: PriceBooks
    invoice_id: UUID
    items: Sequence[InvoiceItem]
    adjusted: Mapping[str, Charge]
    taxes: BilledTaxes
    is_paid_by_credit: bool

    @property
    def charges(self) -> dict[str, Charge]:
        """The charges of the invoice itself, by key, without its adjustments."""
        return charges_of(self.items, self.month)

    def recalculated(self, usage: UsageToBill | None = None) -> InvoiceInProgress:
        """Return the invoice as calculated from the current records.

        Args:
            usage: Replaces the current usage.

        Raises:
            BillingError: The invoice can't be calculated.
        """
        return recalculate(self._inputs(usage), self.items)

    def _inputs(self, usage: UsageToBill | None) -> InvoiceInputs:
        for member in self.payer.members:
            refuse_damaged_usage(member)
        current = self.records
        if usage:
            current = replace(current, rollups=usage.rollups, unreadable={**current.unreadable, **usage.unreadable})
        return inputs_of(self.payer, self.month, current, self.books)
