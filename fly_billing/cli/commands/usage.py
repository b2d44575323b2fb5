"""Commands that bring usage in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fly_billing.cli.parameters import OptionalBegunMonth, console, exit_with

PANEL = "Usage"

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def land(
    month: OptionalBegunMonth = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Compare the whole usage table with Postgres and list the days that differ")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --repair: land those days again")] = False,
    new_table: Annotated[
        bool, typer.Option("--new-table", help="With --repair: create a new table, because the old one is lost")
    ] = False,
) -> None:
    """Land new and changed usage files. With a month, also land every day on which its usage may arrive."""
    from fly_billing.cli.landing import land_files, repair_usage_table

    if repair:
        exit_with(repair_usage_table(console, yes=yes, new_table=new_table))
    exit_with(land_files(console, month))


@app.command(rich_help_panel=PANEL)
def import_focus(
    files: Annotated[
        list[Path],
        typer.Argument(help="FOCUS cost-and-usage CSV files (1.0 to 1.3): all files of one export", exists=True),
    ],
    cost: Annotated[
        str, typer.Option(help="Charge list prices (list) or the provider's billed cost (billed)")
    ] = "list",
) -> None:
    """Import a FOCUS file: sub-accounts become organizations, SKU prices a price book, charges usage files."""
    from fly_billing.cli.import_focus import import_focus_files

    import_focus_files(console, files, cost)
