"""Commands for a workspace: a folder of files, in git, with organizations, prices, terms and usage sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fly_billing.cli.parameters import ExactJson, console, exit_with, wide_console

PANEL = "Workspace of files"

app = typer.Typer()

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="[DIR]", help="Folder of the workspace. Default: FLY_BILLING_WORKSPACE, or this folder",
        show_default=False,
    ),
]  # fmt: skip


@app.command(rich_help_panel=PANEL)
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, or one without tables and YAML files")],
) -> None:
    """Write a small workspace with comments, which can be planned and applied as it is."""
    from fly_billing.cli.workspace import start_workspace

    start_workspace(console, folder)


@app.command(rich_help_panel=PANEL)
def plan(
    folder: Folder = None,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 if there are changes, too")] = False,
    as_json: ExactJson = False,
) -> None:
    """Show what applying a workspace would add, change and end, and which final invoices used that.

    Changes nothing. Exits 1 if the plan can't be applied.
    """
    from fly_billing.cli.workspace import show_plan

    exit_with(show_plan(console, folder, as_json=as_json, is_check=check))


@app.command("read-platform", rich_help_panel=PANEL)
def read_platform(
    folder: Folder = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the differences and write nothing")] = False,
    close_many: Annotated[
        bool, typer.Option("--close-many", help="Close or end more than most_closed_percent allows")
    ] = False,
    as_json: ExactJson = False,
) -> None:
    """Read organizations, subscriptions and charges from the databases in sources.yaml, and write the differences.

    Dagster does the same before each landing. Exits 1 if a row was refused, or a database can't be read.
    """
    from fly_billing.cli.read_platform import ReadOptions
    from fly_billing.cli.read_platform import read_platform as read

    exit_with(read(console, folder, ReadOptions(dry_run, close_many, as_json)))


@app.command("apply", rich_help_panel=PANEL)
def apply_workspace(
    folder: Folder = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")] = False,
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Who applies it. Default: your user name")] = None,
    why: Annotated[str | None, typer.Option(metavar="REASON", help="Why, for `fly-billing history`")] = None,
    close_many: Annotated[
        bool, typer.Option("--close-many", help="Close or end more than most_closed_percent allows")
    ] = False,
    as_json: ExactJson = False,
) -> None:
    """Show the plan, ask, and apply it in one transaction. Applying a workspace twice changes nothing."""
    from fly_billing.cli.workspace import ApplyOptions, apply_folder

    exit_with(apply_folder(console, folder, ApplyOptions(yes, by, why, close_many, as_json)))


@app.command("test", rich_help_panel=PANEL)
def run_tests(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of cases, or folders above them")],
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=16, help="How many run at once. Default: one for each CPU, if many"),
    ] = None,
    as_json: ExactJson = False,
) -> None:
    """Run billing tests: cases with expected invoices, each on a throw-away platform (docs/billing_tests.md).

    Exits 1 if a case fails, and 2 if a case has a mistake.
    """
    from fly_billing.cli.billing_tests import run_tests as run

    exit_with(run(wide_console(), folders, jobs, as_json=as_json))
