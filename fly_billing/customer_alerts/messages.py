"""The messages to customers in the outbox: sends them, lists them, and puts them in again.

Not here: which messages are queued (`customer_alerts.evaluation`, `customer_alerts.spend_caps`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from fly_billing.alerting.channel import Channel
from fly_billing.alerting.outbox import PostingReport, Retries, post_waiting
from fly_billing.customer_alerts.channels import WEBHOOK
from fly_billing.customer_alerts.customer_mail import NAME as MAIL
from fly_billing.customer_alerts.evaluation import AlertChannels
from fly_billing.postgres.database import BillingDatabase

# Messages are retried with pauses up to six hours, and given up after four days.
LONGEST, MOST = timedelta(hours=6), timedelta(days=4)
# Calls of the cap hook are repeated at least every hour until they are acknowledged.
LONGEST_CALL = timedelta(hours=1)
# Seconds after which a round begins no more attempts: of each channel, and of all. A tick of Dagster must end within a
# minute, and the last attempt may take 20 seconds.
CHANNEL_SECONDS, ROUND_SECONDS = 10, 30


@dataclass(frozen=True)
class CustomerMessage:
    """A message of the outbox.

    Attributes:
        refusals: The number of attempts that failed.
        taken_at, given_up_at: When it was delivered or given up; both None while it waits.
        is_withdrawn: It was given up because nobody wants it any more; it is never sent again.
    """

    id: int
    channel: str
    organization_id: str
    subject: str
    made_at: datetime
    refusals: int
    last_refusal: str | None
    taken_at: datetime | None
    given_up_at: datetime | None
    is_withdrawn: bool

    @property
    def state(self) -> str:
        if self.taken_at:
            return f"sent {self.taken_at:%Y-%m-%d %H:%M}"
        if self.given_up_at is None:
            return "waits"
        return f"{'withdrawn' if self.is_withdrawn else 'given up'} {self.given_up_at:%Y-%m-%d %H:%M}"


def send_customer_messages(
    database: BillingDatabase, channels: AlertChannels, cap_hook: Channel | None
) -> PostingReport:
    """Send the due messages: calls of the cap hook first. A receiver that is slow or down holds up no other."""
    report = PostingReport()
    round_end = time.monotonic() + ROUND_SECONDS
    messages = Retries(LONGEST, MOST, channels.operators)
    for channel, retries in (
        (cap_hook, Retries(longest=LONGEST_CALL)),
        (channels.webhook, messages),
        (channels.mail, messages),
    ):
        if channel:
            end = min(round_end, time.monotonic() + CHANNEL_SECONDS)
            done = post_waiting(database, [channel], retries, partial(_is_past, end))
            report.taken += done.taken
            report.refused += done.refused
    return report


def _is_past(end: float) -> bool:
    return time.monotonic() >= end


def customer_messages(
    database: BillingDatabase, organization_id: str | None = None, *, only_given_up: bool = False, most: int = 100
) -> list[CustomerMessage]:
    """List the newest messages to customers, or of one. `only_given_up`: those that could not be delivered."""
    return database.records(
        CustomerMessage, "customer_messages",
        organization_id=organization_id, only_given_up=only_given_up, channels=[WEBHOOK, MAIL], most=most,
    )  # fmt: skip


def replay(
    database: BillingDatabase, since: datetime, organization_id: str | None = None, *, also_sent: bool = False
) -> int:
    """Put messages into the outbox again, with the same content and therefore the same id. Return their number.

    A message that was withdrawn is not sent again.

    Args:
        database: The billing database.
        since: Messages that were made since.
        organization_id: Of one customer; None: of all.
        also_sent: Also webhooks that the platform has taken. Otherwise only messages that were given up.
    """
    channels: Sequence[str] = [WEBHOOK] if also_sent else [WEBHOOK, MAIL]
    return len(
        database.rows(
            "replay_messages",
            organization_id=organization_id, since=since, channels=channels, also_sent=also_sent,
        )
    )  # fmt: skip
