"""Tells a human of checks that failed in a run that succeeded: nobody else would."""

from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    DagsterEventType,
    DagsterRun,
    DefaultSensorStatus,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from fly_billing.alerting.outbox import put_or_post
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.assets.run_report import REPORTED_BY_SENSOR
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.sensors.finished_runs import Memory, events_of, finished_runs


@sensor(minimum_interval_seconds=60, default_status=DefaultSensorStatus.RUNNING)
def alert_on_failed_check(
    context: SensorEvaluationContext, billing_postgres: BillingPostgres, alerts: Alerts
) -> SkipReason:
    """Tell once of a failed check, warnings included, until it passes again.

    Of a run that failed itself, `alert_on_failed_run` or the sensors that read Postgres tell; the latter also tell of
    checks that say so in their metadata.
    """
    memory, channels, told = Memory.read(context.cursor), alerts.channels(), 0
    for run in finished_runs(context.instance, memory, DagsterEventType.RUN_SUCCESS):
        for event in events_of(context.instance, run, DagsterEventType.ASSET_CHECK_EVALUATION):
            evaluation = event.asset_check_evaluation_data
            key = f"{evaluation.asset_key.to_user_string()}: {evaluation.check_name} {_month(run)}".rstrip()
            if REPORTED_BY_SENSOR in evaluation.metadata:
                continue
            # A check that lists several things says which: one that is new is told of though the others are known.
            cause = evaluation.metadata.get("cause")
            told_as = f"{key} {cause.value}" if cause else key
            if evaluation.passed or (cause and told_as not in memory.told):
                memory.told = [one for one in memory.told if one != key and not (cause and one.startswith(f"{key} "))]
            if not evaluation.passed and told_as not in memory.told:
                alert = check_alert(run, evaluation)
                put_or_post(billing_postgres.database, alert, channels, f"{run.run_id} {key}", context.log.error)
                memory.told.append(told_as)
                told += 1
    context.update_cursor(memory.written())
    return SkipReason(f"{told} alerts told" if told else "nothing new to tell")


def check_alert(run: DagsterRun, evaluation: AssetCheckEvaluation) -> Alert:
    """Say which check of which month failed, how often, and show the first of what is wrong."""
    word = "Warning" if evaluation.severity == AssetCheckSeverity.WARN else "Check failed"
    of_month = f" of {_month(run)}" if _month(run) else ""
    shown = [str(evaluation.metadata[name].value) for name in ("wrong", "first_of_them") if name in evaluation.metadata]
    what_to_do = f"What to do: read the check's description on {evaluation.asset_key.to_user_string()} in Dagster."
    # The table of what is wrong has lines of its own; its cells have none (`outcomes.table`).
    lines = [line for one in shown for line in one.splitlines()]
    return Alert.of("failed_check", f"{word}: {evaluation.check_name}{of_month}", [*lines, what_to_do])


def _month(run: DagsterRun) -> str:
    partition = run.tags.get("dagster/partition", "")
    return run.tags.get("fly_billing/month") or partition.partition("|")[0]
