"""Alerts on runs that failed as a whole: no database, a bug, a missing folder."""

from collections.abc import Sequence

from dagster import (
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    SensorEvaluationContext,
    SkipReason,
)

from fly_billing.alerting.outbox import put_or_post
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.alerting.rules.run_links import run_links
from fly_billing.assets.failure_causes import FailureCause, failure_causes
from fly_billing.assets.run_report import REPORTED_BY_SENSOR
from fly_billing.automations import described_sensor
from fly_billing.money import counted
from fly_billing.partitions import RANGE_END, RANGE_START, orgs
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.sensors.finished_runs import Memory, events_of, finished_runs

# Dagster's error of a step whose blocking check failed. It has no public name.
BLOCKED_BY_CHECK = "DagsterAssetCheckFailedError"


@described_sensor(60)
def alert_on_failed_run(
    context: SensorEvaluationContext, billing_postgres: BillingPostgres, alerts: Alerts
) -> SkipReason:
    """Alert on a failed run, once per job, month, range of organizations and cause, until a run that covers
    them succeeds.

    Other sensors report failures that are recorded in Postgres. If the billing database is down, the alert goes to the
    channels directly, without the outbox.
    """
    memory, channels, sent = Memory.read(context.cursor), alerts.channels(), 0
    for run in finished_runs(context.instance, memory, DagsterEventType.RUN_SUCCESS):
        for what in _what_succeeded(context.instance, run):
            memory.forget(f"{what}: ")
    for run in finished_runs(context.instance, memory, DagsterEventType.RUN_FAILURE):
        failures = events_of(context.instance, run, DagsterEventType.STEP_FAILURE)
        causes = failure_causes([*failures, *events_of(context.instance, run, DagsterEventType.RUN_FAILURE)])
        key = f"{_what_ran(run)}: {', '.join(cause.text for cause in causes)}"
        if not is_reported_by_sensor(failures) and key not in memory.alerted:
            alert = run_alert(run, causes, alerts.dagster_url())
            put_or_post(billing_postgres.database, alert, channels, f"{run.run_id} failed", context.log.error)
            memory.alerted.append(key)
            sent += 1
    context.update_cursor(memory.written())
    return SkipReason(f"{counted(sent, 'alert')} queued" if sent else "nothing new")


def _what_ran(run: DagsterRun) -> str:
    """Return the job and what it is for: the success of another month, or of other organizations, ends no failure."""
    if "fly_billing/month" not in run.tags:
        return run.job_name
    return f"{run.job_name} {run.tags.get(RANGE_START, run.tags['fly_billing/month'])}"


def _what_succeeded(instance: DagsterInstance, run: DagsterRun) -> list[str]:
    """Return what a run of each range would have been called that begins within this run's."""
    month, _, first = run.tags.get(RANGE_START, "").partition("|")
    last_month, _, last = run.tags.get(RANGE_END, "").partition("|")
    groups = instance.get_dynamic_partitions(str(orgs.name))
    if "fly_billing/month" not in run.tags or month != last_month or not {first, last} <= set(groups):
        return [_what_ran(run)]
    return [f"{run.job_name} {month}|{group}" for group in groups[groups.index(first) : groups.index(last) + 1]]


def is_reported_by_sensor(failures: list[DagsterEvent]) -> bool:
    return bool(failures) and all(_is_reported(event) for event in failures)


def _is_reported(failure: DagsterEvent) -> bool:
    """Return True if the step's Failure says so, or a blocking check stopped it: `alert_on_failed_check` reports it."""
    data = failure.step_failure_data
    if data.user_failure_data is not None:
        return REPORTED_BY_SENSOR in data.user_failure_data.metadata
    return data.error is not None and data.error.cls_name == BLOCKED_BY_CHECK


def run_alert(run: DagsterRun, causes: Sequence[FailureCause], dagster_url: str | None = None) -> Alert:
    """Return the alert: the run, its month, the failed steps with their causes, the fix, and a link to the run."""
    month = run.tags.get("fly_billing/month")
    lines = [f"- {cause.step}: {cause.text}" if cause.step else cause.text for cause in causes]
    what_to_do = "What to do: fix the cause and re-execute the run; nothing is billed twice."
    subject = f"Run of {run.job_name} failed" + (f": {month}" if month else "")
    return Alert.of("failed_run", subject, [*lines, what_to_do, *run_links([run.run_id], dagster_url)])
