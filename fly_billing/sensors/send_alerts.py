"""Posts the alerts in the outbox to Slack, webhook and e-mail."""

from dagster import SensorEvaluationContext, SkipReason

from fly_billing.alerting.outbox import post_waiting
from fly_billing.automations import described_sensor
from fly_billing.money import counted
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres


@described_sensor(30)
def send_alerts(context: SensorEvaluationContext, billing_postgres: BillingPostgres, alerts: Alerts) -> SkipReason:
    """Post the waiting alerts to each configured channel, and messages to the platform's webhook. A refused one waits.

    The tick fails with the channel's error if a channel refuses; the other channels still get their alerts.
    """
    channels = [*alerts.channels(), *alerts.platform_channels()]
    posted = post_waiting(billing_postgres.database(), channels)
    for refused in posted.refused:
        context.log.warning(str(refused))
    if posted.refused:
        raise posted.refused[0]
    return SkipReason(f"{counted(posted.taken, 'alert')} sent" if posted.taken else "no alert is due")
