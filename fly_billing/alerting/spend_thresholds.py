"""Spend thresholds in Postgres: setting them, and telling once a month when one is crossed.

Keeps out: the words (`alerting.rules.spend_thresholds`), posting (`alerting.outbox`).
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from fly_billing.alerting.channel import Channel
from fly_billing.alerting.outbox import Log, put
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.alerting.rules.spend_thresholds import Crossing, spend_alert, threshold_cents
from fly_billing.bounds import refuse_unreadable
from fly_billing.errors import ActionableError
from fly_billing.postgres.database import BillingDatabase, Row, lock_until_commit, rows
from fly_billing.postgres.isolation import each_alone, unreadable


class SpendNotTold(ActionableError):
    """These organizations crossed a threshold that could not be told of; all others were told of."""

    def __init__(self, failed: Sequence[tuple[Row, Exception]]) -> None:
        which = "; ".join(
            unreadable(f"spend of {row['organization_id']} in {row['month']}", problem).operator_text
            for row, problem in failed
        )
        super().__init__(f"{len(failed)} spend alerts could not be told, the others were: {which}")


class NoSuchThreshold(ActionableError):
    """The organization does not exist, the amount is none, or there is no such threshold. The message says which."""


def add_threshold(database: BillingDatabase, organization_id: str, amount: str) -> bool:
    """Have people told when a month of the organization comes to `amount`, in its currency; False if they are already.

    A month that is above it now is told of at the next look. Raises NoSuchThreshold.
    """
    return bool(database.rows("spend_threshold_add", **_threshold(database, organization_id, amount)))


def remove_threshold(database: BillingDatabase, organization_id: str, amount: str) -> None:
    """Take a threshold away. Raises NoSuchThreshold."""
    if not database.rows("spend_threshold_remove", **_threshold(database, organization_id, amount)):
        raise NoSuchThreshold(f"{organization_id} has no spend alert at {amount}: `fly-billing spend-alert list`")


def thresholds(database: BillingDatabase, organization_id: str | None = None) -> list[Row]:
    """List thresholds: organization_id, currency, amount_cents, last_alerted (a month, or None)."""
    return database.rows("spend_thresholds", organization_id=organization_id)


def _threshold(database: BillingDatabase, organization_id: str, amount: str) -> dict[str, str | int]:
    found = database.rows("organization", id=organization_id)
    if not found:
        raise NoSuchThreshold(f"no organization {organization_id!r}: `fly-billing statement` names those alike")
    currency = found[0]["currency"]
    try:
        cents = threshold_cents(amount, currency)
    except ValueError as problem:
        raise NoSuchThreshold(str(problem)) from problem
    return {"organization_id": organization_id, "currency": currency, "amount_cents": cents}


def queue_spend_alerts(database: BillingDatabase, channels: Sequence[Channel], log: Log) -> int:
    """Tell of open months that came to a threshold, each once; several at once are one message. Returns how many.

    In one transaction it is put into the outbox and written down as told. Where something about an organization can't
    be read, people are alerted of that once per month and cause, and each look raises SpendNotTold, after the others
    were told of. Without a channel the log is the place.
    """
    with database.transaction() as connection:
        lock_until_commit(connection, "alerts")  # two that tell at once would both find what nobody was told of
        crossed = rows(connection, "spend_thresholds_crossed")
        done, failed = each_alone(connection, crossed, lambda some: [_tell(connection, row, channels) for row in some])
        for row, problem in failed:
            _tell_failure(connection, row, problem, channels)
    alerts = [alert for _, told in done for alert in told]
    for alert in alerts:
        log(alert.text)
    if failed:
        raise SpendNotTold(failed)
    return len(alerts)


def _tell(connection: Connection, row: Row, channels: Sequence[Channel]) -> Alert:
    refuse_unreadable(row)
    crossing = Crossing(**row)
    alert = spend_alert(crossing)
    put(connection, alert, channels)
    rows(
        connection, "record_spend_alert",
        organization_id=crossing.organization_id, month=crossing.month, currency=crossing.currency,
        thresholds_cents=list(crossing.thresholds_cents), total_cents=crossing.total_cents,
    )  # fmt: skip
    return alert


def _tell_failure(connection: Connection, row: Row, problem: Exception, channels: Sequence[Channel]) -> None:
    """Put an alert into the outbox, unless there was one of the same: the row may stay bad for many looks."""
    what = unreadable(f"spend of {row['organization_id']} in {row['month']}", problem).operator_text
    subject = f"Spend of {row['organization_id']} could not be told"
    put(
        connection,
        Alert.of("spend_not_told", subject, [f"What to do: {what}"]),
        channels,
        key=f"spend not told: {what}",
    )
