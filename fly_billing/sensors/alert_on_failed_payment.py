"""Tells a human of invoices that reached Stripe and are not paid there."""

from dagster import DefaultSensorStatus, SensorEvaluationContext, SkipReason, sensor

from fly_billing.alerting.unreported import queue_payment_failure_alerts
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres


@sensor(minimum_interval_seconds=60, default_status=DefaultSensorStatus.RUNNING)
def alert_on_failed_payment(
    context: SensorEvaluationContext, billing_postgres: BillingPostgres, alerts: Alerts
) -> SkipReason:
    """Tell once which payments failed and what was written off or voided by hand in Stripe, and what to do about it.

    And when it was paid after all. Reads the recorded events, whether they came by webhook or by polling.
    """
    told = queue_payment_failure_alerts(billing_postgres.database(), alerts.channels(), context.log.error)
    return SkipReason(f"{told} alerts told" if told else "nothing new to tell")
