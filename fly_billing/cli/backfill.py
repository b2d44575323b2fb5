"""Bills a range of months again, one run each, and resumes after an interruption: `fly-billing backfill`.

Tags of the runs record the progress, so the UI shows it: `fly_billing/backfill` has the backfill's name, and a run that
succeeded, with all its checks, has `fly_billing/backfilled`. A month that fails does not stop the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dagster import DagsterInstance, RunsFilter

from fly_billing.cli.progress import each, progress_bars
from fly_billing.cli.run_results import show_outcome
from fly_billing.cli.runs import open_runs, stretch_name
from fly_billing.cli.terminal import Terminal
from fly_billing.errors import ActionableError
from fly_billing.money import counted
from fly_billing.periods import BillingMonth, months_between, stretches, why_not_billable
from fly_billing.worklist.due import days_to_land_for

NAME, DONE = "fly_billing/backfill", "fly_billing/backfilled"


def backfill(console: Terminal, first: BillingMonth, last: BillingMonth, *, again: bool = False) -> bool:
    """Bill the months from `first` to `last`, oldest first.

    Args:
        again: Start over. Otherwise resume the last backfill of these months if some of them are not done.

    Returns:
        True if no run or check failed, and the backfill was not interrupted.

    Raises:
        ActionableError: The range is empty, or begins too early or too late.
    """
    months = _months(first, last, datetime.now(UTC))
    with open_runs() as (runs, settings, database):
        plan = _plan(runs.instance, f"{first}..{last}", months, again=again)
        if len(plan.months) < len(months):
            done = len(months) - len(plan.months)
            console.print(f"{done} of {counted(len(months), 'month')} of backfill {plan.name} already done.")
        runs.register_organizations()
        days = days_to_land_for(database, settings.landing_dir, plan.months, datetime.now(UTC), settings.grace)

        def bill(month: BillingMonth) -> None:
            if run_id := runs.bill(month, {NAME: plan.name}):
                runs.instance.add_run_tags(run_id, {DONE: "true"})

        try:
            with progress_bars(console) as progress:
                each(
                    progress,
                    f"Landing usage files of {counted(len(days), 'day')}",
                    stretches(days),
                    runs.land,
                    stretch_name,
                )
                each(progress, "Billing", plan.months, bill)
        except KeyboardInterrupt:
            console.print("Interrupted. The current month is unchanged. Run the same command again to resume.")
            return False
        return show_outcome(console, runs.record, f"Backfill {plan.name}: {counted(len(plan.months), 'month')} billed.")


def _months(first: BillingMonth, last: BillingMonth, now: datetime) -> list[BillingMonth]:
    if last < first:
        raise ActionableError(f"the range {first} to {last} is reversed: name the earlier month first")
    for month in (first, last):
        if problem := why_not_billable(month, now):
            raise ActionableError(problem)
    return months_between(first, last)


@dataclass(frozen=True)
class _BackfillPlan:
    """A backfill's name, and its months that are not done."""

    name: str
    months: Sequence[BillingMonth]


def _plan(instance: DagsterInstance, months_name: str, months: list[BillingMonth], *, again: bool) -> _BackfillPlan:
    """Return the last backfill of these months if it is not done, else a new one."""
    number, remaining = 0, []
    while runs := instance.get_runs(RunsFilter(tags={NAME: f"{months_name}#{number + 1}"})):
        number += 1
        done = {run.tags["fly_billing/month"] for run in runs if DONE in run.tags}
        remaining = [month for month in months if str(month) not in done]
    if remaining and not again:
        return _BackfillPlan(f"{months_name}#{number}", remaining)
    return _BackfillPlan(f"{months_name}#{number + 1}", months)
