"""`fly-billing backfill`: bill a stretch of months again, one run each; stopped, it goes on where it was.

Which months of a backfill are done is kept in the tags of their runs, where the UI shows it: `fly_billing/backfill` is
the backfill's name, and runs that went well, checks included, have `fly_billing/backfilled`. Months are independent:
one that fails is told at the end and leaves the others be.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from dagster import DagsterInstance, RunsFilter

from fly_billing.cli.billing import tell_problems
from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.progress import each, progress_bars
from fly_billing.cli.runs import Runs, stretch_name
from fly_billing.cli.terminal import Terminal
from fly_billing.errors import ActionableError
from fly_billing.periods import FIRST_MONTH, BillingMonth, months_between, stretches
from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import Settings
from fly_billing.worklist.due import days_before_closing, days_to_land

NAME, DONE = "fly_billing/backfill", "fly_billing/backfilled"


def backfill(console: Terminal, first: BillingMonth, last: BillingMonth, *, again: bool = False) -> bool:
    """Bill the months from `first` to `last`, oldest first; return whether all of them went well.

    A backfill of the same months that was stopped, or in which some failed, goes on with what is left of it; `again`
    begins anew. Raises ActionableError where the months make no sense.
    """
    months = _months(first, last, datetime.now(UTC))
    with local_platform() as settings, warnings.catch_warnings(), DagsterInstance.get() as instance:
        warnings.simplefilter("ignore")  # Dagster's words about its own beta parameters
        database = BillingDatabase(settings.database_url)
        left = _what_is_left(instance, f"{first}..{last}", months, again=again)
        if len(left.months) < len(months):
            done = len(months) - len(left.months)
            console.print(f"{done} of {len(months)} months of backfill {left.name} were done before.")
        runs = Runs(instance, database)
        runs.register_organizations()
        days = _days_to_land(settings, database, left.months)

        def bill(month: BillingMonth) -> None:
            if run_id := runs.bill(month, {NAME: left.name}):
                instance.add_run_tags(run_id, {DONE: "true"})

        try:
            with progress_bars(console) as progress:
                each(progress, f"Landing usage files of {len(days)} days", stretches(days), runs.land, stretch_name)
                each(progress, "Billing", left.months, bill)
        except KeyboardInterrupt:
            console.print("Stopped; the month at hand is as it was before. The same command goes on from here.")
            return False
        return tell_problems(console, runs, f"Backfill {left.name}: {len(left.months)} months billed.")


def _months(first: BillingMonth, last: BillingMonth, now: datetime) -> list[BillingMonth]:
    if last < first:
        raise ActionableError(f"{first} comes after {last}: name the earlier month first")
    if first < FIRST_MONTH:
        raise ActionableError(f"{first} is before {FIRST_MONTH}, the first month that can be billed")
    if last.start > now:
        raise ActionableError(f"{last} has not begun")
    return months_between(first, last)


@dataclass(frozen=True)
class _Left:
    """A backfill by its name, and its months that are not done."""

    name: str
    months: Sequence[BillingMonth]


def _what_is_left(instance: DagsterInstance, what: str, months: list[BillingMonth], *, again: bool) -> _Left:
    """Return the last backfill of these months if it is not done; else a new one."""
    number, left = 0, []
    while began := instance.get_runs(RunsFilter(tags={NAME: f"{what}#{number + 1}"})):
        number += 1
        done = {run.tags["fly_billing/month"] for run in began if DONE in run.tags}
        left = [month for month in months if str(month) not in done]
    if left and not again:
        return _Left(f"{what}#{number}", left)
    return _Left(f"{what}#{number + 1}", months)


def _days_to_land(settings: Settings, database: BillingDatabase, months: Sequence[BillingMonth]) -> list[date]:
    """List the landing days that these months wait for: not landed since they ended, or with other files since."""
    if not months:
        return []
    now = datetime.now(UTC)
    first, last = months[0].first_day, months[-1].last_landing_day(settings.grace)
    due = {day for month in months for day in days_before_closing(database, month, settings.grace)}
    due.update(day for day in days_to_land(database, settings.landing_dir, now) if first <= day <= last)
    return sorted(day for day in due if day <= now.date())
