"""Requests a light run every few minutes if anything changed in the open months, and none otherwise.

Not here: the run (`ops.update_open_months`), and what counts as a change (`open_months.changes`).
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from dagster import (
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunRecord,
    RunRequest,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
)

from fly_billing.automations import described_sensor
from fly_billing.jobs import bill_month
from fly_billing.open_months.changes import PAUSE, Changes, find_changes
from fly_billing.open_months.update import record_look
from fly_billing.ops.update_open_months import ALL_OPEN_MONTHS, BILLED, CHANGES, TERMS, update_open_months
from fly_billing.periods import open_months
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.billing_terms import BillingTerms
from fly_billing.resources.clock import Clock
from fly_billing.resources.usage_store import UsageStore
from fly_billing.usage.landing_folder import LandingError

IN_PROGRESS = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def update_sensors(minutes: int) -> list[SensorDefinition]:
    """Return the sensor that looks every so many minutes; none for 0."""
    return [described_sensor(minutes * 60, update_open_months)(keep_open_months_current)] if minutes else []


def keep_open_months_current(
    context: SensorEvaluationContext,
    billing_postgres: BillingPostgres,
    billing_terms: BillingTerms,
    usage_store: UsageStore,
    clock: Clock,
) -> RunRequest | SkipReason:
    """Land, roll up and bill what changed in the open months, every few minutes. Nothing changed: no run.

    It looks at the names and sizes of files, at landed usage that was not rolled up, and at prices and terms. One run
    goes at a time. A run that failed is repeated after an hour, or as soon as something else changes. An organization
    that could not be billed is tried again after an hour, with its billing group.
    """
    grace = billing_terms.terms().grace
    if going := _run_in_progress(context.instance, [str(month) for month in open_months(clock.now(), grace)]):
        return SkipReason(f"run {going.run_id[:8]} of {going.job_name} is not done: the next tick looks again")
    database, landing, now = billing_postgres.database(), usage_store.landing(), clock.now()
    try:
        changes = find_changes(database, landing, now, grace)
    except LandingError as problem:
        # The hourly landing meets the same error and fails, which sends an alert.
        return SkipReason(str(problem))
    all_months = _last_terms(context.instance) != changes.terms
    if not changes.days and not changes.months and not changes.failed and not all_months:
        record_look(database, landing, changes)
        return SkipReason("no new or changed files, no usage to roll up, no changed prices or terms")
    if failed := _failed_before(context.instance, changes):
        record_look(database, landing, changes)
        return SkipReason(f"run {failed.dagster_run.run_id[:8]} failed, and nothing changed since: again after an hour")
    tags = {TERMS: changes.terms, CHANGES: changes.fingerprint, **({ALL_OPEN_MONTHS: "true"} if all_months else {})}
    return RunRequest(tags=tags)


def _run_in_progress(instance: DagsterInstance, months: Sequence[str]) -> DagsterRun | None:
    """Return a run that is not done and updates open months, or that bills one of these months."""
    own = instance.get_runs(RunsFilter(job_name=update_open_months.name, statuses=IN_PROGRESS), limit=1)
    billing = instance.get_runs(RunsFilter(job_name=bill_month.name, statuses=IN_PROGRESS))
    return next(iter([*own, *(run for run in billing if run.tags.get("fly_billing/month") in months)]), None)


def _last_terms(instance: DagsterInstance) -> str | None:
    """Return the state of prices and terms that was read before the last update that billed all that can be billed."""
    billed = RunsFilter(job_name=update_open_months.name, tags={BILLED: "true"})
    return next((run.tags.get(TERMS) for run in instance.get_runs(billed, limit=1)), None)


def _failed_before(instance: DagsterInstance, changes: Changes) -> RunRecord | None:
    """Return the last update if it failed with the same changes less than an hour ago."""
    for record in instance.get_run_records(RunsFilter(job_name=update_open_months.name), limit=1):
        is_recent = datetime.now(UTC) - record.create_timestamp.astimezone(UTC) < PAUSE
        failed = record.dagster_run.status in (DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
        if failed and is_recent and record.dagster_run.tags.get(CHANGES) == changes.fingerprint:
            return record
    return None
