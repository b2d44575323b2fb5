"""Alerts on rejected usage that nobody fixed or waived."""

import json

from dagster import SensorEvaluationContext, SkipReason

from fly_billing.automations import described_sensor
from fly_billing.money import counted
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.usage.rejection_alerts import queue_rejection_alerts


@described_sensor(60)
def alert_on_rejected_usage(
    context: SensorEvaluationContext, billing_postgres: BillingPostgres, alerts: Alerts
) -> SkipReason:
    """Alert once per source and reason of rejected usage, and again only after it was resolved and comes back.

    The cursor lists the sources and reasons that were alerted and are unresolved.
    """
    alerted = {(source, reason) for source, reason in json.loads(context.cursor or "[]")}
    unresolved, sent = queue_rejection_alerts(
        billing_postgres.database(), alerts.channels(), context.log.warning, alerted
    )
    context.update_cursor(json.dumps(unresolved))
    return SkipReason(f"{counted(sent, 'alert')} queued" if sent else "nothing new")
