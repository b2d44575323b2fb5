"""Alerts on invoices that did not reach Stripe."""

from dagster import SensorEvaluationContext, SkipReason

from fly_billing.alerting.unreported import queue_sync_failure_alerts
from fly_billing.automations import described_sensor
from fly_billing.money import counted
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres


@described_sensor(60)
def alert_on_failed_sync(
    context: SensorEvaluationContext, billing_postgres: BillingPostgres, alerts: Alerts
) -> SkipReason:
    """Alert once per failure: its cause, the organizations, the amount and the fix. Alert again on recovery.

    Reads the Stripe journal, so it finds the failures of every run, however the run ended.
    """
    sent = queue_sync_failure_alerts(
        billing_postgres.database(), alerts.channels(), context.log.error, alerts.dagster_url()
    )
    return SkipReason(f"{counted(sent, 'alert')} queued" if sent else "nothing new")
