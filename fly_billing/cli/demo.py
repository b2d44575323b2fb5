"""`fly-billing demo`: a month (and more) of usage billed, synced and proven equal, with progress on the way."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime

from dagster import DagsterInstance
from rich.progress import Progress

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.progress import each, progress_bars
from fly_billing.cli.runs import RunRecord, Runs, stretch_name
from fly_billing.cli.seeding import seeded_day
from fly_billing.cli.statement import show_statement
from fly_billing.cli.summary import reconcile_all, show_summary, totals
from fly_billing.cli.terminal import Terminal, styled
from fly_billing.jobs import closed_until, open_months
from fly_billing.periods import BillingMonth, stretches
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate, owner_database
from fly_billing.resources.clock import Clock
from fly_billing.resources.stripe_account import StripeAccount
from fly_billing.sample_platform import seed
from fly_billing.settings import Settings
from fly_billing.statements.statement_reader import read_statement
from fly_billing.usage.usage_table import UsageTable
from fly_billing.worklist.due import days_before_closing, days_to_land, months_to_close, months_to_sync


def demo(console: Terminal) -> bool:
    """Run the demo; return whether everything holds: no failed run or check, no discrepancy."""
    with local_platform(stripe=True, migrates=True) as settings, progress_bars(console) as progress:
        database = BillingDatabase(settings.database_url)
        _prepare(settings, database, progress)
        record = _bill_everything(settings, database, progress)
        progress.stop()
        return _conclude(console, settings, database, record)


def _prepare(settings: Settings, database: BillingDatabase, progress: Progress) -> None:
    task = progress.add_task("Migrating and seeding", total=2)
    migrate(owner_database(settings))
    progress.advance(task)
    seed(
        database,
        settings.landing_dir,
        usage_table=UsageTable.from_settings(settings),
        today=seeded_day(settings.data_dir, datetime.now(UTC).date()),
        max_org_partitions=settings.max_org_partitions,
        shared_groups=settings.shared_groups,
        progress=lambda text: progress.update(task, description=f"Seeding: {text}"),
    )
    progress.update(task, advance=1, description="Migrated and seeded")


def _bill_everything(settings: Settings, database: BillingDatabase, progress: Progress) -> RunRecord:
    now = datetime.now(UTC)
    with DagsterInstance.get() as instance, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Dagster's words about its own beta parameters
        runs = Runs(instance, database)
        runs.register_organizations()
        closed = months_to_close(database, closed_until(now, settings.grace))
        due = {day for month in closed for day in days_before_closing(database, month, settings.grace)}
        days = sorted(due.union(days_to_land(database, settings.landing_dir, now, by_content=True)))
        each(progress, f"Landing usage files of {len(days)} days", stretches(days), runs.land, stretch_name)
        each(progress, "Billing closed months", closed, runs.bill)
        each(progress, "Syncing to Stripe", months_to_sync(database), runs.sync)
        each(progress, "Computing upcoming invoices", open_months(now, settings.grace), runs.bill)
        return runs.record


def _conclude(console: Terminal, settings: Settings, database: BillingDatabase, record: RunRecord) -> bool:
    account, clock = StripeAccount(), Clock()
    both = reconcile_all(database, account.reader(account.sync_tools(database, clock, "demo")))
    show_summary(console, database, both)
    for chosen in database.rows("organization_to_show"):
        month = BillingMonth.containing(chosen["month"])
        show_statement(console, read_statement(database, chosen["organization_id"], clock.now(), month))
    for problem in [*record.failed_runs, *record.failed_checks]:
        console.print(styled("failed", "red"), problem, soft_wrap=True)
    result = totals(database, both)
    if result.is_equal and record.is_clean:
        console.print(
            f"Stripe agrees with us to the cent. `make dev` shows it all in Dagster; the data: {settings.data_dir}."
        )
    console.print(result.line(), soft_wrap=True)
    return result.is_equal and record.is_clean
