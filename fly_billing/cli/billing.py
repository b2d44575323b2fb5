"""`fly-billing land`, `bill` and `sync`: Dagster runs in this process, told in a line."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from dagster import DagsterInstance

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.runs import Runs
from fly_billing.cli.terminal import Terminal, busy, joined, styled
from fly_billing.periods import FIRST_MONTH, BillingMonth, stretches
from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import Settings
from fly_billing.usage.repair import find_damage, reland_damaged_days
from fly_billing.usage.usage_table import UsageTable
from fly_billing.worklist.due import days_before_closing, days_due, list_landing_problems


@contextmanager
def _runs(stripe: bool) -> Iterator[tuple[Runs, Settings, BillingDatabase]]:
    with local_platform(stripe=stripe) as settings, warnings.catch_warnings(), DagsterInstance.get() as instance:
        warnings.simplefilter("ignore")  # Dagster's words about its own beta parameters
        database = BillingDatabase(settings.database_url)
        yield Runs(instance, database), settings, database


def land_new_files(console: Terminal, month: BillingMonth | None) -> bool:
    """Land every landing day whose folder has changed, and all that count for `month`; return whether all went well.

    A month is closed only when all its landing days were landed after they ended, also those without files. What is in
    the landing folder and needs a person is printed, and then not all went well.
    """
    with _runs(stripe=False) as (runs, settings, database):
        now = datetime.now(UTC)
        due = days_before_closing(database, month, settings.grace) if month else []
        days = sorted({*due, *days_due(database, settings.landing_dir, now, settings.grace)})
        with busy(console, f"Landing {len(days)} days"):
            for stretch in stretches(days):
                runs.land(stretch)
        unclear = list_landing_problems(database, settings.landing_dir, now)
        for one in unclear:
            line = joined(styled("needs attention", "red"), f" {one.path}: {one.message}")
            console.print(line, soft_wrap=True)
        return tell_problems(console, runs, f"{len(days)} landing days landed") and not unclear


def repair_usage_table(console: Terminal, *, yes: bool, new_table: bool) -> bool:
    """Show what is wrong with the usage table, and with `yes` land again what differs; return whether all is right."""
    with local_platform() as settings:
        database, usage_table = BillingDatabase(settings.database_url), UsageTable.from_settings(settings)
        damage = find_damage(database, usage_table, settings.landing_dir)
        if damage.is_none:
            console.print("The usage table agrees with the billing database: nothing to repair.")
            return True
        console.print(damage.problem, soft_wrap=True)
        what = "a new table is made and " if damage.base is None else ""
        console.print(f"To repair it, {what}{len(damage.days)} landing days are landed again:")
        for first, last in stretches(damage.days):
            console.print(f"  {first} to {last}")
        if not yes:
            flags = " --new-table" if damage.base is None else ""
            console.print(f"Nothing was changed. `fly-billing land --repair --yes{flags}` does it.")
            return False
        now = datetime.now(UTC)
        reland_damaged_days(database, usage_table, settings.landing_dir, FIRST_MONTH, now, new_table=new_table)
        console.print("Repaired: the usage table agrees with the billing database.")
        return True


def run_month(console: Terminal, job: str, month: BillingMonth) -> bool:
    """Run `bill_month` or `sync_month` for all organizations; return whether all went well."""
    with _runs(stripe=job == "sync_month") as (runs, _, _):
        runs.register_organizations()
        with busy(console, f"{job} {month}"):
            (runs.sync if job == "sync_month" else runs.bill)(month)
        return tell_problems(console, runs, f"{job} {month} done")


def tell_problems(console: Terminal, runs: Runs, done: str) -> bool:
    """Print what failed, or else `done`; return whether all went well."""
    for problem in [*runs.record.failed_runs, *runs.record.failed_checks]:
        console.print(styled("failed", "red"), problem, soft_wrap=True)
    if runs.record.is_clean:
        console.print(done)
    return runs.record.is_clean
