"""Commands that show and export what was billed. None of them contacts Stripe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fly_billing.cli.parameters import (
    ExactJson,
    JsonInCents,
    Month,
    OptionalMonth,
    Organization,
    Overwrite,
    console,
    exit_with,
    parse_month,
    wide_console,
)
from fly_billing.periods import BillingMonth

PANEL = "Invoices"
EXPLANATION_COLUMNS = 100

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def statement(
    organization: Organization,
    month: OptionalMonth = None,
    as_json: ExactJson = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write an HTML page to this file")] = None,
    pdf: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the month's invoice as a PDF")] = None,
    overwrite: Overwrite = False,
    all_months: Annotated[bool, typer.Option("--all-months", help="List earlier months with nothing due, too")] = False,
) -> None:
    """Show what an organization owes and why. Default: its newest month. Does not contact Stripe.

    Exits 1 if a record can't be read. The output names it and shows everything else.
    """
    from fly_billing.cli.statement import StatementFiles, show_statement_of

    files = StatementFiles(html, pdf, overwrite)
    exit_with(show_statement_of(console, organization, month, files, as_json=as_json, all_months=all_months))


@app.command(rich_help_panel=PANEL)
def explain(
    item_or_organization: Annotated[
        str, typer.Argument(metavar="ITEM|ORG", help="An item's id or its first digits, or an organization")
    ],
    month: OptionalMonth = None,
    position: Annotated[
        int | None, typer.Argument(metavar="N", help="Position of the item on that invoice, from 1", min=1)
    ] = None,
    events: Annotated[
        bool, typer.Option("--events", help="List the usage events behind it, with a running total")
    ] = False,
    all_lines: Annotated[bool, typer.Option("--all", help="Show all lines, files and events")] = False,
    as_json: ExactJson = False,
) -> None:
    """Show how an item's amount was calculated. Exits 1 if recalculating gives a different amount.

    `explain 2a7ff1e4` (at least 6 digits of an item's id), `explain acme 2026-09 3` (the third item of that invoice).
    `explain acme 2026-09` lists that invoice's items with their ids.
    """
    from fly_billing.cli.explain import ExplainOptions, explain_month
    from fly_billing.cli.explain import explain as run_explain

    terminal = wide_console(EXPLANATION_COLUMNS)
    if month and position is None:
        explain_month(terminal, item_or_organization, month, as_json=as_json)
    else:
        options = ExplainOptions(events, all_lines, as_json)
        exit_with(run_explain(terminal, item_or_organization, month, position, options))


@app.command(rich_help_panel=PANEL)
def totals(
    organization: Annotated[
        str | None, typer.Argument(metavar="ORG", help="Only invoices that this organization pays")
    ] = None,
    first: Annotated[
        BillingMonth | None,
        typer.Option(
            "--from", metavar="YYYY-MM", help="First month. Default: the first billed one", parser=parse_month
        ),
    ] = None,
    last: Annotated[
        BillingMonth | None,
        typer.Option("--to", metavar="YYYY-MM", help="Last month. Default: the current one", parser=parse_month),
    ] = None,
    as_json: JsonInCents = False,
) -> None:
    """Show each month's totals: billed, paid, written off, open so far. Excludes void invoices."""
    from fly_billing.cli.totals import show_totals

    show_totals(wide_console(), organization, first, last, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def export_focus(
    month: Month,
    file_format: Annotated[str, typer.Option("--format", help="csv or parquet")] = "csv",
    out: Annotated[Path | None, typer.Option(help="Output file. Default: ./focus-YYYY-MM.csv")] = None,
    version: Annotated[str, typer.Option("--focus-version", help="1.2 or 1.3")] = "1.2",
    provider: Annotated[str, typer.Option(help="Provider, publisher and invoice issuer")] = "Fly.io",
    overwrite: Annotated[bool, typer.Option("--overwrite", "--force", help="Replace the file if it exists")] = False,
) -> None:
    """Export a month's final invoices as a FOCUS cost-and-usage file. Excludes void invoices."""
    from fly_billing.cli.export_focus import export_month

    file = out or Path(f"focus-{month}.{file_format}")
    exit_with(export_month(wide_console(), month, file, file_format, version, provider, overwrite=overwrite))
