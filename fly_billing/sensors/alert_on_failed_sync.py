"""Tells a human of invoices that did not reach Stripe."""

from dagster import DefaultSensorStatus, SensorEvaluationContext, SkipReason, sensor

from fly_billing.alerting.unreported import queue_sync_failure_alerts
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres


@sensor(minimum_interval_seconds=60, default_status=DefaultSensorStatus.RUNNING)
def alert_on_failed_sync(
    context: SensorEvaluationContext, billing_postgres: BillingPostgres, alerts: Alerts
) -> SkipReason:
    """Tell once per failure what failed, for whom, how much money it concerns and what to do; and when it recovers.

    Reads the Stripe journal, so it knows of every failure, whichever run met it and however that run ended.
    """
    told = queue_sync_failure_alerts(billing_postgres.database(), alerts.channels(), context.log.error)
    return SkipReason(f"{told} alerts told" if told else "nothing new to tell")
