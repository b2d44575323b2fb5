"""The invoices and items that a FOCUS file is made from. `exporter` reads them, `rows` turns them into rows."""

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
    """One item of a final invoice.

    Attributes:
        organization_id: The organization that was charged. It differs from the payer's in a linked billing group.
        amount: Exact, in the currency's major unit.
        amount_cents: The item's share of the invoice's rounded total, in minor units.
        period_start, period_end: The half-open period that the item is for.
        match: The dimensions that its price matches.
        dimensions: The dimensions that have the same value in all of its usage.
        detail: The calculation, as `invoicing.rules.steps` writes it.
        is_prepaid: True for a reservation, whose credits pay for usage of its months.
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
    """A final invoice of one payer and month. `number` is the invoice number that customers see."""

    number: str
    organization_id: str
    organization_name: str
    month: BillingMonth
    currency: str
    total_cents: int
    items: Sequence[BilledItem]
