"""Finds the open invoices that need not be calculated again, because they were calculated from the same inputs.

Not here: the inputs of an invoice (`inputs_reader`), and their fingerprint (`invoicing.rules.fingerprint`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import records


@dataclass(frozen=True)
class OpenInvoice:
    """An open invoice as it was last calculated.

    Attributes:
        inputs_fingerprint: Of the inputs that it was calculated from; None: unknown.
        amount: Exact, in the currency's major unit.
        total_cents: Rounded, in the currency's minor unit.
        items: The number of its items.
    """

    id: UUID
    organization_id: str
    revision: int
    currency: str
    amount: Decimal
    total_cents: int
    inputs_fingerprint: str | None
    items: int


def read_open_invoices(connection: Connection, month: BillingMonth, groups: Sequence[str]) -> Mapping[str, OpenInvoice]:
    """Read the open invoices of these billing groups, by payer."""
    found = records(connection, OpenInvoice, "open_invoices", month=month.first_day, groups=list(groups))
    return {invoice.organization_id: invoice for invoice in found}
