"""Commands for the person on call."""

from __future__ import annotations

from typing import Annotated

import typer

from fly_billing.cli.parameters import console, exit_with
from fly_billing.cli.ports import LARGEST_PORT

PANEL = "On call"

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False) -> None:
    """Show everything that needs a person, each with the command that fixes it. Exits 1 if something does."""
    from fly_billing.cli.status import show_status

    exit_with(show_status(console, as_json=as_json))


@app.command(rich_help_panel=PANEL)
def health(
    port: Annotated[
        int | None, typer.Option(min=1, max=LARGEST_PORT, help="Serve /health and /metrics on this port until Ctrl-C")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to serve on")] = "127.0.0.1",
) -> None:
    """Show as JSON whether the daemon, landing, closing and reconciliation are alive. Exits 1 if one is not."""
    from fly_billing.cli.health import serve, show_health

    if port is not None:
        serve(console, host, port)
    else:
        exit_with(show_health())
