"""The outbox: alerts wait in Postgres, per channel, until that channel takes them; over restarts and outages.

Posting is at least once: a process that dies between a channel's yes and our writing it down posts again. Keeps out:
what is told (`unreported`), how a channel posts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from fly_billing.alerting.channel import AlertNotSent, Channel
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.postgres.database import BillingDatabase, rows
from fly_billing.settings import SettingsError

# A channel that refused so often is left alone until the next time: each refusal may take its whole timeout.
MOST_REFUSALS = 3

Log = Callable[[str], None]


@dataclass
class Posted:
    """What one round of posting did. `refused`: in the channels' words."""

    taken: int = 0
    refused: list[AlertNotSent] = field(default_factory=list)

    def refusals_of(self, channel: Channel) -> int:
        return sum(1 for one in self.refused if one.channel == channel.name)


def put(connection: Connection, alert: Alert, channels: Sequence[Channel], key: str | None = None) -> None:
    """Let an alert wait for each of these channels, once the transaction commits. With a `key`: once, however often."""
    rows(
        connection, "alert_add",
        key=key, channels=[one.name for one in channels], code=alert.code, subject=alert.subject, body=alert.body,
    )  # fmt: skip


def post_waiting(database: BillingDatabase, channels: Sequence[Channel]) -> Posted:
    """Post what is due on each channel, oldest first; a channel that refuses does not hold up the others."""
    posted = Posted()
    for channel in channels:
        while posted.refusals_of(channel) < MOST_REFUSALS and _post_next(database, channel, posted):
            pass
    return posted


def _post_next(database: BillingDatabase, channel: Channel, posted: Posted) -> bool:
    """Post the channel's oldest alert that is due; return whether there was one.

    Its row is locked meanwhile, so no other process posts it too.
    """
    with database.transaction() as connection:
        due = rows(connection, "alert_next", channels=[channel.name])
        for row in due:
            try:
                channel.post(Alert(row["code"], row["subject"], row["body"]))
            except AlertNotSent as refused:
                posted.refused.append(refused)
                rows(
                    connection, "alert_refused",
                    id=row["id"], reason=refused.reason, retry_after=refused.retry_after,
                )  # fmt: skip
            else:
                posted.taken += 1
                rows(connection, "alert_taken", id=row["id"])
    return bool(due)


def put_or_post(
    open_database: Callable[[], BillingDatabase], alert: Alert, channels: Sequence[Channel], key: str, log: Log
) -> None:
    """Log an alert and put it into the outbox; without a database, which may be what it tells of, post it at once.

    Raises AlertNotSent where it could neither be put nor, to every channel, be posted: it has to be told again.
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
    """Post an alert; return the refusal, if it was refused."""
    try:
        channel.post(alert)
    except AlertNotSent as refused:
        return refused
    return None
