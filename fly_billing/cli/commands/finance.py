"""Commands for finance: revenue, taxes, receivables, credits, history and the ledger. None of them contacts Stripe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fly_billing.cli.parameters import (
    BegunMonth,
    CsvFile,
    ExactJson,
    JsonInCents,
    Month,
    OptionalMonth,
    OptionalOrganization,
    Organization,
    Overwrite,
    ParquetFile,
    console,
    exit_with,
    parse_month,
    wide_console,
)
from fly_billing.finance.rules.breakdowns import RevenueBy
from fly_billing.foreign_text import visible
from fly_billing.periods import BillingMonth

PANEL = "Finance"
# A table of receivables has eleven columns.
COLUMNS = 200

app = typer.Typer()
finance = typer.Typer(help="Revenue, taxes, receivables and credits, from the views for finance.", no_args_is_help=True)
app.add_typer(finance, name="finance", rich_help_panel=PANEL)


@finance.command("months")
def show_months(
    first: Annotated[
        BillingMonth | None, typer.Option("--from", metavar="YYYY-MM", help="First month", parser=parse_month)
    ] = None,
    last: Annotated[
        BillingMonth | None, typer.Option("--to", metavar="YYYY-MM", help="Last month", parser=parse_month)
    ] = None,
    csv: CsvFile = None,
    parquet: ParquetFile = None,
    overwrite: Overwrite = False,
    as_json: JsonInCents = False,
) -> None:
    """Show each month's revenue, tax, prepaid credit and total of final invoices, newest first."""
    from fly_billing.cli.finance import Output
    from fly_billing.cli.finance import show_months as show

    show(wide_console(COLUMNS), first, last, Output(csv, parquet, overwrite, as_json))


@finance.command("report")
def report(month: BegunMonth) -> None:
    """Write a month's HTML report, and check that its sums add up to its invoices. Exits 1 if they don't."""
    from fly_billing.cli.month_runs import report_month

    exit_with(report_month(console, month))


@finance.command("revenue")
def show_revenue(
    month: Month,
    by: Annotated[RevenueBy, typer.Option(help="How to break it down")] = RevenueBy.PRODUCT,
    csv: CsvFile = None,
    parquet: ParquetFile = None,
    overwrite: Overwrite = False,
    as_json: JsonInCents = False,
) -> None:
    """Show a month's revenue: final invoices before tax. Excludes void invoices."""
    from fly_billing.cli.finance import Output
    from fly_billing.cli.finance import show_revenue as show

    show(wide_console(COLUMNS), month, by, Output(csv, parquet, overwrite, as_json))


@finance.command("taxes")
def show_taxes(
    month: Month,
    csv: CsvFile = None,
    parquet: ParquetFile = None,
    overwrite: Overwrite = False,
    as_json: JsonInCents = False,
) -> None:
    """Show the taxes of a month's final invoices by rate. Excludes void invoices."""
    from fly_billing.cli.finance import Output
    from fly_billing.cli.finance import show_taxes as show

    show(wide_console(COLUMNS), month, Output(csv, parquet, overwrite, as_json))


@finance.command("receivables")
def show_receivables(
    csv: CsvFile = None, parquet: ParquetFile = None, overwrite: Overwrite = False, as_json: JsonInCents = False
) -> None:
    """Show what organizations owe now, by days overdue."""
    from fly_billing.cli.finance import Output
    from fly_billing.cli.finance import show_receivables as show

    show(wide_console(COLUMNS), Output(csv, parquet, overwrite, as_json))


@finance.command("credits")
def show_credits(
    organization: OptionalOrganization = None,
    csv: CsvFile = None,
    parquet: ParquetFile = None,
    overwrite: Overwrite = False,
    as_json: JsonInCents = False,
) -> None:
    """Show credits: granted, used, pending on open invoices, expired and remaining."""
    from fly_billing.cli.finance import Output
    from fly_billing.cli.finance import show_credits as show

    show(wide_console(COLUMNS), organization, Output(csv, parquet, overwrite, as_json))


@finance.command("recognized")
def show_recognized(
    first: Annotated[
        BillingMonth | None, typer.Option("--from", metavar="YYYY-MM", help="First month", parser=parse_month)
    ] = None,
    last: Annotated[
        BillingMonth | None, typer.Option("--to", metavar="YYYY-MM", help="Last month", parser=parse_month)
    ] = None,
    csv: CsvFile = None,
    parquet: ParquetFile = None,
    overwrite: Overwrite = False,
    as_json: JsonInCents = False,
) -> None:
    """Show each accounting month's billed and recognized revenue, and what later months will recognize."""
    from fly_billing.cli.finance import Output
    from fly_billing.cli.journal import show_recognized as show

    show(wide_console(COLUMNS), first, last, Output(csv, parquet, overwrite, as_json))


@finance.command("journal")
def show_journal(
    month: Month,
    accounts: Annotated[
        Path | None,
        typer.Option("--accounts", metavar="FILE", help="CSV with account,code,name: the general ledger's accounts"),
    ] = None,
    csv: CsvFile = None,
    parquet: ParquetFile = None,
    overwrite: Overwrite = False,
    as_json: ExactJson = False,
) -> None:
    """Show an accounting month's balanced journal for a general ledger: debits and credits by account."""
    from fly_billing.cli.finance import Output
    from fly_billing.cli.journal import show_journal as show

    show(wide_console(COLUMNS), month, accounts, Output(csv, parquet, overwrite, as_json))


@finance.command("close-period")
def close_period(
    month: BegunMonth,
    leave_open: Annotated[
        bool, typer.Option("--leave-open", help="Although invoices are open: they count in a later month")
    ] = False,
    accept: Annotated[
        str | None,
        typer.Option(
            "--accept", metavar="AMOUNTS", help="Differences with Stripe, as the refusal names them: 'USD=9.00 #a81f03'"
        ),
    ] = None,
    why: Annotated[str | None, typer.Option("--why", help="Why they are accepted, recorded with the month")] = None,
) -> None:
    """Close an accounting month: its journal never changes again, and later postings count in the next month.

    Refuses while the ledger differs from its sources or from what Stripe asks for, and lists each difference.
    """
    from fly_billing.cli.journal import close_accounting_period
    from fly_billing.stripe_sync.rules.spending_guard import read_approved_total

    amounts, _, code = (accept or "").partition("#")
    try:
        accepted = read_approved_total(amounts) if accept is not None else {}
    except ValueError as problem:
        raise typer.BadParameter(visible(f"--accept: {problem}")) from problem
    close_accounting_period(console, month, accepted, code.strip(), why=why, leave_open=leave_open)


@app.command(rich_help_panel=PANEL)
def history(
    organization: Organization,
    month: Month,
    csv: CsvFile = None,
    parquet: ParquetFile = None,
    overwrite: Overwrite = False,
    as_json: JsonInCents = False,
) -> None:
    """Show who changed, approved, voided, waived, kept or rebilled what of an organization's month, and why."""
    from fly_billing.cli.finance import Output, show_history

    show_history(wide_console(COLUMNS), organization, month, Output(csv, parquet, overwrite, as_json))


@app.command(rich_help_panel=PANEL)
def ledger(
    organization: OptionalOrganization = None,
    month: OptionalMonth = None,
    post_missing: Annotated[
        bool, typer.Option("--post-missing", help="Post events that are not in the ledger")
    ] = False,
    csv: CsvFile = None,
    parquet: ParquetFile = None,
    overwrite: Overwrite = False,
    as_json: JsonInCents = False,
) -> None:
    """Show the ledger's accounts and balances, of an organization or of all, now or at the end of a month."""
    from fly_billing.cli.finance import Output
    from fly_billing.cli.ledger import post_missing_events, show_ledger

    if post_missing and (organization or month or csv or parquet or as_json):
        raise typer.BadParameter("--post-missing posts the events of all organizations: leave the others out")
    if post_missing:
        post_missing_events(console)
    else:
        show_ledger(wide_console(COLUMNS), organization, month, Output(csv, parquet, overwrite, as_json))
