"""The outbox: alerts wait in Postgres, per channel, until that channel accepts them, across restarts and outages.

Posting is at-least-once: if a process dies after a channel accepted an alert and before that is recorded, the alert is
posted again. Not here: finding what to report (`unreported`), how a channel posts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from fly_billing.alerting.channel import AlertNotSent, Channel
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.postgres.database import BillingDatabase, records, rows
from fly_billing.settings import SettingsError

# After this many refusals a channel is skipped until the next round, because each may take its whole timeout.
MAX_REFUSALS = 3

Log = Callable[[str], None]


@dataclass
class PostingReport:
    """The outcome of one round of posting.

    Attributes:
        taken: How many alerts a channel accepted.
        refused: The refusals, with the channels' reasons.
    """

    taken: int = 0
    refused: list[AlertNotSent] = field(default_factory=list)

    def refusals_of(self, channel: Channel) -> int:
        return sum(1 for refusal in self.refused if refusal.channel == channel.name)


@dataclass(frozen=True)
class WaitingAlert:
    """A row of the outbox that is due."""

    id: int
    code: str
    subject: str
    body: str


def put(connection: Connection, alert: Alert, channels: Sequence[Channel], key: str | None = None) -> None:
    """Add an alert to the outbox of each channel, in this transaction. Alerts with the same `key` are added once."""
    rows(
        connection, "add_alert",
        key=key, channels=[channel.name for channel in channels],
        code=alert.code, subject=alert.subject, body=alert.body,
    )  # fmt: skip


def post_waiting(database: BillingDatabase, channels: Sequence[Channel]) -> PostingReport:
    """Post the due alerts of each channel, oldest first. A channel that refuses does not hold up the others."""
    report = PostingReport()
    for channel in channels:
        while report.refusals_of(channel) < MAX_REFUSALS and _post_next(database, channel, report):
            pass
    return report


def _post_next(database: BillingDatabase, channel: Channel, report: PostingReport) -> bool:
    """Post the channel's oldest due alert and return True, or return False if there is none.

    Its row stays locked meanwhile, so that no other process posts it.
    """
    with database.transaction() as connection:
        due = records(connection, WaitingAlert, "next_alert", channel=channel.name)
        for alert in due:
            try:
                channel.post(Alert(alert.code, alert.subject, alert.body))
            except AlertNotSent as refused:
                report.refused.append(refused)
                rows(
                    connection, "record_alert_refusal",
                    id=alert.id, reason=refused.reason, retry_after=refused.retry_after,
                )  # fmt: skip
            else:
                report.taken += 1
                rows(connection, "mark_alert_taken", id=alert.id)
    return bool(due)


def put_or_post(
    open_database: Callable[[], BillingDatabase], alert: Alert, channels: Sequence[Channel], key: str, log: Log
) -> None:
    """Log an alert and add it to the outbox. If the database is down (perhaps the very failure), post it at once.

    Raises AlertNotSent if it could neither be added nor be posted to every channel; the caller must try again.
    """
    log(alert.text)
    try:
        with open_database().transaction() as connection:
            put(connection, alert, channels, key)
    except (SQLAlchemyError, SettingsError):
        refused = [problem for channel in channels if (problem := try_to_post(channel, alert))]
        if refused:
            raise refused[0] from None


def try_to_post(channel: Channel, alert: Alert) -> AlertNotSent | None:
    """Post an alert. Return the refusal, or None if the channel accepted it."""
    try:
        channel.post(alert)
    except AlertNotSent as refused:
        return refused
    return None
