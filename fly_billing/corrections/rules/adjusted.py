"""The two calculations that an adjustment keeps: the items as they were billed, and as they are owed now.

An invoice keeps its items for good, but nothing else keeps the new calculation. The adjustment stores both in the form
of an item's own detail, so that a person can redo them. Keeps out: how a calculation is shown (`explanation`).
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
class Adjusted:
    """An adjustment's record. `billed` and `owed` are exact totals, `before` the sum of earlier adjustments.

    `waits`: the part that comes from changed terms of the month, on which nobody had decided yet.
    `billed_items` and `owed_items` are the items that they add up; None in an adjustment that kept none.
    """

    causes: tuple[str, ...]
    billed: Decimal
    before: Decimal
    owed: Decimal
    billed_items: tuple[InvoiceItem, ...] | None = None
    owed_items: tuple[InvoiceItem, ...] | None = None
    waits: Decimal = Decimal(0)


def kept_item(item: InvoiceItem) -> dict[str, Any]:
    """Return, JSON-ready, what an adjustment keeps of an item of either calculation; exact numbers are text."""
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


def read_adjusted(causes: Sequence[str], detail: Mapping[str, Any]) -> Adjusted | None:
    """Read the record of an adjustment; None where there is none: it was booked before such records were kept."""
    if not {"billed", "adjusted_before", "owed"} <= detail.keys():
        return None
    kept = detail.get("calculations")
    return Adjusted(
        causes=tuple(causes),
        billed=Decimal(detail["billed"]),
        before=Decimal(detail["adjusted_before"]),
        owed=Decimal(detail["owed"]),
        billed_items=None if kept is None else tuple(map(_item, kept["billed"])),
        owed_items=None if kept is None else tuple(map(_item, kept["owed"])),
        waits=Decimal(detail.get("waits", 0)),
    )


def _item(kept: Mapping[str, Any]) -> InvoiceItem:
    numbers = {name: Decimal(kept[name]) for name in ("quantity", "amount")}
    return InvoiceItem(id=NAMELESS, **{**kept, **numbers})
