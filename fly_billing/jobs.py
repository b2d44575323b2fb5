"""Jobs and their schedules. A whole month is one run: a range of partitions, not a run per organization.

Keeps out: what the assets do, alerts (`sensors`).
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

from dagster import (
    AssetSelection,
    DagsterInstance,
    DefaultScheduleStatus,
    RunRequest,
    ScheduleEvaluationContext,
    SkipReason,
    define_asset_job,
    schedule,
)

from fly_billing.assets.invoices import invoices
from fly_billing.assets.stripe_invoices import stripe_invoices
from fly_billing.assets.stripe_reconciliation import stripe_reconciliation
from fly_billing.assets.usage_events import usage_events
from fly_billing.assets.usage_rollups import usage_rollups
from fly_billing.corrections.approvals import months_with_held_corrections
from fly_billing.errors import ActionableError
from fly_billing.partitions import month_key, orgs
from fly_billing.periods import BillingMonth, stretches
from fly_billing.postgres.database import BillingDatabase
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.billing_terms import BillingTerms
from fly_billing.resources.usage_store import UsageStore
from fly_billing.usage.landing_folder import LandingError
from fly_billing.worklist.due import (
    days_before_closing,
    days_not_landed,
    days_to_land,
    months_to_close,
    months_to_reconcile,
    months_to_sync,
    months_with_late_usage,
)

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
CATCH_UP = timedelta(days=40)
# So long after it was sent a paid invoice is looked at in Stripe every night.
STILL_CHANGING = timedelta(days=60)

land_usage = define_asset_job(
    "land_usage",
    AssetSelection.assets(usage_events),
    description="Land the usage files of one or more landing days.",
)
bill_month = define_asset_job(
    "bill_month",
    AssetSelection.assets(usage_rollups, invoices),
    description="Roll a month's usage up and compute its invoices; finalizes them once the month is closed.",
)
sync_month = define_asset_job(
    "sync_month",
    AssetSelection.assets(stripe_invoices),
    description="Bring a month's finalized invoices to Stripe and compare both sides.",
)

reconcile_month = define_asset_job(
    "reconcile_month",
    AssetSelection.assets(stripe_reconciliation),
    description="Compare what Stripe holds of a month with what we billed; changes nothing.",
)


def register_groups(instance: DagsterInstance, database: BillingDatabase) -> None:
    """Make a partition of every billing group that has none yet, so that a range of all leaves nobody out."""
    new = unregistered_groups(instance, database)
    if new:
        instance.add_dynamic_partitions(str(orgs.name), new)


def unregistered_groups(instance: DagsterInstance, database: BillingDatabase) -> list[str]:
    """List billing groups without a partition, those of the oldest organizations first."""
    known = set(instance.get_dynamic_partitions(str(orgs.name)))
    groups = dict.fromkeys(row["billing_group"] for row in database.rows("billing_groups"))
    return [group for group in groups if group not in known]


class NoOrganization(ActionableError):
    """There is nobody to bill in the month."""


def month_tags(instance: DagsterInstance, database: BillingDatabase, month: BillingMonth) -> dict[str, str]:
    """Return the tags that make one run of a month: all groups with organizations that existed before its end.

    A range follows the order of registration. Raises NoOrganization if no organization existed then.
    """
    # One whose beginning can't be read is in the run as well, and fails there: it is not left out in silence.
    existing = {
        row["billing_group"]
        for row in database.rows("billing_groups")
        if not isinstance(row["created_at"], datetime) or row["created_at"] < month.end
    }
    groups = [group for group in instance.get_dynamic_partitions(str(orgs.name)) if group in existing]
    if not groups:
        raise NoOrganization(f"no organization existed in {month}, or none has a partition yet")
    first, last = (f"{month_key(month)}|{group}" for group in (groups[0], groups[-1]))
    return {RANGE_START: first, RANGE_END: last, "fly_billing/month": str(month)}


def landing_range(first: date, last: date) -> dict[str, str]:
    """Return the tags that make one run of these landing days, both included."""
    return {RANGE_START: first.isoformat(), RANGE_END: last.isoformat()}


@schedule(job=land_usage, cron_schedule="30 * * * *", default_status=DefaultScheduleStatus.RUNNING)
def land_usage_hourly(
    context: ScheduleEvaluationContext,
    billing_postgres: BillingPostgres,
    billing_terms: BillingTerms,
    usage_store: UsageStore,
) -> Iterator[RunRequest]:
    """Land yesterday's and today's folders: sources may still be adding to them, and landing again replaces.

    Also whatever a month is waiting for to be closed: days that were missed while nothing ran, older folders that hold
    other files than were landed, and days with rejected rows whose meter or organization has been added since.
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
        # The runs of today and yesterday meet it again, fail, and are alerted of; a tick that fails is not.
        context.log.error(str(problem))
    for first, last in stretches(due):
        yield RunRequest(run_key=f"{first}/{last}@{now:%Y-%m-%dT%H:%M}", tags=landing_range(first, last))


@schedule(job=bill_month, cron_schedule="0 2 * * *", default_status=DefaultScheduleStatus.RUNNING)
def bill_open_months_nightly(
    context: ScheduleEvaluationContext, billing_postgres: BillingPostgres, billing_terms: BillingTerms
) -> Iterator[RunRequest | SkipReason]:
    """Compute the upcoming invoices: of the month that runs, and of the one before while it is in its grace period."""
    now = context.scheduled_execution_time.astimezone(UTC)
    months = open_months(now, billing_terms.terms().grace)
    yield from _requests(context, billing_postgres.database(), months)


@schedule(job=bill_month, cron_schedule="0 4 * * *", default_status=DefaultScheduleStatus.RUNNING)
def close_months_nightly(
    context: ScheduleEvaluationContext, billing_postgres: BillingPostgres, billing_terms: BillingTerms
) -> Iterator[RunRequest | SkipReason]:
    """Finalize months whose grace period is over and that still have organizations without a final invoice.

    Looks every night, so a missed night or a failed organization is caught up on the next. Closed months of which usage
    came in late run again too: their invoices stay as they are, and what is different goes on the next ones. So do
    months with corrections that wait for a person: usage may be back, or they may be approved.
    """
    now = context.scheduled_execution_time.astimezone(UTC)
    database = billing_postgres.database()
    due = months_to_close(database, closed_until(now, billing_terms.terms().grace))
    again = {*months_with_late_usage(database), *months_with_held_corrections(database)}
    yield from _requests(context, database, sorted({*due, *again}))


@schedule(job=sync_month, cron_schedule="15 * * * *", default_status=DefaultScheduleStatus.RUNNING)
def sync_months_hourly(
    context: ScheduleEvaluationContext, billing_postgres: BillingPostgres
) -> Iterator[RunRequest | SkipReason]:
    """Sync months that have finalized invoices which Stripe does not have yet, unless only a human can help."""
    database = billing_postgres.database()
    yield from _requests(context, database, months_to_sync(database))


@schedule(job=reconcile_month, cron_schedule="0 5 * * *", default_status=DefaultScheduleStatus.RUNNING)
def reconcile_months_nightly(
    context: ScheduleEvaluationContext, billing_postgres: BillingPostgres
) -> Iterator[RunRequest | SkipReason]:
    """Look at what Stripe holds of months that are unpaid or were sent in the last 60 days."""
    now = context.scheduled_execution_time.astimezone(UTC)
    due = months_to_reconcile(billing_postgres.database(), now - STILL_CHANGING)
    if not due:
        yield SkipReason("Stripe has no invoice that can still change")
    for month in due:
        key = month_key(month)
        tags = {RANGE_START: key, RANGE_END: key, "fly_billing/month": str(month)}
        yield RunRequest(run_key=f"{month}@{now:%Y-%m-%d}", tags=tags)


def open_months(now: datetime, grace: timedelta) -> list[BillingMonth]:
    """List the months that still take usage: the running one, and the one before it while it is in grace."""
    running = BillingMonth.containing(now)
    return [month for month in (running.plus(-1), running) if not month.is_closed(now, grace)]


def closed_until(now: datetime, grace: timedelta) -> datetime:
    """Return the end of the last month whose grace period is over."""
    return BillingMonth.containing(now - grace).start


def _requests(
    context: ScheduleEvaluationContext, database: BillingDatabase, months: Sequence[BillingMonth]
) -> Iterator[RunRequest | SkipReason]:
    """Request a run per month; skip, with the reason, if there is none or nobody to bill in any of them."""
    register_groups(context.instance, database)
    requests, reasons = [], [] if months else ["no month needs it"]
    for month in months:
        try:
            tags = month_tags(context.instance, database, month)
        except NoOrganization as problem:
            reasons.append(str(problem))
            continue
        run_key = f"{month}@{context.scheduled_execution_time:%Y-%m-%dT%H:%M}"
        requests.append(RunRequest(run_key=run_key, tags=tags))
    yield from requests
    if not requests:
        yield SkipReason("; ".join(reasons))


JOBS = [land_usage, bill_month, sync_month, reconcile_month]
SCHEDULES = [
    land_usage_hourly,
    bill_open_months_nightly,
    close_months_nightly,
    sync_months_hourly,
    reconcile_months_nightly,
]
