"""Reads a month's final invoices from Postgres, as they stand at one moment, and writes their FOCUS file.

Streamed: the file of a month never is in memory as a whole. Keeps out: what a row says (`rows`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from fly_billing.bounds import refuse_unreadable
from fly_billing.errors import ActionableError
from fly_billing.focus.exports.billed import BilledItem, ExportedInvoice
from fly_billing.focus.exports.columns import FOCUS_VERSION, FOCUS_VERSIONS
from fly_billing.focus.exports.files import FORMATS, new_file
from fly_billing.focus.exports.rows import Row, UnequalRows, focus_rows
from fly_billing.invoicing.rules.assembly import invoice_number
from fly_billing.money import EXACT
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.isolation import ABOUT_A_VALUE, unreadable
from fly_billing.postgres.statements import sql

# Rows that are written at once: a Parquet row group is not much smaller than this is worth it.
BATCH = 20_000
_OF_INVOICE = ("invoice_id", "payer_id", "payer_name", "number", "currency", "total_cents", "unreadable_rollup")


class FocusExportError(ActionableError):
    """The month can't be exported; no file was written."""


@dataclass(frozen=True)
class LeftOut:
    """A final invoice that is not in the file, as its records can't be read or do not add up to it."""

    organization_id: str
    number: str
    reason: str


@dataclass
class FocusExport:
    """What is in the file: `charges` has (rows, billed amount) by currency and charge category.

    `open` and `void` invoices of the month are not in it, nor those `left_out`, which are wrong.
    """

    file: Path
    month: BillingMonth
    version: str
    invoices: int
    open: int
    void: int
    rows: int = 0
    charges: dict[tuple[str, str], tuple[int, Decimal]] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)

    def count(self, rows: list[Row]) -> None:
        """Add these rows to what the file holds."""
        self.rows += len(rows)
        for row in rows:
            key, billed = (str(row["BillingCurrency"]), str(row["ChargeCategory"])), row["BilledCost"]
            assert isinstance(billed, Decimal)
            number, amount = self.charges.get(key, (0, Decimal(0)))
            self.charges[key] = (number + 1, EXACT.add(amount, billed))

    def billed(self) -> dict[str, Decimal]:
        """Return what all invoices in the file come to, by currency."""
        totals: dict[str, Decimal] = {}
        for (currency, _), (_, amount) in sorted(self.charges.items()):
            totals[currency] = EXACT.add(totals.get(currency, Decimal(0)), amount)
        return totals


def export_focus(
    database: BillingDatabase,
    month: BillingMonth,
    file: Path,
    *,
    file_format: str = "csv",
    version: str = FOCUS_VERSION,
    provider: str = "Fly.io",
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> FocusExport:
    """Write the month's final invoices to `file`; void ones are left out, as nobody owes them.

    An invoice whose records can't be read, or whose rows would not add up to it, is left out and named in `left_out`.

    `progress` is told how many of how many invoices are done. Raises FocusExportError where the month has none, or none
    that can be exported, and OutputExists where the file exists and not `overwrite`.
    """
    if file_format not in FORMATS:
        raise FocusExportError(f"no such format: {file_format}; there are {', '.join(FORMATS)}")
    if version not in FOCUS_VERSIONS:
        raise FocusExportError(f"no such version of FOCUS: {version}; files are written as {', '.join(FOCUS_VERSIONS)}")
    with database.one_moment() as connection:
        (counts,) = connection.execute(text(sql("count_invoices")), {"month": month.first_day}).mappings()
        if not counts["final"]:
            raise FocusExportError(
                f"{month} has no final invoices ({counts['open']} open, {counts['void']} void): nothing was written."
                f" `fly-billing bill {month}` finalizes them once the month is closed"
            )
        done = FocusExport(file, month, version, counts["final"], counts["open"], counts["void"])
        with new_file(file, file_format, version, overwrite=overwrite) as write:
            waiting: list[Row] = []
            for number, items in enumerate(_invoices(connection, month), start=1):
                try:
                    waiting += focus_rows(_invoice(items, month), provider)
                except (UnequalRows, *ABOUT_A_VALUE) as problem:
                    done.left_out.append(_left_out(items[0], problem))
                if len(waiting) >= BATCH:
                    write(waiting)
                    done.count(waiting)
                    waiting = []
                progress(number, done.invoices)
            write(waiting)
            done.count(waiting)
            progress(done.invoices, done.invoices)
            if len(done.left_out) == done.invoices:
                raise FocusExportError(
                    f"no invoice of {month} can be exported, nothing was written; the first: {done.left_out[0].reason}"
                )
            done.invoices -= len(done.left_out)
    return done


def _left_out(item: Mapping[str, Any], problem: Exception) -> LeftOut:
    number = "without a number" if item["number"] is None else invoice_number(item["payer_id"], item["number"])
    if isinstance(problem, UnequalRows):
        return LeftOut(item["payer_id"], number, str(problem))
    return LeftOut(item["payer_id"], number, unreadable(f"invoice {number}", problem).operator_text)


def _invoices(connection: Connection, month: BillingMonth) -> Iterator[list[Mapping[str, Any]]]:
    """Yield the items of one invoice after the other."""
    statement = text(sql("items_to_export")).execution_options(stream_results=True, yield_per=2_000)
    span = {"month": month.first_day, "month_start": month.start, "month_end": month.end}
    found = connection.execute(statement, span).mappings()
    for _, grouped in groupby(found, key=lambda row: row["invoice_id"]):
        yield [dict(row) for row in grouped]


def _invoice(items: list[Mapping[str, Any]], month: BillingMonth) -> ExportedInvoice:
    """Make an invoice of its items. Raises ValueError naming a field that holds no number or time."""
    head = items[0]
    for item in items:
        refuse_unreadable(item)
        if item["unreadable_rollup"] is not None:
            raise ValueError(
                f"usage rollup {item['unreadable_rollup']} has no time, or dimensions that are no JSON object"
            )
    return ExportedInvoice(
        number=invoice_number(head["payer_id"], head["number"]),
        organization_id=head["payer_id"],
        organization_name=head["payer_name"],
        month=month,
        currency=head["currency"],
        total_cents=head["total_cents"],
        items=[_item(item) for item in items],
    )


def _item(row: Mapping[str, Any]) -> BilledItem:
    return BilledItem(**{name: value for name, value in row.items() if name not in _OF_INVOICE})
