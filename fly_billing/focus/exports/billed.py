"""What of an invoice goes into a FOCUS file, as plain values. Keeps out: where it is read from, and the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from fly_billing.periods import BillingMonth


@dataclass(frozen=True)
class BilledItem:
    """One item of a final invoice. `amount` is exact, `amount_cents` its share of the invoice's rounded total.

    `[period_start, period_end)` is the time that it is for. `dimensions` are those that all of its usage shares,
    `match` those of its price; `detail` is as `invoicing.rules.steps` writes it. `is_prepaid`: a reservation, whose
    credits pay for usage of its months.
    """

    id: UUID
    kind: str
    organization_id: str
    organization_name: str
    product: str
    description: str
    quantity: Decimal
    unit: str
    amount: Decimal
    amount_cents: int
    period_start: datetime
    period_end: datetime
    price_key: str | None = None
    meter_name: str | None = None
    match: Mapping[str, Sequence[str]] = field(default_factory=dict)
    dimensions: Mapping[str, str] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)
    is_prepaid: bool = False


@dataclass(frozen=True)
class ExportedInvoice:
    """A final invoice of one payer and month; `number` is the one that people know it by."""

    number: str
    organization_id: str
    organization_name: str
    month: BillingMonth
    currency: str
    total_cents: int
    items: Sequence[BilledItem]
