"""Finds the open invoices that need not be calculated again, because they were calculated from the same inputs.

Not here: the inputs of an invoice (`inputs_reader`), and their fingerprint (`invoicing.rules.fingerprint`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from hashlib import blake2b
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection

import fly_billing
from fly_billing.invoicing.rules.fingerprint import BYTES
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


@cache
def rules_version() -> str:
    """Return a hash of this package's code, so that a new version calculates every open invoice again."""
    package = Path(fly_billing.__file__).parent
    code = blake2b(digest_size=BYTES)
    for file in sorted(file for ending in ("py", "sql") for file in package.rglob(f"*.{ending}")):
        code.update(f"{file.relative_to(package)}\n".encode())
        code.update(file.read_bytes())
    return code.hexdigest()
