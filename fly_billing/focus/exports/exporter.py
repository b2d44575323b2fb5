"""Reads a month's final invoices in one snapshot of Postgres and streams them to a FOCUS file (see `rows`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, text

from fly_billing.bounds import refuse_unreadable
from fly_billing.errors import ActionableError
from fly_billing.focus.exports.columns import FOCUS_VERSION, FOCUS_VERSIONS
from fly_billing.focus.exports.exported_invoice import BilledItem, ExportedInvoice
from fly_billing.focus.exports.files import FORMATS, new_file
from fly_billing.focus.exports.rows import Row, UnequalRows, focus_rows
from fly_billing.invoicing.rules.invoice_numbers import invoice_number
from fly_billing.money import EXACT
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, records
from fly_billing.postgres.isolation import VALUE_ERRORS, unreadable
from fly_billing.postgres.statements import sql

# Rows that are written at once, as one Parquet row group: much smaller groups compress badly.
BATCH = 20_000


class FocusExportError(ActionableError):
    """The month can't be exported. No file was written."""


@dataclass(frozen=True)
class LeftOut:
    """A final invoice that is not in the file, because its records can't be read or don't add up to its total."""

    organization_id: str
    number: str
    reason: str


@dataclass
class FocusExport:
    """The outcome of an export.

    Attributes:
        invoices: The number of invoices in the file.
        open, void: The numbers of open and void invoices of the month, which are not in the file.
        charges: (rows, billed amount) by currency and charge category.
        left_out: Final invoices that are not in the file because of errors in their records.
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
        """Count rows that were written to the file."""
        self.rows += len(rows)
        for row in rows:
            key, billed = (str(row["BillingCurrency"]), str(row["ChargeCategory"])), row["BilledCost"]
            assert isinstance(billed, Decimal)
            number, amount = self.charges.get(key, (0, Decimal(0)))
            self.charges[key] = (number + 1, EXACT.add(amount, billed))

    def billed(self) -> dict[str, Decimal]:
        """Return the total of the invoices in the file, by currency."""
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
    """Write the month's final invoices to `file`. Void invoices are not written, because nobody owes them.

    An invoice is left out (see `left_out`) if its records can't be read or its rows don't add up to its total.

    Args:
        database: The billing database.
        month: The month of the invoices.
        file: The file to write.
        file_format: `csv` or `parquet`.
        version: The version of FOCUS.
        provider: The provider's name in the file.
        overwrite: Replace the file if it exists.
        progress: Called with the numbers of finished invoices and of all invoices.

    Raises:
        FocusExportError: The month has no final invoice, or none that can be exported.
        OutputExists: The file exists and `overwrite` is False.
    """
    if file_format not in FORMATS:
        raise FocusExportError(f"no such format: {file_format}; choose one of {', '.join(FORMATS)}")
    if version not in FOCUS_VERSIONS:
        raise FocusExportError(f"no such version of FOCUS: {version}; choose one of {', '.join(FOCUS_VERSIONS)}")
    with database.consistent_read() as connection:
        (counts,) = records(connection, _InvoiceCounts, "count_invoices", month=month.first_day)
        if not counts.final:
            raise FocusExportError(
                f"{month} has no final invoices ({counts.open} open, {counts.void} void): nothing was written."
                f" `fly-billing bill {month}` finalizes them once the month is closed"
            )
        done = FocusExport(file, month, version, counts.final, counts.open, counts.void)
        with new_file(file, file_format, version, overwrite=overwrite) as write:
            waiting: list[Row] = []
            for number, items in enumerate(_invoices(connection, month), start=1):
                try:
                    waiting += focus_rows(_invoice(items, month), provider)
                except (UnequalRows, *VALUE_ERRORS) as problem:
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


@dataclass(frozen=True)
class _InvoiceCounts:
    """The numbers of a month's invoices by status; `final` are all that are neither open nor void."""

    final: int
    open: int
    void: int


@dataclass(frozen=True, kw_only=True)
class _ItemToExport(BilledItem):
    """An item with its invoice.

    Attributes:
        number: The invoice's number within its payer; None in a damaged record.
        unreadable_rollup: The id of a usage rollup of the item that can't be read.
    """

    invoice_id: UUID
    payer_id: str
    payer_name: str
    number: int | None
    currency: str
    total_cents: int
    unreadable_rollup: str | None


def _left_out(item: _ItemToExport, problem: Exception) -> LeftOut:
    number = "without a number" if item.number is None else invoice_number(item.payer_id, item.number)
    if isinstance(problem, UnequalRows):
        return LeftOut(item.payer_id, number, str(problem))
    return LeftOut(item.payer_id, number, unreadable(f"invoice {number}", problem).operator_text)


def _invoices(connection: Connection, month: BillingMonth) -> Iterator[list[_ItemToExport]]:
    """Yield the items of one invoice after the other."""
    statement = text(sql("items_to_export")).execution_options(stream_results=True, yield_per=2_000)
    parameters = {"month": month.first_day, "month_start": month.start, "month_end": month.end}
    items = (_ItemToExport(**row) for row in connection.execute(statement, parameters).mappings())
    for _, items_of_invoice in groupby(items, key=lambda item: item.invoice_id):
        yield list(items_of_invoice)


def _invoice(items: Sequence[_ItemToExport], month: BillingMonth) -> ExportedInvoice:
    """Build an invoice from its items. Raises ValueError naming a field that can't be read as a number or time."""
    first = items[0]
    for item in items:
        refuse_unreadable(vars(item))
        if item.unreadable_rollup is not None:
            raise ValueError(
                f"usage rollup {item.unreadable_rollup} has no time, or its dimensions are not a JSON object"
            )
    if first.number is None:
        raise ValueError("number is missing")
    return ExportedInvoice(
        number=invoice_number(first.payer_id, first.number),
        organization_id=first.payer_id,
        organization_name=first.payer_name,
        month=month,
        currency=first.currency,
        total_cents=first.total_cents,
        items=items,
    )
