"""Finds credit notes that need a person, and queues an alert for each, once. Not here: texts (`rules.open_credits`)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from fly_billing.alerting.channel import Channel
from fly_billing.alerting.outbox import Log, put
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sync.rules.open_credits import OpenCredit

# The poll of events sends a request that is not at Stripe every 15 minutes; after four times, someone should look.
STUCK_AFTER = timedelta(hours=1)


def list_open_credits(database: BillingDatabase, now: datetime) -> list[OpenCredit]:
    """List the credit notes that wait for an approval, were refused, or don't reach Stripe, oldest first."""
    return database.records(OpenCredit, "open_credit_requests", stuck_before=now - STUCK_AFTER)


def queue_credit_alerts(
    database: BillingDatabase, channels: Sequence[Channel], log: Log, now: datetime, known: Collection[str]
) -> tuple[list[str], int]:
    """Queue an alert for each credit note that needs a person and is not in `known`, the keys of the last look.

    The outbox takes each alert only once, even if `known` is lost. Returns the keys now, and the number of alerts.
    """
    found = list_open_credits(database, now)
    new = [credit for credit in found if credit.alert_key not in known]
    with database.transaction() as connection:
        for credit in new:
            put(connection, credit.alert, channels, credit.alert_key)
    for credit in new:
        log(credit.alert.text)
    return [credit.alert_key for credit in found], len(new)
