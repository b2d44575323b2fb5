"""Calls the platform about invoices that are past due."""

from dagster import SensorEvaluationContext, SkipReason

from fly_billing.automations import described_sensor
from fly_billing.dunning.past_due import queue_past_due_webhooks
from fly_billing.errors import ActionableError
from fly_billing.money import counted
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock


@described_sensor(600)
def tell_about_late_payments(
    context: SensorEvaluationContext, billing_postgres: BillingPostgres, alerts: Alerts, clock: Clock
) -> SkipReason:
    """Queue a webhook to the platform for each invoice and threshold (`FLY_BILLING_PAST_DUE_DAYS`) that it is past due.

    Once each; and one when it is given up, or when nothing is owed on it any more. `send_alerts` sends them.
    """
    channels = alerts.platform_channels()
    done = queue_past_due_webhooks(billing_postgres.database(), channels, alerts.past_due_days(), clock.now())
    if done.failed:
        raise ActionableError(f"these invoices can't be read: {'; '.join(map(str, done.failed))}. All others are told")
    if not channels:
        return SkipReason("PAST_DUE_WEBHOOK_URL is not set")
    return SkipReason(f"{counted(done.queued, 'message')} queued" if done.queued else "nothing new")
