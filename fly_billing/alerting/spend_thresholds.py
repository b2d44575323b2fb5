"""Spend thresholds in Postgres: adds, removes and lists them, and queues one alert a month when one is reached.

Not here: the text of the alert (`alerting.rules.spend_thresholds`), posting (`alerting.outbox`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from fly_billing.alerting.channel import Channel
from fly_billing.alerting.outbox import Log, put
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.alerting.rules.spend_thresholds import Crossing, spend_alert, threshold_cents
from fly_billing.bounds import refuse_unreadable
from fly_billing.errors import ActionableError
from fly_billing.money import counted
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, records, rows
from fly_billing.postgres.isolation import isolate_failures, unreadable


class SpendAlertFailed(ActionableError):
    """The spend of these organizations can't be read, so they got no spend alert; all others did."""

    def __init__(self, failed: Sequence[tuple[Crossing, Exception]]) -> None:
        reasons = "; ".join(_reason(crossing, problem) for crossing, problem in failed)
        super().__init__(f"{counted(len(failed), 'spend alert')} could not be sent: {reasons}. All others were sent")


@dataclass(frozen=True)
class SpendThreshold:
    """An amount at which people are alerted about an organization's month.

    Attributes:
        amount_cents: In `currency`.
        last_alerted: The last month that reached it, such as `2026-09`; None if none did.
    """

    organization_id: str
    currency: str
    amount_cents: int
    last_alerted: str | None


class NoSuchThreshold(ActionableError):
    """The organization or the threshold does not exist, or the amount is not valid. The message says which."""


def add_threshold(database: BillingDatabase, organization_id: str, amount: str) -> bool:
    """Alert when a month of the organization reaches `amount`, in its currency. Return False if that is set already.

    If the open month is above it now, the next tick of the sensor alerts. Raises NoSuchThreshold.
    """
    return bool(database.rows("add_spend_threshold", **_threshold(database, organization_id, amount)))


def remove_threshold(database: BillingDatabase, organization_id: str, amount: str) -> None:
    """Remove a threshold. Raises NoSuchThreshold."""
    if not database.rows("remove_spend_threshold", **_threshold(database, organization_id, amount)):
        raise NoSuchThreshold(f"{organization_id} has no spend alert at {amount}: `fly-billing spend-alert list`")


def thresholds(database: BillingDatabase, organization_id: str | None = None) -> list[SpendThreshold]:
    """List the thresholds of an organization, or of all."""
    return database.records(SpendThreshold, "spend_thresholds", organization_id=organization_id)


def _threshold(database: BillingDatabase, organization_id: str, amount: str) -> dict[str, str | int]:
    organizations = database.rows("organization", id=organization_id)
    if not organizations:
        raise NoSuchThreshold(f"no organization {organization_id!r}: `fly-billing statement` suggests similar names")
    currency = organizations[0]["currency"]
    try:
        cents = threshold_cents(amount, currency)
    except ValueError as problem:
        raise NoSuchThreshold(str(problem)) from problem
    return {"organization_id": organization_id, "currency": currency, "amount_cents": cents}


def queue_spend_alerts(database: BillingDatabase, channels: Sequence[Channel], log: Log) -> int:
    """Queue an alert for each open month that reached a threshold, once; several thresholds share one alert.

    The alert is added to the outbox and recorded in one transaction. Alerts are also logged; without a channel the log
    is the only place. If the spend of an organization can't be read, one alert per month and cause says so.

    Returns:
        The number of alerts about reached thresholds.

    Raises:
        SpendAlertFailed: The spend of some organizations can't be read; the alerts of all others are queued.
    """
    with database.transaction() as connection:
        lock_until_commit(connection, "alerts")  # two processes at once would both find the same crossings
        crossed = records(connection, Crossing, "spend_thresholds_crossed")
        done, failed = isolate_failures(
            connection, crossed, lambda some: [_queue_alert(connection, crossing, channels) for crossing in some]
        )
        for crossing, problem in failed:
            _queue_failure_alert(connection, crossing, problem, channels)
    alerts = [alert for _, queued in done for alert in queued]
    for alert in alerts:
        log(alert.text)
    if failed:
        raise SpendAlertFailed(failed)
    return len(alerts)


def _queue_alert(connection: Connection, crossing: Crossing, channels: Sequence[Channel]) -> Alert:
    refuse_unreadable(vars(crossing))
    alert = spend_alert(crossing)
    put(connection, alert, channels)
    rows(
        connection, "record_spend_alert",
        organization_id=crossing.organization_id, month=crossing.month, currency=crossing.currency,
        thresholds_cents=list(crossing.thresholds_cents), total_cents=crossing.total_cents,
    )  # fmt: skip
    return alert


def _queue_failure_alert(
    connection: Connection, crossing: Crossing, problem: Exception, channels: Sequence[Channel]
) -> None:
    """Queue an alert unless the same one was queued before: the row may stay bad for many ticks."""
    reason = _reason(crossing, problem)
    subject = f"Spend alert for {crossing.organization_id} could not be sent"
    alert = Alert.of("spend_alert_failed", subject, [f"What to do: {reason}"])
    put(connection, alert, channels, key=f"spend alert failed: {reason}")


def _reason(crossing: Crossing, problem: Exception) -> str:
    return unreadable(f"spend of {crossing.organization_id} in {crossing.month}", problem).operator_text
