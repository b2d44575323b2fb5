"""Syncs a month as soon as it is closed. The hourly schedule stays, to catch up."""

from collections.abc import Iterator
from datetime import UTC, datetime

from dagster import (
    DagsterRunStatus,
    DefaultSensorStatus,
    RunRequest,
    RunStatusSensorContext,
    SkipReason,
    run_status_sensor,
)

from fly_billing.jobs import bill_month, month_tags, sync_month
from fly_billing.partition_start import why_no_partition
from fly_billing.partitions import named_billing_partitions, orgs
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.worklist.due import months_to_sync


@run_status_sensor(
    run_status=DagsterRunStatus.SUCCESS,
    monitored_jobs=[bill_month],
    request_job=sync_month,
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description="Syncs a month to Stripe right after `bill_month` finalized its invoices, once per run.",
)
def sync_closed_months(
    context: RunStatusSensorContext, billing_postgres: BillingPostgres
) -> Iterator[RunRequest | SkipReason]:
    """Request a sync of each month of the run that has final invoices which Stripe lacks. Open months have none."""
    run, database = context.dagster_run, billing_postgres.database()
    registered = context.instance.get_dynamic_partitions(str(orgs.name))
    billed = {part.month for part in named_billing_partitions(run.tags, registered, datetime.now(UTC))}
    due = [month for month in months_to_sync(database) if month in billed]
    for month in due:
        if problem := why_no_partition(context, month):
            context.log.error(problem)
            continue
        tags = month_tags(context.instance, database, month)
        yield RunRequest(run_key=f"{month} billed by {run.run_id}", tags=tags)
    if not due:
        yield SkipReason("the run left nothing to sync")
