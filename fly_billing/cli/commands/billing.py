"""Commands that bill months."""

from __future__ import annotations

from typing import Annotated

import typer

from fly_billing.cli.parameters import BegunMonth, MonthArgument, ResultJson, console, exit_with, parse_month

PANEL = "Billing"

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def bill(
    month: BegunMonth,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Also calculate open invoices whose inputs did not change")
    ] = False,
    as_json: ResultJson = False,
) -> None:
    """Bill a month for all organizations: roll up usage, build invoices, and finalize them if the month is closed."""
    from fly_billing.cli.month_runs import bill_month

    exit_with(bill_month(console, month, from_scratch=from_scratch, as_json=as_json))


@app.command(rich_help_panel=PANEL)
def backfill(
    first: Annotated[MonthArgument, typer.Argument(metavar="FROM", help="The first month", parser=parse_month)],
    last: Annotated[MonthArgument, typer.Argument(metavar="TO", help="The last month, included", parser=parse_month)],
    again: Annotated[bool, typer.Option("--again", help="Start over, including months that are done")] = False,
) -> None:
    """Bill a range of months again for all organizations, one run each.

    Final invoices do not change: each difference goes on the next open invoice, once. If interrupted, run the same
    command again to resume. Exits 1 if it was interrupted or a month failed.
    """
    from fly_billing.cli.backfill import backfill as run_backfill

    exit_with(run_backfill(console, first, last, again=again))


@app.command(rich_help_panel=PANEL)
def invalid_invoices(
    yes: Annotated[bool, typer.Option("--yes", help="Remove them without asking")] = False,
) -> None:
    """List open invoices of months that can't be billed, and remove them after asking. Exits 1 if any remain.

    An older version could bill a month in the future. Final invoices are never removed.
    """
    from fly_billing.cli.invalid_invoices import remove_invalid

    exit_with(remove_invalid(console, yes=yes))
