"""Tells a human of organizations whose spend of an open month crossed a threshold."""

from dagster import DefaultSensorStatus, SensorEvaluationContext, SkipReason, sensor

from fly_billing.alerting.spend_thresholds import queue_spend_alerts
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres


@sensor(minimum_interval_seconds=60, default_status=DefaultSensorStatus.RUNNING)
def alert_on_spend(context: SensorEvaluationContext, billing_postgres: BillingPostgres, alerts: Alerts) -> SkipReason:
    """Tell once a month of each threshold (`fly-billing spend-alert`) that an upcoming invoice came to."""
    told = queue_spend_alerts(billing_postgres.database(), alerts.channels(), context.log.info)
    return SkipReason(f"{told} alerts told" if told else "nothing new to tell")
