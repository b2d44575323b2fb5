"""Commands for the person on call."""

from __future__ import annotations

from typing import Annotated

import typer

from fly_billing.cli.parameters import console, exit_with

PANEL = "On call"

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False) -> None:
    """Show everything that needs a person, each with the command that fixes it. Exits 1 if something does."""
    from fly_billing.cli.status import show_status

    exit_with(show_status(console, as_json=as_json))
