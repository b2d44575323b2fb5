"""The sensors: they register organizations, poll Stripe, alert on failures and spending, and send messages.

One module each.
"""

from fly_billing.sensors.alert_on_failed_check import alert_on_failed_check
from fly_billing.sensors.alert_on_failed_invoices import alert_on_failed_invoices
from fly_billing.sensors.alert_on_failed_payment import alert_on_failed_payment
from fly_billing.sensors.alert_on_failed_run import alert_on_failed_run
from fly_billing.sensors.alert_on_failed_sync import alert_on_failed_sync
from fly_billing.sensors.alert_on_held_corrections import alert_on_held_corrections
from fly_billing.sensors.alert_on_late_source import alert_on_late_source
from fly_billing.sensors.alert_on_open_credits import alert_on_open_credits
from fly_billing.sensors.alert_on_rejected_usage import alert_on_rejected_usage
from fly_billing.sensors.alert_on_silent_source import alert_on_silent_source
from fly_billing.sensors.alert_on_spend import alert_on_spend
from fly_billing.sensors.poll_stripe_events import poll_stripe_events
from fly_billing.sensors.register_new_organizations import register_new_organizations
from fly_billing.sensors.send_alerts import send_alerts
from fly_billing.sensors.send_customer_alerts import send_customer_alerts
from fly_billing.sensors.send_heartbeat import send_heartbeat
from fly_billing.sensors.sync_closed_months import sync_closed_months
from fly_billing.sensors.tell_about_late_payments import tell_about_late_payments

SENSORS = [
    alert_on_failed_check,
    alert_on_failed_invoices,
    alert_on_failed_payment,
    alert_on_failed_run,
    alert_on_failed_sync,
    alert_on_held_corrections,
    alert_on_late_source,
    alert_on_open_credits,
    alert_on_rejected_usage,
    alert_on_silent_source,
    alert_on_spend,
    poll_stripe_events,
    register_new_organizations,
    send_alerts,
    send_customer_alerts,
    send_heartbeat,
    sync_closed_months,
    tell_about_late_payments,
]
