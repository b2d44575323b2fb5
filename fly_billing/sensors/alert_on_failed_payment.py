"""Alerts on invoices that are in Stripe and not paid."""

from dagster import SensorEvaluationContext, SkipReason

from fly_billing.alerting.unreported import queue_payment_failure_alerts
from fly_billing.automations import described_sensor
from fly_billing.money import counted
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres


@described_sensor(60)
def alert_on_failed_payment(
    context: SensorEvaluationContext, billing_postgres: BillingPostgres, alerts: Alerts
) -> SkipReason:
    """Alert once on each failed payment, and on each invoice written off or voided manually in Stripe, with the fix.

    Alert again when the invoice is paid. Reads the recorded events, from webhooks and from polling.
    """
    sent = queue_payment_failure_alerts(billing_postgres.database(), alerts.channels(), context.log.error)
    return SkipReason(f"{counted(sent, 'alert')} queued" if sent else "nothing new")
