"""Alerts on corrections that wait for an approval."""

from dagster import SensorEvaluationContext, SkipReason

from fly_billing.automations import described_sensor
from fly_billing.corrections.held_corrections import queue_held_correction_alerts
from fly_billing.money import counted
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres


@described_sensor(60)
def alert_on_held_corrections(
    context: SensorEvaluationContext, billing_postgres: BillingPostgres, alerts: Alerts
) -> SkipReason:
    """Alert once on the waiting corrections of a month, and again only when there are more.

    The cursor is the newest decision read. The outbox takes each alert only once, even if the cursor is lost.
    """
    seen = int(context.cursor or 0)
    newest, sent = queue_held_correction_alerts(billing_postgres.database(), alerts.channels(), context.log.error, seen)
    context.update_cursor(str(newest))
    return SkipReason(f"{counted(sent, 'alert')} queued" if sent else "nothing new")
