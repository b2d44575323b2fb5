"""An invoice's lines, and which of them a discount, a commitment or a credit is about. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.scope import KINDS


@dataclass(frozen=True)
class InvoiceItem:
    """One line of an invoice with all that is needed to work it out again by hand.

    `organization_id`: whose line it is, where several organizations share a payer. `amount` is exact, in the currency's
    major unit; `amount_cents` its share of the rounded total. `meter` and `match` are those of its price.
    `price_id` is the version of the list price, `negotiated_price_id` what held in its place.
    `[period_start, period_end)` is the time that a subscription's fee is for, and a part of the whole interval
    `[interval_start, interval_end)`.
    """

    id: UUID
    kind: str
    organization_id: str
    product: str
    description: str
    quantity: Decimal
    unit: str
    amount: Decimal
    amount_cents: int = 0
    price_id: UUID | None = None
    negotiated_price_id: UUID | None = None
    price_key: str | None = None
    meter: str | None = None
    match: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    subscription_id: UUID | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None
    interval_start: datetime | None = None
    interval_end: datetime | None = None
    one_off_item_id: UUID | None = None
    adjustment_id: UUID | None = None
    discount_id: UUID | None = None
    commitment_id: UUID | None = None
    credit_grant_id: UUID | None = None
    tax_rate_id: UUID | None = None
    rollup_ids: tuple[UUID, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)

    def billed_at(self, cents: int) -> InvoiceItem:
        """Return the item with its share of the rounded total."""
        billed = object.__new__(InvoiceItem)
        # As `dataclasses.replace`, for a sixth of its time: every item of every month comes by here.
        billed.__dict__.update(self.__dict__, amount_cents=cents)
        return billed


def line_order(item: InvoiceItem) -> tuple[int, str, str, str, str, str, str, str]:
    """Return the item's place among those of its invoice: the one order in which items are listed, filled and paid.

    By kind, product, text and organization; then the versions of a price and the times of a fee, the earlier first.
    Amounts off, maximums and credits fill the items in this order, from the top of the invoice down. What decides is on
    the item itself, so an invoice that is final and calculated again has the order that it was billed in.
    """
    source = item.subscription_id or item.one_off_item_id or item.adjustment_id or item.price_id
    return (
        KINDS.index(item.kind),
        item.product,
        item.description,
        item.organization_id,
        item.detail.get("price_effective_from", "") if item.kind == "usage" else "",
        item.period_start.isoformat() if item.period_start else "",
        str(source or ""),
        str(item.id),
    )


def is_ahead(item: InvoiceItem, month: BillingMonth) -> bool:
    """Return True if the item is a fee whose interval is not over when the month is: a later invoice settles it."""
    return item.interval_end is not None and item.interval_end > month.end
