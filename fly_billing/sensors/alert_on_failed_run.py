"""Tells a human of runs that failed for a reason of their own: no database, a bug, a missing folder."""

from dagster import (
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DefaultSensorStatus,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from fly_billing.assets.outcomes import TOLD_ELSEWHERE
from fly_billing.domain.alerts import Alert
from fly_billing.resources.alerting.outbox import put_or_post
from fly_billing.resources.dagster_resources import Alerts, BillingPostgres
from fly_billing.sensors.finished_runs import Memory, events_of, finished_runs


@sensor(minimum_interval_seconds=60, default_status=DefaultSensorStatus.RUNNING)
def alert_on_failed_run(
    context: SensorEvaluationContext, billing_postgres: BillingPostgres, alerts: Alerts
) -> SkipReason:
    """Tell of a failed run, once per job and cause until the job succeeds again.

    Quiet where a run's failures stand in Postgres: the other sensors tell of them. Where the billing database itself is
    away, the channels are told at once, without the outbox.
    """
    memory, channels, told = Memory.read(context.cursor), alerts.channels(), 0
    for run in finished_runs(context.instance, memory, DagsterEventType.RUN_SUCCESS):
        memory.forget(f"{run.job_name}: ")
    for run in finished_runs(context.instance, memory, DagsterEventType.RUN_FAILURE):
        failures = events_of(context.instance, run, DagsterEventType.STEP_FAILURE)
        key = f"{run.job_name}: {', '.join(map(first_cause, failures))}"
        if not is_told_elsewhere(failures) and key not in memory.told:
            alert = run_alert(context.instance, run, failures)
            put_or_post(billing_postgres.database, alert, channels, f"{run.run_id} failed", context.log.error)
            memory.told.append(key)
            told += 1
    context.update_cursor(memory.written())
    return SkipReason(f"{told} alerts told" if told else "nothing new to tell")


def is_told_elsewhere(failures: list[DagsterEvent]) -> bool:
    data = [event.step_failure_data.user_failure_data for event in failures]
    return bool(data) and all(one is not None and TOLD_ELSEWHERE in one.metadata for one in data)


def run_alert(instance: DagsterInstance, run: DagsterRun, failures: list[DagsterEvent]) -> Alert:
    """Say which run failed, at which step and why, and where to look."""
    errors = [f"- {event.step_key}: {first_cause(event)}" for event in failures]
    what_to_do = (
        f"What to do: read run {run.run_id} in Dagster, mend the cause, re-execute it: nothing is billed twice."
    )
    said = errors or [
        event.message or "the run ended without a word"
        for event in events_of(instance, run, DagsterEventType.RUN_FAILURE)
    ]
    return Alert("failed_run", f"Run of {run.job_name} failed", "\n".join([*said, what_to_do]))


def first_cause(event: DagsterEvent) -> str:
    """Return the first line of the error that began it; Dagster's own error around it only says that a step failed."""
    error = event.step_failure_data.error
    while error and error.cause:
        error = error.cause
    return (error.message if error else event.step_failure_data.error_display_string).strip().splitlines()[0]
