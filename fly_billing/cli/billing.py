"""`fly-billing land`, `bill` and `sync`: Dagster runs in this process, told in a line."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from dagster import DagsterInstance
from rich.console import Console
from rich.markup import escape

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.runs import Runs
from fly_billing.domain.periods import BillingMonth
from fly_billing.resources.backlog import days_before_closing, days_due, needs_attention, stretches
from fly_billing.resources.postgres import BillingDatabase
from fly_billing.resources.settings import Settings


@contextmanager
def _runs(stripe: bool) -> Iterator[tuple[Runs, Settings, BillingDatabase]]:
    with local_platform(stripe=stripe) as settings, warnings.catch_warnings(), DagsterInstance.get() as instance:
        warnings.simplefilter("ignore")  # Dagster's words about its own beta parameters
        database = BillingDatabase(settings.database_url)
        yield Runs(instance, database), settings, database


def land_new_files(console: Console, month: BillingMonth | None) -> bool:
    """Land every landing day whose folder has changed, and all that count for `month`; return whether all went well.

    A month is closed only when all its landing days were landed after they ended, also those without files. What is in
    the landing folder and needs a person is printed, and then not all went well.
    """
    with _runs(stripe=False) as (runs, settings, database):
        now = datetime.now(UTC)
        due = days_before_closing(database, month, settings.grace) if month else []
        days = sorted({*due, *days_due(database, settings.landing_dir, now, settings.grace)})
        with console.status(f"Landing {len(days)} days"):
            for stretch in stretches(days):
                runs.land(stretch)
        unclear = needs_attention(database, settings.landing_dir, now)
        for one in unclear:
            line = f"[red]needs attention[/red] {escape(one.path)}: {escape(one.message)}"
            console.print(line, highlight=False, soft_wrap=True)
        return tell_problems(console, runs, f"{len(days)} landing days landed") and not unclear


def run_month(console: Console, job: str, month: BillingMonth) -> bool:
    """Run `bill_month` or `sync_month` for all organizations; return whether all went well."""
    with _runs(stripe=job == "sync_month") as (runs, _, _):
        runs.register_organizations()
        with console.status(f"{job} {month}"):
            (runs.sync if job == "sync_month" else runs.bill)(month)
        return tell_problems(console, runs, f"{job} {month} done")


def tell_problems(console: Console, runs: Runs, done: str) -> bool:
    """Print what failed, or else `done`; return whether all went well."""
    for problem in [*runs.record.failed_runs, *runs.record.failed_checks]:
        console.print(f"[red]failed[/red] {escape(problem)}", highlight=False, soft_wrap=True)
    if runs.record.is_clean:
        console.print(done, highlight=False)
    return runs.record.is_clean
