"""Polls Stripe's events, to find those that no webhook delivered."""

from datetime import timedelta

from dagster import SensorEvaluationContext, SkipReason

from fly_billing.automations import described_sensor
from fly_billing.foreign_text import visible
from fly_billing.money import counted
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.resources.stripe_account import StripeAccount
from fly_billing.settings import SettingsError
from fly_billing.stripe_sync.credit_notes import send_unfinished
from fly_billing.stripe_sync.event_inbox import KEPT, poll_events, settle_waiting_events
from fly_billing.stripe_sync.reader import ReadingFailed

# 2,880 reads a month. Stripe allows every account 10,000, and more as its transactions grow.
INTERVAL = timedelta(minutes=15)


# On by default, also with webhooks: an event from both is applied once, and one that the webhook missed is not lost.
@described_sensor(int(INTERVAL.total_seconds()))
def poll_stripe_events(
    context: SensorEvaluationContext, billing_postgres: BillingPostgres, stripe_account: StripeAccount, clock: Clock
) -> SkipReason:
    """Record the invoices that were paid, failed, voided or written off in Stripe since the last poll.

    Also records credit notes, refunds, disputes and changes of customers' balances, applies events that waited for our
    own sync, and continues with credit notes that Stripe has not answered. Stripe keeps events for 30 days.
    """
    database = billing_postgres.database()
    try:
        tools = stripe_account.sync_tools(database, clock, "poll_stripe_events")
        for credit in send_unfinished(tools):
            if credit.failure:
                said = f"{credit.organization_id}: credit note of {credit.amount}: {credit.state}: {credit.failure}"
                context.log.error(visible(said))
        found = poll_events(database, tools.reader(), clock.now() - KEPT, clock.now())
    except SettingsError as missing:
        return SkipReason(str(missing))
    except ReadingFailed as problem:
        context.log.warning(f"Stripe's events could not be read; the next tick continues: {visible(str(problem))}")
        return SkipReason(f"Stripe could not be read: {visible(str(problem))}")
    finally:
        settled = settle_waiting_events(database)
    more = "" if found.is_done else "; the next tick reads more"
    return SkipReason(f"{counted(found.new + settled, 'new event')} until {found.until:%Y-%m-%d %H:%M}Z{more}")
