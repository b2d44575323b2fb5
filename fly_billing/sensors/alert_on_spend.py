"""Alerts customers whose spend in an open month reached a threshold, and calls the platform about their caps."""

from dagster import SensorEvaluationContext, SkipReason

from fly_billing.automations import described_sensor
from fly_billing.customer_alerts.channels import built
from fly_billing.customer_alerts.evaluation import queue_spend_alerts
from fly_billing.customer_alerts.spend_caps import queue_cap_calls
from fly_billing.errors import ActionableError
from fly_billing.money import counted
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.resources.customer_alerts import CustomerAlerts
from fly_billing.settings import SettingsError


@described_sensor(60)
def alert_on_spend(
    context: SensorEvaluationContext,
    billing_postgres: BillingPostgres,
    alerts: Alerts,
    customer_alerts: CustomerAlerts,
    clock: Clock,
) -> SkipReason:
    """Queue a message to the customer for each threshold that an open month reached (`fly-billing spend-alert`).

    Once a month and threshold. Also queue a call of the platform's cap hook for each organization that has reached its
    own cap (`fly-billing spend-cap`), or is below it again. `send_customer_alerts` sends them.
    """
    database, now = billing_postgres.database(), clock.now()
    problems: list[SettingsError] = []
    operators = built(alerts.channels, problems) or []
    calls, failed = queue_cap_calls(database, operators, now)
    for call in calls:
        context.log.info(call.in_words())
    if problems:
        raise problems[0]
    channels, terms = customer_alerts.channels(database, operators), customer_alerts.terms()
    queued = len(calls) + queue_spend_alerts(database, channels, terms, now, context.log.info)
    if failed:
        raise ActionableError(f"the spend of these organizations can't be read: {'; '.join(map(str, failed))}")
    return SkipReason(f"{counted(queued, 'message')} queued" if queued else "nothing new")
