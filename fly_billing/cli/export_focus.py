"""Writes a month's FOCUS file and shows its totals: `fly-billing export-focus`."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, bars, lines, styled
from fly_billing.focus.exports import FocusExport, export_focus
from fly_billing.money import counted, format_cents, to_cents
from fly_billing.output_files import is_stream
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase


def export_month(
    console: Terminal,
    month: BillingMonth,
    file: Path,
    file_format: str,
    version: str,
    provider: str,
    *,
    overwrite: bool,
) -> bool:
    """Write the month's FOCUS file and print its totals, on stderr if the file is a pipe.

    Returns:
        True if the file has every final invoice of the month.
    """
    if is_stream(file):
        console = Terminal(stderr=True)
    with local_platform() as settings, _bar(console) as bar:
        task = bar.add_task(f"Exporting {month}", total=None)
        export = export_focus(
            BillingDatabase(settings.database_url),
            month,
            file,
            file_format=file_format,
            version=version,
            provider=provider,
            overwrite=overwrite,
            progress=lambda number, total: bar.update(task, completed=number, total=total),
        )
    show_export(console, export)
    return not export.left_out


def _bar(console: Terminal) -> Progress:
    columns = "{task.description}", BarColumn(), MofNCompleteColumn(), "invoices", TimeRemainingColumn()
    return bars(console, *columns, transient=True, disable=not console.is_terminal)


def show_export(console: Terminal, export: FocusExport) -> None:
    """Print rows and amounts by charge category, and the invoices that are not in the file."""
    table = Table(
        title=f"{export.month}: {counted(export.invoices, 'final invoice')} as FOCUS {export.version}",
        title_justify="left",
        show_footer=True,
    )
    totals = export.billed()
    footers = lines(*totals), f"{export.rows:,}", lines(*map(_money, totals.values(), totals))
    table.add_column("Charge category", footer="Total")
    table.add_column("Currency", footer=footers[0])
    table.add_column("Rows", footer=footers[1], justify="right")
    table.add_column("Billed", footer=footers[2], justify="right", no_wrap=True)
    for (currency, category), (rows, amount) in sorted(export.charges.items()):
        table.add_row(category, currency, f"{rows:,}", _money(amount, currency))
    console.print(table)
    console.print("The rows of every invoice add up to its total, to the cent.")
    if export.open or export.void:
        left_out = counted(export.open, "open invoice"), counted(export.void, "void invoice")
        console.print(f"Not in the file: {' and '.join(left_out)}.")
    for invoice in export.left_out:
        console.print(styled(f"Left out, {invoice.organization_id}: {invoice.reason}", "red"), soft_wrap=True)
    console.print(f"Written to {export.file}", soft_wrap=True)


def _money(amount: Decimal, currency: str) -> str:
    return format_cents(to_cents(amount, currency), currency)
