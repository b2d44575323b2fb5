"""Tells a human of runs that failed for a reason of their own: no database, a bug, a missing folder."""

from dagster import DagsterEvent, DefaultSensorStatus, RunFailureSensorContext, run_failure_sensor

from fly_billing.assets.outcomes import TOLD_ELSEWHERE
from fly_billing.domain.alerts import Alert
from fly_billing.resources.dagster_resources import Alerts


@run_failure_sensor(minimum_interval_seconds=60, default_status=DefaultSensorStatus.RUNNING)
def alert_on_failed_run(context: RunFailureSensorContext, alerts: Alerts) -> None:
    """Tell of a failed run, unless its failures stand in Postgres: then the other sensors tell of them, once."""
    if not is_told_elsewhere(context):
        alerts.channel(context.log.error).send(run_alert(context))


def is_told_elsewhere(context: RunFailureSensorContext) -> bool:
    data = [event.step_failure_data.user_failure_data for event in context.get_step_failure_events()]
    return bool(data) and all(one is not None and TOLD_ELSEWHERE in one.metadata for one in data)


def run_alert(context: RunFailureSensorContext) -> Alert:
    """Say which run failed, at which step and why, and where to look."""
    run = context.dagster_run
    errors = [f"- {event.step_key}: {first_cause(event)}" for event in context.get_step_failure_events()]
    what_to_do = (
        f"What to do: read run {run.run_id} in Dagster, mend the cause, re-execute it: nothing is billed twice."
    )
    said = errors or [context.failure_event.message or "the run ended without a word"]
    return Alert("failed_run", f"Run of {run.job_name} failed", "\n".join([*said, what_to_do]))


def first_cause(event: DagsterEvent) -> str:
    """Return the first line of the error that began it; Dagster's own error around it only says that a step failed."""
    error = event.step_failure_data.error
    while error and error.cause:
        error = error.cause
    return (error.message if error else event.step_failure_data.error_display_string).strip().splitlines()[0]
