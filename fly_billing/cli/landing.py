"""Lands usage files, and repairs the usage table: `fly-billing land`."""

from __future__ import annotations

from datetime import UTC, datetime

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.run_results import progress_terminal, show_land_result
from fly_billing.cli.runs import open_runs
from fly_billing.cli.terminal import Terminal, busy
from fly_billing.cli.workspace_folder import say_if_sources_here_are_not_used
from fly_billing.money import counted
from fly_billing.operations.run_results import read_land_result
from fly_billing.partitions import FROM_SCRATCH
from fly_billing.periods import FIRST_MONTH, BillingMonth, stretches
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.rejections import list_days
from fly_billing.usage.repair import find_damage, reland_damaged_days
from fly_billing.usage.source_contracts import SourceContracts
from fly_billing.usage.usage_table import UsageTable
from fly_billing.worklist.due import accepted_events, days_due, landing_days_of, list_landing_problems
from fly_billing.workspace.files import read_declared_sources


def land_files(
    console: Terminal,
    month: BillingMonth | None,
    *,
    with_rejected: bool = False,
    from_scratch: bool = False,
    as_json: bool = False,
) -> bool:
    """Land every day with new or changed files, and every day that `month` needs before it can be closed.

    A month is closed only after each of its landing days was landed once it was over, also days without files.

    Args:
        with_rejected: Also land days with unresolved rejected rows again: perhaps sources.yaml was corrected.
        from_scratch: Read all files again of every day on which the month's usage may land.

    Returns:
        True if no run or check failed and nothing in the landing folder needs attention.
    """
    with open_runs() as (runs, settings, database):
        now = datetime.now(UTC)
        days = days_due(database, settings.landing_dir, now, settings.grace, month)
        if with_rejected:
            days = sorted({*days, *list_days(database)})
        if from_scratch and month:
            days = sorted({*days, *landing_days_of(month, settings.grace, now.date())})
        before = accepted_events(database)
        with busy(progress_terminal(console, as_json=as_json), f"Landing {counted(len(days), 'day')}"):
            for stretch in stretches(days):
                runs.land(stretch, {FROM_SCRATCH: "true"} if from_scratch else None)
        unclear = list_landing_problems(database, settings.landing_dir, now)
        result = read_land_result(database, days, now, before)
    if not as_json:
        say_if_sources_here_are_not_used(console, settings)
    return show_land_result(console, result, unclear, runs.record, as_json=as_json)


def repair_usage_table(console: Terminal, *, yes: bool, new_table: bool) -> bool:
    """Print the damage of the usage table; with `yes`, land the damaged days again. Returns True if none is left."""
    with local_platform() as settings:
        database, usage_table = BillingDatabase(settings.database_url), UsageTable.from_settings(settings)
        damage = find_damage(database, usage_table, settings.landing_dir)
        if damage.is_none:
            console.print("The usage table agrees with the billing database: nothing to repair.")
            return True
        console.print(damage.problem, soft_wrap=True)
        steps = "create a new table and " if damage.base is None else ""
        console.print(f"To repair it, {steps}land {counted(len(damage.days), 'day')} again:")
        for first, last in stretches(damage.days):
            console.print(f"  {first} to {last}")
        if not yes:
            flags = " --new-table" if damage.base is None else ""
            console.print(f"Nothing was changed. `fly-billing land --repair --yes{flags}` does it.")
            return False
        now = datetime.now(UTC)
        contracts = SourceContracts(read_declared_sources(settings.workspace_dir))
        reland_damaged_days(
            database, usage_table, settings.landing_dir, FIRST_MONTH, now, new_table=new_table, contracts=contracts
        )
        console.print("Repaired: the usage table agrees with the billing database.")
        return True
