"""Alerts on usage sources that stopped delivering files."""

import json

from dagster import SensorEvaluationContext, SkipReason

from fly_billing.automations import described_sensor
from fly_billing.money import counted
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.usage.sources import queue_silent_source_alert


@described_sensor(300)
def alert_on_silent_source(
    context: SensorEvaluationContext, billing_postgres: BillingPostgres, alerts: Alerts
) -> SkipReason:
    """Alert once on each source that missed two of its cadences, and again only after it delivered and stopped again.

    The cursor lists the silent sources that were alerted.
    """
    silent, sent = queue_silent_source_alert(
        billing_postgres.database(), alerts.channels(), context.log.warning, json.loads(context.cursor or "[]")
    )
    context.update_cursor(json.dumps(silent))
    return SkipReason(f"{counted(sent, 'alert')} queued" if sent else "nothing new")
