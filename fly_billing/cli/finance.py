"""Shows and exports tables of finance: `fly-billing finance ...` and `history`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal
from fly_billing.finance.rules.breakdowns import RevenueBy
from fly_billing.finance.rules.tables import FinanceTable
from fly_billing.finance.table_files import write_csv, write_parquet
from fly_billing.finance.tables_reader import (
    Read,
    credits,
    history,
    months,
    read_table,
    receivables,
    revenue,
    taxes,
)
from fly_billing.money import counted, format_cents
from fly_billing.periods import FIRST_MONTH, BillingMonth
from fly_billing.postgres.database import BillingDatabase


@dataclass(frozen=True)
class Output:
    """The destination of a table: files, to the standard output as JSON, or else to the terminal."""

    csv: Path | None = None
    parquet: Path | None = None
    overwrite: bool = False
    as_json: bool = False

    @property
    def is_export(self) -> bool:
        return bool(self.csv or self.parquet or self.as_json)


def show_months(console: Terminal, first: BillingMonth | None, last: BillingMonth | None, output: Output) -> None:
    """Show the totals of each month."""
    until = last or BillingMonth.containing(datetime.now(UTC))
    show_table(console, months(first or FIRST_MONTH, until), output)


def show_revenue(console: Terminal, month: BillingMonth, by: str, output: Output) -> None:
    """Show a month's revenue by product, region or organization."""
    show_table(console, revenue(month, RevenueBy(by)), output, month)


def show_taxes(console: Terminal, month: BillingMonth, output: Output) -> None:
    """Show a month's taxes by rate."""
    show_table(console, taxes(month), output, month)


def show_receivables(console: Terminal, output: Output) -> None:
    """Show what each organization owes, by age."""
    show_table(console, receivables(), output)


def show_credits(console: Terminal, organization: str | None, output: Output) -> None:
    """Show credits. Raises NoSuchOrganization."""
    show_table(console, credits(organization), output)


def show_history(console: Terminal, organization: str, month: BillingMonth, output: Output) -> None:
    """Show who did what to an organization's invoice of a month. Raises NoSuchOrganization."""
    show_table(console, history(month, organization), output)


def show_table(console: Terminal, read: Read, output: Output, month: BillingMonth | None = None) -> None:
    """Write, print or show one table of finance."""
    with local_platform() as settings:
        database = BillingDatabase(settings.database_url)
        table, still_open = read_table(database, read, datetime.now(UTC), month)
    for path, write in ((output.csv, write_csv), (output.parquet, write_parquet)):
        if path:
            write(table, path, overwrite=output.overwrite)
            console.print(f"{counted(len(table.rows), 'row')} written to {path}", soft_wrap=True)
    if output.as_json:
        print(json.dumps(table.as_data()))
    elif not output.is_export:
        _print(console, table)
        if still_open:
            console.print(f"Not in this table: {counted(still_open, 'open invoice')} of {month}.")


def _print(console: Terminal, table: FinanceTable) -> None:
    if not table.rows:
        console.print(f"{table.title}: nothing.")
        return
    shown = Table(title=table.title, title_justify="left", box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in table.columns:
        shown.add_column(column.heading, justify="right" if column.is_number else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(*(column.text(row) for column in table.columns))
    console.print(shown)
    if table.adds_up:
        totals = ", ".join(format_cents(cents, currency) for currency, cents in table.totals().items())
        console.print(f"Total: {totals}")
