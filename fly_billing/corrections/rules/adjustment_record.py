"""The record of an adjustment: the items as they were billed, and as they are owed now.

An invoice keeps its own items, but nothing else keeps the recalculation. So the adjustment stores both in its detail,
and a person can check them. Not here: showing the calculation (`statements.rules.adjustment_sums`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import plain

NAMELESS = UUID(int=0)


@dataclass(frozen=True)
class AdjustmentRecord:
    """The record of an adjustment.

    Attributes:
        billed, owed: Exact totals.
        before: The sum of earlier adjustments.
        billed_items, owed_items: The items of the totals; None if the adjustment stored none.
        undecided: The part of the difference that comes from changed terms, on which nobody had decided yet.
    """

    causes: tuple[str, ...]
    billed: Decimal
    before: Decimal
    owed: Decimal
    billed_items: tuple[InvoiceItem, ...] | None = None
    owed_items: tuple[InvoiceItem, ...] | None = None
    undecided: Decimal = Decimal(0)


def item_record(item: InvoiceItem) -> dict[str, Any]:
    """Return an item in the form that an adjustment stores: JSON-ready, exact numbers as text."""
    return {
        "kind": item.kind,
        "organization_id": item.organization_id,
        "product": item.product,
        "description": item.description,
        "quantity": plain(item.quantity),
        "unit": item.unit,
        "amount": plain(item.amount),
        "detail": dict(item.detail),
    }


def read_adjustment_record(causes: Sequence[str], detail: Mapping[str, Any]) -> AdjustmentRecord | None:
    """Read the record of an adjustment. Return None for an adjustment booked before records were stored."""
    if not {"billed", "adjusted_before", "owed"} <= detail.keys():
        return None
    items = detail.get("calculations")
    return AdjustmentRecord(
        causes=tuple(causes),
        billed=Decimal(detail["billed"]),
        before=Decimal(detail["adjusted_before"]),
        owed=Decimal(detail["owed"]),
        billed_items=None if items is None else tuple(map(_item, items["billed"])),
        owed_items=None if items is None else tuple(map(_item, items["owed"])),
        undecided=Decimal(detail.get("waits", 0)),
    )


def _item(record: Mapping[str, Any]) -> InvoiceItem:
    numbers = {name: Decimal(record[name]) for name in ("quantity", "amount")}
    return InvoiceItem(id=NAMELESS, **{**record, **numbers})
