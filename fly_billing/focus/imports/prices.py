"""Builds a price book from the list prices in a FOCUS file.

There is one meter per pricing unit, and one price per SKU price, unit, list price and currency. A file does not say
since when a price applies. So every price is valid from PRICED_FROM, and a changed list price becomes a second price.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from fly_billing.focus.imports.rows import FocusRow
from fly_billing.money import plain
from fly_billing.pricing.price_books import PriceBookFiles
from fly_billing.pricing.rules.meters import Meter
from fly_billing.pricing.rules.models import PerUnit
from fly_billing.pricing.rules.prices import Price

BOOK = "focus"
PRICED_FROM = datetime(2000, 1, 1, tzinfo=UTC)
DIMENSIONS = ("sku_price_id", "list_unit_price", "currency", "service", "region")


def meter_key(unit: str) -> str:
    return f"focus:{unit}"


def price_book_of(usage: Sequence[FocusRow], known: Collection[UUID]) -> PriceBookFiles:
    """Return the meters of these charges, and their prices that are not `known` yet. Known prices do not change."""
    units = sorted({row.unit or "" for row in usage})
    meters = [Meter(meter_key(unit), f"{unit} (FOCUS)", unit, dimensions=DIMENSIONS) for unit in units]
    same_price: dict[UUID, list[FocusRow]] = {}
    for row in usage:
        same_price.setdefault(_price(row, row.service).id, []).append(row)
    prices = [_price(rows[0], _product(rows)) for identity, rows in same_price.items() if identity not in known]
    return PriceBookFiles(BOOK, meters, prices)


def _product(rows: Sequence[FocusRow]) -> str:
    """Return the product of a price: its service, or the provider if several services share it (data transfer)."""
    return rows[0].service if len({row.service for row in rows}) == 1 else rows[0].provider


def _price(row: FocusRow, product: str) -> Price:
    unit, amount = row.unit or "", row.list_unit_price or Decimal(0)
    return Price(
        book=BOOK,
        key="|".join((row.sku, unit, plain(amount), row.currency)),
        meter=meter_key(unit),
        product=product,
        description=row.description,
        unit=unit,
        currency=row.currency,
        model=PerUnit(amount),
        effective_from=PRICED_FROM,
        match={"sku_price_id": (row.sku,), "list_unit_price": (plain(amount),), "currency": (row.currency,)},
    )
