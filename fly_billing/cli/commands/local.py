"""Commands for a platform on this machine, and for its database."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from fly_billing.cli.parameters import console, exit_with
from fly_billing.cli.ports import LARGEST_PORT
from fly_billing.cli.terminal import Terminal

PANEL = "Local platform"
DEMO_COLUMNS = 132

app = typer.Typer()
sandbox = typer.Typer(help="Run only the local Stripe sandbox; break the one that runs, or act in its dashboard.")
app.add_typer(sandbox, name="stripe-sandbox", rich_help_panel=PANEL)


@app.command(rich_help_panel=PANEL)
def demo() -> None:
    """Bill a sample platform on this machine: seed, land, bill, sync, reconcile, and show the result."""
    from fly_billing.cli.demo import demo as run_demo

    exit_with(run_demo(Terminal(width=None if console.is_terminal else DEMO_COLUMNS)))


@app.command(rich_help_panel=PANEL)
def dev(
    port: Annotated[int, typer.Option(min=1, max=LARGEST_PORT, help="Port of the UI")] = 3000,
) -> None:
    """Run the Dagster UI and daemon, Postgres and the Stripe sandbox until Ctrl-C."""
    from fly_billing.cli.dev import dev as run_dev

    raise typer.Exit(run_dev(console, port))


@app.command(rich_help_panel=PANEL)
def seed(
    today: Annotated[
        datetime | None, typer.Option(metavar="YYYY-MM-DD", formats=["%Y-%m-%d"], help="Last day with usage")
    ] = None,
    months: Annotated[int, typer.Option(min=1, max=120, help="Closed months of usage")] = 3,
    organizations: Annotated[int, typer.Option(min=1, help="Organizations besides Fly")] = 40,
    number: Annotated[int, typer.Option("--seed", help="Random seed")] = 1,
) -> None:
    """Create sample data: the organization Fly with two invoices, more organizations, and usage files."""
    from fly_billing.cli.seeding import seed_platform

    seed_platform(console, today.date() if today else None, months, organizations, number)


@app.command(rich_help_panel=PANEL)
def migrate() -> None:
    """Apply all missing migrations to the billing database."""
    from fly_billing.cli.migrating import migrate_database

    migrate_database(console)


@sandbox.callback(invoke_without_command=True)
def stripe_sandbox(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=LARGEST_PORT, help="Port on 127.0.0.1; 0 picks a free one")] = 12111,
    store: Annotated[Path | None, typer.Option(help="SQLite file for its state")] = None,
) -> None:
    """Run only the local Stripe sandbox, until Ctrl-C. With a command: change the sandbox that runs."""
    from fly_billing.cli.local_sandbox import run_sandbox

    if context.invoked_subcommand is None:
        run_sandbox(port, store)


@sandbox.command("fault")
def add_sandbox_fault(
    effect: Annotated[str, typer.Argument(metavar="EFFECT", help="Such as http_500; `faults` lists all of them")],
    times: Annotated[int | None, typer.Option(min=1, help="How many calls fail; without it, all of them")] = None,
    endpoint: Annotated[str, typer.Option(help="Only these calls, such as invoices.create; * is a wildcard")] = "*",
) -> None:
    """Make calls to the running sandbox fail, to practise an outage."""
    from fly_billing.cli.sandbox_faults import add_fault

    add_fault(console, effect, endpoint, times)


@sandbox.command("faults")
def list_sandbox_faults() -> None:
    """List the effects that `fault` knows, and the faults of the running sandbox with the calls that each hit."""
    from fly_billing.cli.sandbox_faults import show_faults

    show_faults(console)


@sandbox.command("clear")
def clear_sandbox_faults() -> None:
    """Remove all faults from the running sandbox."""
    from fly_billing.cli.sandbox_faults import clear_faults

    clear_faults(console)


@sandbox.command("do")
def do_in_sandbox(
    action: Annotated[str, typer.Argument(metavar="ACTION", help="Such as refund; `actions` lists all of them")],
    id: Annotated[str, typer.Argument(metavar="ID", help="Stripe id, or the number of an invoice")],
    amount: Annotated[str | None, typer.Argument(metavar="[AMOUNT]", help="Such as 5.00")] = None,
    to: Annotated[str | None, typer.Option(help="credit-note of what was paid: refund, credit or out_of_band")] = None,
) -> None:
    """Do what a person does in Stripe's dashboard: a credit, refund, credit note, dispute, payment, write-off ..."""
    from fly_billing.cli.sandbox_actions import do_action

    do_action(console, action, id, amount, to)


@sandbox.command("actions")
def list_sandbox_actions() -> None:
    """List the actions that `do` knows."""
    from fly_billing.cli.sandbox_actions import show_actions

    show_actions(console)


@app.command(rich_help_panel=PANEL)
def clean() -> None:
    """Delete the local data that fly-billing created: Postgres, landing folder, usage table, sandbox.

    Refuses while a process uses it. Leaves other files in the data folder as they are.
    """
    from fly_billing.cli.data_folder import clean as run_clean

    run_clean(console)
