"""Jobs and their schedules. A run bills a whole month, or a large part of it: a range of partitions, not one each.

Not here: the work itself (`assets`) and alerts (`sensors`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any

from dagster import (
    AssetSelection,
    DagsterInstance,
    RunRequest,
    ScheduleEvaluationContext,
    SkipReason,
    define_asset_job,
)

from fly_billing.assets.finance_journals import finance_journals
from fly_billing.assets.finance_months import finance_months
from fly_billing.assets.invoices import invoices
from fly_billing.assets.platform_records import platform_records
from fly_billing.assets.stripe_invoices import stripe_invoices
from fly_billing.assets.stripe_money import stripe_money
from fly_billing.assets.stripe_reconciliation import stripe_reconciliation
from fly_billing.assets.usage_events import usage_events
from fly_billing.assets.usage_rollups import usage_rollups
from fly_billing.assets.usage_table_files import usage_table_files
from fly_billing.automations import described_schedule
from fly_billing.corrections.held_corrections import months_with_held_corrections
from fly_billing.errors import ActionableError
from fly_billing.finance.month_report import months_to_report
from fly_billing.group_parts import split_in_order
from fly_billing.invoicing.group_members import group_members
from fly_billing.ops.update_open_months import update_open_months
from fly_billing.partition_start import days_with_partition, why_no_partition
from fly_billing.partitions import FROM_SCRATCH, RANGE_END, RANGE_START, month_key, orgs
from fly_billing.periods import BillingMonth, open_months, stretches
from fly_billing.platform_database.all_databases import names_databases
from fly_billing.postgres.database import BillingDatabase
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.billing_terms import BillingTerms
from fly_billing.resources.usage_store import UsageStore
from fly_billing.resources.workspace_folder import WorkspaceFolder
from fly_billing.stripe_sync.money_sweep import can_sweep
from fly_billing.usage.landing_folder import LandingError
from fly_billing.worklist.due import (
    CATCH_UP,
    STILL_CHANGING,
    closed_until,
    days_before_closing,
    days_not_landed,
    days_to_land,
    months_to_close,
    months_to_reconcile,
    months_to_sync,
    months_with_late_usage,
)
from fly_billing.workspace.reading import WorkspaceHasMistakes

read_platform = define_asset_job(
    "read_platform",
    AssetSelection.assets(platform_records),
    description="Read organizations and their terms from the platform's own database.",
)
land_usage = define_asset_job(
    "land_usage",
    AssetSelection.assets(usage_events),
    description="Land the usage files of one or more landing days.",
)
bill_month = define_asset_job(
    "bill_month",
    AssetSelection.assets(usage_rollups, invoices),
    description="Roll up a month's usage and build its invoices. Finalizes them once the month is closed.",
)
maintain_usage_table = define_asset_job(
    "maintain_usage_table",
    AssetSelection.assets(usage_table_files),
    description="Join small files of the usage table, and delete files that nothing refers to.",
)
sync_month = define_asset_job(
    "sync_month",
    AssetSelection.assets(stripe_invoices),
    description="Sync a month's finalized invoices to Stripe and compare the totals.",
)

reconcile_month = define_asset_job(
    "reconcile_month",
    AssetSelection.assets(stripe_reconciliation),
    description="Compare a month's invoices in Stripe with ours. Changes nothing.",
)
sweep_stripe = define_asset_job(
    "sweep_stripe",
    AssetSelection.assets(stripe_money),
    description="Record what happened at Stripe in the last 30 days and no event brought. Changes nothing there.",
)
report_month = define_asset_job(
    "report_month",
    AssetSelection.assets(finance_months, finance_journals),
    description="Write a month's report for finance and, if its books agree, its journal.",
)


def register_groups(instance: DagsterInstance, database: BillingDatabase) -> None:
    """Add a partition for every billing group that has none yet, so that a run over all groups is complete."""
    new = unregistered_groups(instance, database)
    if new:
        instance.add_dynamic_partitions(str(orgs.name), new)


def unregistered_groups(instance: DagsterInstance, database: BillingDatabase) -> list[str]:
    """List the billing groups that have no partition, oldest organizations first."""
    registered = set(instance.get_dynamic_partitions(str(orgs.name)))
    groups = dict.fromkeys(member.billing_group for member in group_members(database))
    return [group for group in groups if group not in registered]


class NoOrganization(ActionableError):
    """No organization existed in the month, so there is nobody to bill."""


def month_tags(instance: DagsterInstance, database: BillingDatabase, month: BillingMonth) -> dict[str, str]:
    """Return the tags of one run for a month: all groups with an organization that existed before the month's end.

    Raises:
        NoOrganization: No organization existed then, or none has a partition yet.
    """
    (tags,) = tags_of_runs(instance, database, month, 1)
    return tags


def tags_of_runs(
    instance: DagsterInstance, database: BillingDatabase, month: BillingMonth, most: int
) -> list[dict[str, str]]:
    """Return the tags of up to this many runs that bill the month together, each a range of its billing groups.

    Raises:
        NoOrganization: As `month_tags`.
    """
    # An organization whose `created_at` can't be read is in the run too: it must fail there, not go missing silently.
    existing = Counter(
        member.billing_group
        for member in group_members(database)
        if not isinstance(member.created_at, datetime) or member.created_at < month.end
    )
    # Dagster keeps partitions in the order in which they were added, and so does a range.
    groups = [group for group in instance.get_dynamic_partitions(str(orgs.name)) if group in existing]
    if not groups:
        raise NoOrganization(f"no organization existed in {month}, or its billing group has no partition yet")
    return [
        {
            RANGE_START: f"{month_key(month)}|{some[0]}",
            RANGE_END: f"{month_key(month)}|{some[-1]}",
            "fly_billing/month": str(month),
        }
        for some in split_in_order({group: existing[group] for group in groups}, most)
    ]


def whole_month(month: BillingMonth) -> dict[str, str]:
    """Return the tags of one run for a month of an asset that has no partitions by billing group."""
    return {RANGE_START: month_key(month), RANGE_END: month_key(month), "fly_billing/month": str(month)}


def landing_range(first: date, last: date) -> dict[str, str]:
    """Return the tags of one run for these landing days, both included."""
    return {RANGE_START: first.isoformat(), RANGE_END: last.isoformat()}


@described_schedule(read_platform, "20 * * * *")
def read_platform_hourly(
    context: ScheduleEvaluationContext, workspace_folder: WorkspaceFolder
) -> Iterator[RunRequest | SkipReason]:
    """Read the platform's database ten minutes before each landing, so that usage of new organizations is accepted.

    Landing does not wait for it: if the platform's database is down, usage of known organizations lands, and that of
    new ones is rejected and lands again by itself once they are known.
    """
    try:
        has_databases = bool(names_databases(workspace_folder.folder()))
    except WorkspaceHasMistakes:
        has_databases = True  # the run fails with the mistakes, which sends an alert. A failed tick sends none.
    if has_databases:
        yield RunRequest(run_key=f"platform@{context.scheduled_execution_time:%Y-%m-%dT%H:%M}")
    else:
        yield SkipReason("no workspace declares a database of the platform (FLY_BILLING_WORKSPACE, sources.yaml)")


@described_schedule(land_usage, "30 * * * *")
def land_usage_hourly(
    context: ScheduleEvaluationContext,
    billing_postgres: BillingPostgres,
    billing_terms: BillingTerms,
    usage_store: UsageStore,
) -> Iterator[RunRequest]:
    """Land yesterday's and today's usage again, as sources may still add files. Landing a day again replaces it.

    It also lands older days that a month needs before it can close: days that were missed while nothing ran, folders
    whose files have changed since, and days with rejected rows whose meter or organization exists now.
    """
    now = context.scheduled_execution_time.astimezone(UTC)
    database, grace = billing_postgres.database(), billing_terms.terms().grace
    today, yesterday = now.date(), now.date() - timedelta(days=1)
    due = {today, yesterday, *days_not_landed(database, today - CATCH_UP, yesterday)}
    for month in months_to_close(database, closed_until(now, grace)):
        due.update(days_before_closing(database, month, grace))
    try:
        due.update(days_to_land(database, usage_store.landing(), now))
    except LandingError as problem:
        # The runs of today and yesterday meet the same error and fail, which sends an alert. A failed tick sends none.
        context.log.error(str(problem))
    for first, last in stretches(days_with_partition(context, due)):
        yield RunRequest(run_key=f"{first}/{last}@{now:%Y-%m-%dT%H:%M}", tags=landing_range(first, last))


@described_schedule(bill_month, "0 2 * * *")
def bill_open_months_nightly(
    context: ScheduleEvaluationContext, billing_postgres: BillingPostgres, billing_terms: BillingTerms
) -> Iterator[RunRequest | SkipReason]:
    """Update the upcoming invoices of the current month, and of last month during its grace period.

    Rolls up and calculates everything again, also what seems unchanged, so that an error lasts a day at most.
    """
    now = context.scheduled_execution_time.astimezone(UTC)
    months = open_months(now, billing_terms.terms().grace)
    yield from _requests(
        context, billing_postgres.database(), months, {FROM_SCRATCH: "true"}, most_runs=billing_terms.most_runs()
    )


@described_schedule(maintain_usage_table, "0 3 * * *")
def maintain_usage_table_nightly(
    context: ScheduleEvaluationContext, billing_postgres: BillingPostgres
) -> Iterator[RunRequest | SkipReason]:
    """Join the small files of the usage table's past days, between the nightly billing and the closing of months."""
    if billing_postgres.database().values("first_landed_month") == [None]:
        yield SkipReason("no usage has landed")
    else:
        yield RunRequest(run_key=f"usage table@{context.scheduled_execution_time:%Y-%m-%d}")


@described_schedule(bill_month, "0 4 * * *")
def close_months_nightly(
    context: ScheduleEvaluationContext, billing_postgres: BillingPostgres, billing_terms: BillingTerms
) -> Iterator[RunRequest | SkipReason]:
    """Finalize the invoices of months whose grace period is over.

    It runs every night, so the next night catches up on a missed night or a failed organization. Closed months with
    late usage run again too: their invoices do not change, and the difference goes on the next invoices. So do months
    with corrections that wait for approval: the usage may have arrived again, or the corrections may be approved.
    """
    now = context.scheduled_execution_time.astimezone(UTC)
    database = billing_postgres.database()
    due = months_to_close(database, closed_until(now, billing_terms.terms().grace))
    again = {*months_with_late_usage(database), *months_with_held_corrections(database)}
    yield from _requests(context, database, sorted({*due, *again}), most_runs=billing_terms.most_runs())


@described_schedule(sync_month, "15 * * * *")
def sync_months_hourly(
    context: ScheduleEvaluationContext, billing_postgres: BillingPostgres
) -> Iterator[RunRequest | SkipReason]:
    """Sync months with finalized invoices that are not in Stripe yet, except those that need manual work first."""
    database = billing_postgres.database()
    yield from _requests(context, database, months_to_sync(database))


@described_schedule(reconcile_month, "0 5 * * *")
def reconcile_months_nightly(
    context: ScheduleEvaluationContext, billing_postgres: BillingPostgres
) -> Iterator[RunRequest | SkipReason]:
    """Compare months with Stripe that have unpaid invoices or were synced in the last 60 days."""
    now = context.scheduled_execution_time.astimezone(UTC)
    due = months_to_reconcile(billing_postgres.database(), now - STILL_CHANGING)
    if not due:
        yield SkipReason("no invoice in Stripe can still change")
    yield from _month_requests(context, due, now)


@described_schedule(sweep_stripe, "30 5 * * *")
def sweep_stripe_nightly(
    context: ScheduleEvaluationContext, billing_postgres: BillingPostgres
) -> Iterator[RunRequest | SkipReason]:
    """Compare Stripe's credit notes, refunds, disputes, balances and open invoices with our records."""
    if can_sweep(billing_postgres.database()):
        yield RunRequest(run_key=f"sweep@{context.scheduled_execution_time:%Y-%m-%d}")
    else:
        yield SkipReason("no organization has a customer in Stripe")


@described_schedule(report_month, "0 6 * * *")
def report_months_nightly(
    context: ScheduleEvaluationContext, billing_postgres: BillingPostgres
) -> Iterator[RunRequest | SkipReason]:
    """Report months that have unpaid invoices or changed in the last 60 days, after the reconciliation."""
    now = context.scheduled_execution_time.astimezone(UTC)
    due = months_to_report(billing_postgres.database(), now - STILL_CHANGING)
    if not due:
        yield SkipReason("no month has a final invoice that can still change")
    yield from _month_requests(context, due, now)


def _month_requests(
    context: ScheduleEvaluationContext, due: Sequence[BillingMonth], now: datetime
) -> Iterator[RunRequest]:
    for month in due:
        if problem := why_no_partition(context, month):
            context.log.error(problem)
            continue
        yield RunRequest(run_key=f"{month}@{now:%Y-%m-%d}", tags=whole_month(month))


def _requests(
    context: ScheduleEvaluationContext,
    database: BillingDatabase,
    months: Sequence[BillingMonth],
    more: Mapping[str, str] = MappingProxyType({}),
    *,
    most_runs: int = 1,
) -> Iterator[RunRequest | SkipReason]:
    """Request up to this many runs per month. Skip with the reason if there is no month, or nobody to bill in any."""
    register_groups(context.instance, database)
    requests, reasons = [], [] if months else ["no month is due"]
    for month in months:
        if problem := why_no_partition(context, month):
            reasons.append(problem)
            continue
        try:
            runs = tags_of_runs(context.instance, database, month, most_runs)
        except NoOrganization as problem:
            reasons.append(str(problem))
            continue
        run_key = f"{month}@{context.scheduled_execution_time:%Y-%m-%dT%H:%M}"
        requests += [
            RunRequest(run_key=run_key if len(runs) == 1 else f"{run_key} {number}", tags={**tags, **more})
            for number, tags in enumerate(runs, start=1)
        ]
    yield from requests
    if not requests:
        yield SkipReason("; ".join(reasons))


# Dagster has no public name for a job of assets.
JOBS: list[Any] = [
    read_platform,
    land_usage,
    bill_month,
    update_open_months,
    maintain_usage_table,
    sync_month,
    reconcile_month,
    sweep_stripe,
    report_month,
]
SCHEDULES = [
    read_platform_hourly,
    land_usage_hourly,
    bill_open_months_nightly,
    maintain_usage_table_nightly,
    close_months_nightly,
    sync_months_hourly,
    reconcile_months_nightly,
    sweep_stripe_nightly,
    report_months_nightly,
]
