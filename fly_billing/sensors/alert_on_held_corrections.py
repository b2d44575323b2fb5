"""Alerts people to corrections that wait for one of them."""

from dagster import DefaultSensorStatus, SensorEvaluationContext, SkipReason, sensor

from fly_billing.corrections.approvals import tell_waiting
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres


@sensor(minimum_interval_seconds=60, default_status=DefaultSensorStatus.RUNNING)
def alert_on_held_corrections(
    context: SensorEvaluationContext, billing_postgres: BillingPostgres, alerts: Alerts
) -> SkipReason:
    """Alert once to what waits of a month, and again only when more of it does.

    The cursor is the newest decision that was looked at; the outbox takes an alert only once, whatever the cursor says.
    """
    seen = int(context.cursor or 0)
    newest, told = tell_waiting(billing_postgres.database(), alerts.channels(), context.log.error, seen)
    context.update_cursor(str(newest))
    return SkipReason(f"{told} alerts told" if told else "nothing new to tell")
