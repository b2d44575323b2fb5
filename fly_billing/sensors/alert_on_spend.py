"""Alerts on organizations whose spend in an open month crossed a threshold."""

from dagster import SensorEvaluationContext, SkipReason

from fly_billing.alerting.spend_thresholds import queue_spend_alerts
from fly_billing.automations import described_sensor
from fly_billing.money import counted
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres


@described_sensor(60)
def alert_on_spend(context: SensorEvaluationContext, billing_postgres: BillingPostgres, alerts: Alerts) -> SkipReason:
    """Alert once a month on each threshold (`fly-billing spend-alert`) that an upcoming invoice reaches."""
    sent = queue_spend_alerts(billing_postgres.database(), alerts.channels(), context.log.info)
    return SkipReason(f"{counted(sent, 'alert')} queued" if sent else "nothing new")
