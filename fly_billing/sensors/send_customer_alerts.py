"""Sends the waiting messages to customers, and calls of the platform's cap hook."""

from dagster import SensorEvaluationContext, SkipReason

from fly_billing.automations import described_sensor
from fly_billing.customer_alerts.channels import built
from fly_billing.customer_alerts.evaluation import AlertChannels
from fly_billing.customer_alerts.messages import send_customer_messages
from fly_billing.money import counted
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.customer_alerts import CustomerAlerts
from fly_billing.settings import SettingsError


@described_sensor(30)
def send_customer_alerts(
    context: SensorEvaluationContext,
    billing_postgres: BillingPostgres,
    alerts: Alerts,
    customer_alerts: CustomerAlerts,
) -> SkipReason:
    """Call the cap hook, post customers' alerts to the platform's webhook, and send their e-mails. A refused one waits.

    The tick fails with the receiver's error if one refuses; the others still get their messages. What can't be
    delivered for four days is given up and alerted; a call of the cap hook never is. An incomplete setting of another
    channel does not hold up the cap hook.
    """
    database = billing_postgres.database()
    problems: list[SettingsError] = []
    hook = built(customer_alerts.cap_hook, problems)
    channels = built(lambda: customer_alerts.channels(database, alerts.channels()), problems)
    sent = send_customer_messages(database, channels or AlertChannels(), hook)
    for refused in sent.refused:
        context.log.warning(str(refused))
    if failed := [*problems, *sent.refused]:
        raise failed[0]
    return SkipReason(f"{counted(sent.taken, 'message')} sent" if sent.taken else "no message is due")
