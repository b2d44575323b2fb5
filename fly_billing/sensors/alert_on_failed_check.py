"""Alerts on failed checks: those kept in Postgres, per month, and the others from runs that succeeded."""

from collections.abc import Sequence

from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    DagsterEventType,
    DagsterRun,
    SensorEvaluationContext,
    SkipReason,
)
from sqlalchemy.exc import SQLAlchemyError

from fly_billing.alerting.outbox import put, put_or_post
from fly_billing.alerting.rules.alerts import MOST_NAMED, Alert
from fly_billing.alerting.rules.run_links import run_links
from fly_billing.assets.run_report import REPORTED_BY_SENSOR
from fly_billing.automations import described_sensor
from fly_billing.checks.failed_checks import list_failures
from fly_billing.checks.rules.failures import MOST_GROUPS, FailedCheck, checked_again_by, new_failures
from fly_billing.finance.report.files import report_name
from fly_billing.money import counted
from fly_billing.periods import BillingMonth
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.sensors.finished_runs import Memory, events_of, finished_runs


@described_sensor(60)
def alert_on_failed_check(
    context: SensorEvaluationContext, billing_postgres: BillingPostgres, alerts: Alerts
) -> SkipReason:
    """Alert once on a check that fails for a month, warnings included, and again only after it passed for that month.

    `alert_on_failed_run` and other sensors report the partitions that failed, and checks whose metadata says so.
    """
    memory = Memory.read(context.cursor)
    sent = _alert_on_runs(context, memory, billing_postgres, alerts)
    try:
        sent += _alert_on_months(context, memory, billing_postgres, alerts)
    except SQLAlchemyError as problem:
        # `alert_on_failed_run` alerts, and the next tick reads the same rows.
        context.log.error(f"the billing database can't be read, so failed checks are alerted later: {problem}")
    context.update_cursor(memory.written())
    return SkipReason(f"{counted(sent, 'alert')} queued" if sent else "nothing new")


def _alert_on_months(
    context: SensorEvaluationContext, memory: Memory, billing_postgres: BillingPostgres, alerts: Alerts
) -> int:
    """Alert on the months and landing days that fail since the last tick."""
    database, channels = billing_postgres.database(), alerts.channels()
    new, seen = new_failures(list_failures(database), memory.failing)
    with database.transaction() as connection:
        for failures in new:
            alert = month_alert(failures, alerts.dagster_url(), _report(failures[0], alerts.reports_url()))
            context.log.error(alert.text)
            put(connection, alert, channels, f"failed check {failures[0].month_of_check} {failures[0].id}")
    memory.failing = seen
    return len(new)


def _report(failure: FailedCheck, reports_url: str | None) -> str | None:
    """Return the address of the report that the check is about; None if it is about none, or no address serves it."""
    if failure.asset != "finance_months" or reports_url is None:
        return None
    return f"{reports_url}/{report_name(BillingMonth.parse(failure.period))}"


def month_alert(
    failures: Sequence[FailedCheck], dagster_url: str | None = None, report_url: str | None = None
) -> Alert:
    """Return the alert about a check of one month or landing day: whose rows are wrong, why, and links to the runs."""
    first, wrong = failures[0], sum(failure.wrong for failure in failures)
    word = "Warning" if all(failure.is_warning for failure in failures) else "Check failed"
    groups = _groups_by_reason(failures)
    named = [f"- {_named(of_reason)}: {reason}" if of_reason else reason for reason, of_reason in groups.items()]
    more = [f"- and {len(named) - MOST_NAMED:,} more"] if len(named) > MOST_NAMED else []
    what_to_do = f"What to do: fix the cause, then check it again: {checked_again_by(first.asset, first.period)}"
    links = run_links([failure.run_id for failure in failures], dagster_url)
    return Alert.of(
        "failed_check",
        f"{word}: {first.check_name} of {first.period}",
        [
            f"{counted(wrong, 'row')} wrong",
            *named[:MOST_NAMED],
            *more,
            what_to_do,
            *([f"Report: {report_url}"] if report_url else []),
            *links,
        ],
    )


def _groups_by_reason(failures: Sequence[FailedCheck]) -> dict[str, list[str]]:
    """Return the billing groups of each reason: during an outage of Stripe all of them have the same one."""
    found: dict[str, list[str]] = {}
    for failure in failures:
        found.setdefault(failure.reason, []).extend(filter(None, [failure.billing_group]))
    return found


def _named(groups: Sequence[str]) -> str:
    if len(groups) == 1:
        return groups[0]
    names = ", ".join(groups[:MOST_GROUPS]) + (", ..." if len(groups) > MOST_GROUPS else "")
    return f"{counted(len(groups), 'billing group')} ({names})"


def _alert_on_runs(
    context: SensorEvaluationContext, memory: Memory, billing_postgres: BillingPostgres, alerts: Alerts
) -> int:
    """Alert on checks that are not kept by month, if they failed in runs that succeeded since the last tick."""
    channels, sent = alerts.channels(), 0
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
    return sent


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
