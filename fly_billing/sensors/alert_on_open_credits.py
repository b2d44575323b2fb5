"""Alerts on credit notes that someone asked for and that Stripe does not have."""

import json

from dagster import SensorEvaluationContext, SkipReason

from fly_billing.automations import described_sensor
from fly_billing.money import counted
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.stripe_sync.open_credits import queue_credit_alerts


@described_sensor(60)
def alert_on_open_credits(
    context: SensorEvaluationContext, billing_postgres: BillingPostgres, alerts: Alerts, clock: Clock
) -> SkipReason:
    """Alert once on a credit note that waits for an approval, was refused, or has not reached Stripe for an hour.

    The cursor has what the last tick saw. The outbox takes each alert only once, even if the cursor is lost.
    """
    known = json.loads(context.cursor) if context.cursor else []
    seen, sent = queue_credit_alerts(
        billing_postgres.database(), alerts.channels(), context.log.error, clock.now(), known
    )
    context.update_cursor(json.dumps(seen))
    return SkipReason(f"{counted(sent, 'alert')} queued" if sent else "nothing new")
