"""The outbox: alerts wait in Postgres, per channel, until that channel accepts them, across restarts and outages.

Posting is at-least-once: if a process dies after a channel accepted an alert and before that is recorded, the alert is
posted again. Messages to customers are given up at some time, and operators are alerted then; alerts to operators never
are. Not here: finding what to report (`unreported`), how a channel posts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from fly_billing.alerting.channel import AlertNotSent, AlertWithdrawn, Channel
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.postgres.database import BillingDatabase, records, rows, values
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

    def refusals_of(self, channel: Channel, retries: Retries) -> int:
        """Count the refusals that another alert may meet, too: not those of an address."""
        return sum(
            refusal.channel == channel.name and not refusal.is_about_recipient and not retries.is_over_by(refusal)
            for refusal in self.refused
        )


@dataclass(frozen=True)
class Retries:
    """How long a channel's alerts are retried.

    Attributes:
        longest: The longest pause between two attempts.
        most: Delivery of an alert that is older is given up by its next refusal; None: never.
        operators: The channels that are told about alerts that were given up.
    """

    longest: timedelta = timedelta(minutes=10)
    most: timedelta | None = None
    operators: Sequence[Channel] = ()

    def is_over_by(self, refusal: AlertNotSent) -> bool:
        """Return True if the refusal ends the attempts: it is permanent, and the alert is none for operators."""
        return refusal.is_permanent and self.most is not None


FOR_EVER = Retries()


@dataclass(frozen=True)
class WaitingAlert:
    """A row of the outbox that is due."""

    id: int
    code: str
    subject: str
    body: str
    organization_id: str | None


def put(connection: Connection, alert: Alert, channels: Sequence[Channel], key: str | None = None) -> None:
    """Add an alert to the outbox of each channel, in this transaction. Alerts with the same `key` are added once."""
    put_in(connection, alert, [channel.name for channel in channels], key)


def put_in(connection: Connection, alert: Alert, channels: Sequence[str], key: str | None = None) -> None:
    """Do the same with the channels' names: also for a channel that is not set now, and takes the alert later."""
    rows(
        connection, "add_alert",
        key=key, channels=list(channels),
        code=alert.code, subject=alert.subject, body=alert.body, organization_id=alert.organization_id,
    )  # fmt: skip


def post_waiting(
    database: BillingDatabase,
    channels: Sequence[Channel],
    retries: Retries = FOR_EVER,
    is_over: Callable[[], bool] = lambda: False,
) -> PostingReport:
    """Post the due alerts of each channel, oldest first. A channel that refuses does not hold up the others.

    Args:
        database: The billing database.
        channels: Where to post.
        retries: How long to try again.
        is_over: Asked before each alert; True ends the round. The rest waits for the next.
    """
    report = PostingReport()
    for channel in channels:
        while report.refusals_of(channel, retries) < MAX_REFUSALS and not is_over():
            if not _post_next(database, channel, retries, report):
                break
    return report


def _post_next(database: BillingDatabase, channel: Channel, retries: Retries, report: PostingReport) -> bool:
    """Post the channel's oldest due alert and return True, or return False if there is none.

    Its row stays locked meanwhile, so that no other process posts it.
    """
    with database.transaction() as connection:
        due = records(connection, WaitingAlert, "next_alert", channel=channel.name)
        for alert in due:
            refused = try_to_post(
                channel, Alert(alert.code, alert.subject, alert.body, organization_id=alert.organization_id)
            )
            if refused:
                report.refused.append(refused)
                _record_refusal(connection, alert, refused, retries)
            else:
                report.taken += 1
                rows(connection, "mark_alert_taken", id=alert.id)
    return bool(due)


def _record_refusal(connection: Connection, alert: WaitingAlert, refused: AlertNotSent, retries: Retries) -> None:
    """Record a refusal. If delivery is given up, operators get an alert in this transaction, once a cause and day."""
    is_withdrawn = isinstance(refused, AlertWithdrawn)
    (is_given_up,) = values(
        connection, "record_alert_refusal",
        id=alert.id, reason=refused.reason, retry_after=refused.retry_after, is_permanent=retries.is_over_by(refused),
        is_withdrawn=is_withdrawn,
        longest_seconds=retries.longest.total_seconds(),
        most_seconds=None if retries.most is None else retries.most.total_seconds(),
    )  # fmt: skip
    if is_given_up and not is_withdrawn:
        told = Alert.of(
            "message_given_up",
            f"A message to a customer was given up ({refused.channel})",
            [
                f"- {alert.organization_id}: {alert.subject}",
                f"Its last refusal: {refused.reason}",
                "What to do: `fly-billing spend-alert messages --given-up` lists all such messages: others of the same"
                " cause are not alerted again today. After that, `fly-billing spend-alert replay` sends them again.",
            ],
        )
        (day,) = values(connection, "day_of_now")
        put(connection, told, retries.operators, key=f"given up {refused.channel} {refused.reason[:200]} {day}")


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
    """Post an alert. Return the refusal, or None if the channel accepted it.

    An unexpected error of a channel is a refusal, too, so that one alert never stops the others. Its text may contain
    a secret or an address, so only its type is told.
    """
    try:
        channel.post(alert)
    except AlertNotSent as refused:
        return refused
    except Exception as problem:  # noqa: BLE001
        return AlertNotSent(channel.name, alert, type(problem).__name__)
    return None
