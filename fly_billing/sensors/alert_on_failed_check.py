"""Alerts on checks that failed in a run that succeeded. No other sensor reports them."""

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
from fly_billing.alerting.rules.run_links import run_links
from fly_billing.assets.run_report import REPORTED_BY_SENSOR
from fly_billing.money import counted
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.sensors.finished_runs import Memory, events_of, finished_runs


@sensor(minimum_interval_seconds=60, default_status=DefaultSensorStatus.RUNNING)
def alert_on_failed_check(
    context: SensorEvaluationContext, billing_postgres: BillingPostgres, alerts: Alerts
) -> SkipReason:
    """Alert once on a failed check, warnings included, until it passes again.

    `alert_on_failed_run` and the sensors that read Postgres report failed runs, and checks whose metadata names a
    sensor.
    """
    memory, channels, sent = Memory.read(context.cursor), alerts.channels(), 0
    for run in finished_runs(context.instance, memory, DagsterEventType.RUN_SUCCESS):
        for event in events_of(context.instance, run, DagsterEventType.ASSET_CHECK_EVALUATION):
            evaluation = event.asset_check_evaluation_data
            key = f"{evaluation.asset_key.to_user_string()}: {evaluation.check_name} {_month(run)}".rstrip()
            if REPORTED_BY_SENSOR in evaluation.metadata:
                continue
            # A check that lists several problems has a `cause`, so that a new problem is alerted on, too.
            cause = evaluation.metadata.get("cause")
            alerted_as = f"{key} {cause.value}" if cause else key
            if evaluation.passed or (cause and alerted_as not in memory.alerted):
                memory.alerted = [
                    sent_key
                    for sent_key in memory.alerted
                    if sent_key != key and not (cause and sent_key.startswith(f"{key} "))
                ]
            if not evaluation.passed and alerted_as not in memory.alerted:
                alert = check_alert(run, evaluation, alerts.dagster_url())
                put_or_post(billing_postgres.database, alert, channels, f"{run.run_id} {key}", context.log.error)
                memory.alerted.append(alerted_as)
                sent += 1
    context.update_cursor(memory.written())
    return SkipReason(f"{counted(sent, 'alert')} queued" if sent else "nothing new")


def check_alert(run: DagsterRun, evaluation: AssetCheckEvaluation, dagster_url: str | None = None) -> Alert:
    """Return the alert: the check, its month, the number of errors, the first of them, and a link to the run."""
    word = "Warning" if evaluation.severity == AssetCheckSeverity.WARN else "Check failed"
    of_month = f" of {_month(run)}" if _month(run) else ""
    shown = [str(evaluation.metadata[name].value) for name in ("wrong", "first_of_them") if name in evaluation.metadata]
    what_to_do = f"What to do: read the check's description on {evaluation.asset_key.to_user_string()} in Dagster."
    links = run_links([run.run_id], dagster_url)
    # The table of errors has several lines; its cells have one each (`run_report.table`).
    lines = [line for text in shown for line in text.splitlines()]
    return Alert.of("failed_check", f"{word}: {evaluation.check_name}{of_month}", [*lines, what_to_do, *links])


def _month(run: DagsterRun) -> str:
    partition = run.tags.get("dagster/partition", "")
    return run.tags.get("fly_billing/month") or partition.partition("|")[0]
