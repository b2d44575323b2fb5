"""`python -m tests.chaos`: a campaign, then the broken syncs that the same audit must detect; exit code 1 if not.

`make chaos` runs it with 10,000 invoices.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fly_billing.embedded_postgres import create_database, throwaway
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate
from tests.chaos import campaign
from tests.chaos.broken import BROKEN
from tests.chaos.plan import Plan
from tests.chaos.plot import data_of, plot
from tests.chaos.report import for_machines, print_outcome, print_trials, shown
from tests.chaos.trial import trial
from tests.chaos.worker_pool import workers
from tests.pictures.facts import write_data

console = Console()


def main(
    invoices: Annotated[
        int, typer.Option(help="Minimum number of billable invoices; a few hundred may not meet every fault")
    ] = Plan.invoices,
    seed: Annotated[int, typer.Option(help="Seed of the data and the faults; kills depend on real time")] = Plan.seed,
    kills: Annotated[int, typer.Option(help="Minimum number of kills of a syncing process")] = Plan.kills,
    folder: Annotated[
        Path | None, typer.Option("--write", help="Folder for chaos.json and chaos.png (calls per second over the run)")
    ] = None,
) -> None:
    """Sync thousands of invoices under every fault at once, and audit the result."""
    try:
        plan = Plan(invoices=invoices, seed=seed, kills=kills)
    except ValueError as problem:
        raise typer.BadParameter(str(problem), param_hint="--invoices") from problem
    if folder and not folder.is_dir():
        raise typer.BadParameter(f"there is no folder {folder}: create it first", param_hint="--write")
    with shown(console, plan) as show:
        outcome = campaign.run(plan, show)
    print_outcome(console, outcome)
    if folder:
        write_data(folder / "chaos.json", data_of(outcome))
        plot(data_of(outcome), folder / "chaos.png")
    are_detected = show_broken_syncs()
    console.print(for_machines(outcome), highlight=False, soft_wrap=True)
    if outcome.shortcomings() or not are_detected:
        raise typer.Exit(1)


def show_broken_syncs() -> bool:
    """Run the real sync and each broken one through the same trial; return True if the audit distinguishes them."""
    findings = {}
    with (
        throwaway() as server,
        tempfile.TemporaryDirectory() as folder,
        workers(Path(folder), 1) as worker,
    ):
        for number, broken in enumerate((None, *BROKEN)):
            create_database(server, f"trial_{number}")
            database = BillingDatabase(server.url(f"trial_{number}"))
            migrate(database)
            findings[broken] = trial(worker, database, Path(folder) / str(number), broken)
            database.engine.dispose()
    print_trials(console, findings)
    return not findings.pop(None).wrong and all(finding.wrong for finding in findings.values())


if __name__ == "__main__":
    typer.run(main)
