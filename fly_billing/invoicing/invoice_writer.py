"""Writes calculated invoices with their items, taxes and the usage that they bill, and finalizes them.

Not here: calculating them (`invoicing.rules.assembly`), and which of them are written (`bill_run`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection

from fly_billing.invoicing.payers import Payer
from fly_billing.invoicing.rules.assembly import Invoice
from fly_billing.invoicing.rules.items import InvoiceItem, PreparedDetail
from fly_billing.postgres.copied_lines import copied_line, copied_text, copy_lines
from fly_billing.postgres.database import copy_rows, rows

INVOICE_COLUMNS = (
    "id", "organization_id", "month", "revision", "origin", "status", "currency", "amount", "total_cents",
    "usage_snapshot_id", "computed_at", "inputs_fingerprint",
)  # fmt: skip
# The columns of each item, then those that all items of one price share.
ITEM_COLUMNS = (
    "id", "invoice_id", "position", "organization_id", "quantity", "amount", "amount_cents", "detail", "kind",
    "product", "description", "unit", "price_id", "negotiated_price_id", "price_key", "meter", "subscription_id",
    "period_start", "period_end", "interval_start", "interval_end", "one_off_item_id", "adjustment_id", "discount_id",
    "commitment_id", "credit_grant_id", "tax_rate_id",
)  # fmt: skip
# Columns after `meter`.
_ONLY_OF_OTHERS = len(ITEM_COLUMNS) - ITEM_COLUMNS.index("meter") - 1
TAX_COLUMNS = (
    "invoice_id", "tax_rate_id", "name", "percent", "is_inclusive", "taxable_cents", "tax_cents", "category",
    "legal_text", "shares",
)  # fmt: skip

# An invoice to write, with its payer and the fingerprint of its inputs.
Calculated = tuple[Payer, Invoice, str]


@dataclass(frozen=True)
class Moment:
    """The time at which invoices are computed, and their due date if they are made final."""

    now: datetime
    due_on: date | None


def write_invoices(connection: Connection, billed: Sequence[Calculated], moment: Moment) -> None:
    """Replace the open versions of these invoices; finalize them if there is a due date."""
    invoices = [invoice for _, invoice, _ in billed]
    rows(connection, "clear_computed")
    copy_rows(
        connection, "computed_invoices", INVOICE_COLUMNS,
        (_invoice_row(invoice, payer, moment.now, fingerprint) for payer, invoice, fingerprint in billed),
    )  # fmt: skip
    rows(connection, "drop_parts_of_computed")
    rows(connection, "replace_open_invoices")
    _write_items(connection, invoices)
    parts: dict[str, tuple[Sequence[str], Iterable[str]]] = {
        "invoice_snapshots": (
            ("invoice_id", "snapshot_id"),
            (copied_line((invoice.id, snapshot)) for payer, invoice, _ in billed for snapshot in payer.snapshots),
        ),
        "invoice_taxes": (TAX_COLUMNS, (copied_line(row) for invoice in invoices for row in _tax_rows(invoice))),
        "invoice_tax_rates": (
            ("invoice_id", "tax_rate_id"),
            (copied_line((invoice.id, rate)) for invoice in invoices for rate in invoice.tax_rates),
        ),
        "invoice_commitments": (
            ("invoice_id", "commitment_id", "counted"),
            (copied_line((invoice.id, *counted)) for invoice in invoices for counted in invoice.counted),
        ),
    }
    for table, (columns, computed) in parts.items():
        copy_lines(connection, table, columns, computed)
    if moment.due_on:
        rows(connection, "finalize_computed", now=moment.now, due_on=moment.due_on)


def _write_items(connection: Connection, invoices: Sequence[Invoice]) -> None:
    """Write items and their links to usage. The database checks what they refer to by set, if it may."""
    copy_lines(connection, "staged_items", ITEM_COLUMNS, (line for invoice in invoices for line in item_lines(invoice)))
    copy_lines(
        connection, "staged_item_rollups", ("invoice_id", "rollup_id", "item_id"),
        (line for invoice in invoices for line in _rollup_lines(invoice)),
    )  # fmt: skip
    rows(connection, "add_staged_items")


def _invoice_row(invoice: Invoice, payer: Payer, now: datetime, fingerprint: str) -> tuple[Any, ...]:
    return (
        invoice.id, invoice.organization_id, invoice.month.first_day, invoice.revision, "billed", "open",
        invoice.currency, invoice.amount, invoice.total_cents, payer.members[0].snapshot_id, now,
        fingerprint,
    )  # fmt: skip


def item_lines(invoice: Invoice) -> Iterator[str]:
    """Yield the invoice's items as lines of COPY."""
    invoice_id = invoice.id.hex
    for position, item in enumerate(invoice.items, start=1):
        detail = item.detail.json if isinstance(item.detail, PreparedDetail) else json.dumps(item.detail)
        yield (
            f"{item.id.hex}\t{invoice_id}\t{position}\t{copied_text(item.organization_id)}\t{item.quantity}"
            f"\t{item.amount}\t{item.amount_cents}\t{copied_text(detail)}\t{_shared_columns(item)}"
        )


def _shared_columns(item: InvoiceItem) -> str:
    if item.kind == "usage":
        return _columns_of_price(
            item.kind, item.product, item.description, item.unit, item.price_id, item.negotiated_price_id,
            item.price_key, item.meter,
        )  # fmt: skip
    return copied_line((
        item.kind, item.product, item.description, item.unit, item.price_id, item.negotiated_price_id, item.price_key,
        item.meter, item.subscription_id, item.period_start, item.period_end, item.interval_start, item.interval_end,
        item.one_off_item_id, item.adjustment_id, item.discount_id, item.commitment_id, item.credit_grant_id,
        item.tax_rate_id,
    ))  # fmt: skip


@lru_cache(maxsize=16_384)
def _columns_of_price(*columns: Any) -> str:
    """Write the columns that all items of a price share. Usage has none of the others."""
    return copied_line((*columns, *[None] * _ONLY_OF_OTHERS))


def _rollup_lines(invoice: Invoice) -> Iterator[str]:
    invoice_id = invoice.id.hex
    for item in invoice.items:
        for rollup in item.rollup_ids:
            yield f"{invoice_id}\t{rollup.hex}\t{item.id.hex}"


def _tax_rows(invoice: Invoice) -> Iterator[tuple[Any, ...]]:
    positions = {item.id: position for position, item in enumerate(invoice.items, start=1)} if invoice.taxes else {}
    for tax in invoice.taxes:
        shares = sorted((positions[share.item_id], share.taxable_cents, share.tax_cents) for share in tax.shares)
        yield (
            invoice.id, tax.rate_id, tax.name, tax.percent, tax.is_inclusive, tax.taxable_cents, tax.tax_cents,
            tax.category, tax.legal_text, json.dumps(shares),
        )  # fmt: skip
