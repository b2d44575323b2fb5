"""Bills a sample platform, syncs it to the Stripe sandbox and compares both sides: `fly-billing demo`."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime

from dagster import DagsterInstance
from rich.progress import Progress

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.progress import each, progress_bars
from fly_billing.cli.runs import RunRecord, Runs, show_failures, stretch_name
from fly_billing.cli.seeding import seeded_day
from fly_billing.cli.statement import show_statement
from fly_billing.cli.summary import show_summary, summary_totals
from fly_billing.cli.terminal import Terminal
from fly_billing.money import counted
from fly_billing.periods import open_months, stretches
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate, owner_database
from fly_billing.resources.clock import Clock
from fly_billing.resources.stripe_account import StripeAccount
from fly_billing.sample_platform import seed
from fly_billing.settings import Settings
from fly_billing.statements.platform_summary import find_example_invoice
from fly_billing.statements.statement_reader import read_statement
from fly_billing.stripe_sync.reconciliation import reconcile_all_months
from fly_billing.usage.usage_table import UsageTable
from fly_billing.worklist.due import closed_until, days_due, months_to_close, months_to_sync


def demo(console: Terminal) -> bool:
    """Run the demo. Returns True if no run or check failed and Stripe agrees with our invoices."""
    with local_platform(stripe=True, migrates=True) as settings, progress_bars(console) as progress:
        database = BillingDatabase(settings.database_url)
        _prepare(settings, database, progress)
        record = _bill_everything(settings, database, progress)
        progress.stop()
        return _show_results(console, settings, database, record)


def _prepare(settings: Settings, database: BillingDatabase, progress: Progress) -> None:
    task = progress.add_task("Migrating and seeding", total=2)
    migrate(owner_database(settings))
    progress.advance(task)
    seed(
        database,
        settings.local_landing_dir("into which sample usage is not written"),
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
        warnings.simplefilter("ignore")  # Dagster warns about its own beta parameters
        runs = Runs(instance, database)
        runs.register_organizations()
        days = days_due(database, settings.landing_dir, now, settings.grace)
        each(progress, f"Landing usage files of {counted(len(days), 'day')}", stretches(days), runs.land, stretch_name)
        closed = months_to_close(database, closed_until(now, settings.grace))
        each(progress, "Billing closed months", closed, runs.bill)
        each(progress, "Syncing to Stripe", months_to_sync(database), runs.sync)
        each(progress, "Computing upcoming invoices", open_months(now, settings.grace), runs.bill)
        return runs.record


def _show_results(console: Terminal, settings: Settings, database: BillingDatabase, record: RunRecord) -> bool:
    account, clock = StripeAccount(), Clock()
    tools = account.sync_tools(database, clock, "demo")
    reconciliations = reconcile_all_months(tools.journal, account.reader(tools))
    show_summary(console, database, reconciliations)
    example = find_example_invoice(database)
    if example:
        show_statement(console, read_statement(database, example.organization_id, clock.now(), example.billing_month))
    show_failures(console, record)
    totals = summary_totals(database, reconciliations)
    is_successful = totals.is_equal and record.is_clean
    if is_successful:
        console.print(
            f"Stripe agrees with our invoices to the cent. `make dev` shows them in Dagster. Data: {settings.data_dir}"
        )
    console.print(totals.line(), soft_wrap=True)
    return is_successful
