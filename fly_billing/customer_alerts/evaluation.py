"""Compares the open months with the thresholds of their organizations, and queues each message once a month.

A threshold is recorded as reached by a month in the transaction that queues its message. Only months that are open by
the clock count: a backfill of old months alerts nobody. Not here: the texts (`rules.messages`), sending
(`alerting.outbox`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby

from sqlalchemy import Connection

from fly_billing.alerting.channel import Channel
from fly_billing.alerting.outbox import Log, put
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.bounds import refuse_incomplete
from fly_billing.customer_alerts.customer_mail import recipient_of
from fly_billing.customer_alerts.figures import ReadParts, mark_checked, read_parts
from fly_billing.customer_alerts.rules.messages import Reached, mail_of, webhook_of
from fly_billing.customer_alerts.thresholds import add_first_alerts
from fly_billing.errors import ActionableError
from fly_billing.money import counted
from fly_billing.periods import open_months
from fly_billing.postgres.database import BillingDatabase, records, rows
from fly_billing.postgres.isolation import isolate_failures, unreadable

# A round ends after these seconds, because a tick of Dagster must end within a minute; the next one goes on. On the
# first of a month, fees in advance let most organizations reach a threshold at once.
ROUND_SECONDS = 20
# Organizations whose messages are queued in one transaction.
MOST_GROUPS = 500
# Columns of a Reached that not every kind has.
_MAY_BE_MISSING = frozenset({"subject", "percent"})
Group = Sequence[Reached]


class SpendAlertFailed(ActionableError):
    """The spend of these organizations can't be read, so they got no spend alert; all others did."""

    def __init__(self, failed: Sequence[tuple[Group, Exception]]) -> None:
        reasons = "; ".join(_reason(group, problem) for group, problem in failed)
        super().__init__(f"{counted(len(failed), 'spend alert')} could not be sent: {reasons}. All others were sent")


@dataclass(frozen=True)
class AlertChannels:
    """Where messages go. `operators` get only what concerns them.

    Attributes:
        mail: Sends e-mails to customers; None if none are sent.
        webhook: The platform's endpoint for customers' alerts; None if it has none.
    """

    operators: Sequence[Channel] = ()
    mail: Channel | None = None
    webhook: Channel | None = None


@dataclass(frozen=True)
class AlertTerms:
    """The settings of an evaluation.

    Attributes:
        grace: The time after a month's end in which it is still open.
        first_alert: The first threshold of new organizations, in whole units by currency; empty: none.
    """

    grace: timedelta
    first_alert: Mapping[str, Decimal] = field(default_factory=dict)


def queue_spend_alerts(
    database: BillingDatabase, channels: AlertChannels, terms: AlertTerms, now: datetime, log: Log
) -> int:
    """Queue a message for each open month that reached thresholds; those reached at the same time share a message.

    Two processes may do this at once: the key of `spend_alerts` lets only one of them queue a message.

    E-mails are also logged; without a channel the log is the only place. If the spend of an organization can't be read,
    operators get one alert per month and cause.

    Returns:
        The number of messages to customers, an e-mail and its webhook counted once.

    Raises:
        SpendAlertFailed: The spend of some organizations can't be read; the messages of all others are queued.
    """
    months = [month.first_day for month in open_months(now, terms.grace)]
    end = time.monotonic() + ROUND_SECONDS
    with database.transaction() as connection:
        add_first_alerts(connection, terms.first_alert)
        totals = records(connection, Reached, "reached_thresholds", months=months)
    parts = read_parts(database, months, now, lambda: time.monotonic() >= end - ROUND_SECONDS / 2)
    groups = _groups([*totals, *parts.reached])
    failed: list[tuple[Group, Exception]] = [([each], problem) for each, problem in parts.failed]
    queued = 0
    for start in range(0, len(groups), MOST_GROUPS):
        if time.monotonic() < end:
            mails, wrong = _queue_groups(database, groups[start : start + MOST_GROUPS], channels, now)
            queued += len(mails)
            failed += wrong
            for mail in mails:
                log(mail.text)
    _finish(database, parts, failed, channels.operators, now)
    if failed:
        raise SpendAlertFailed(failed)
    return queued


def _queue_groups(
    database: BillingDatabase, groups: Sequence[Group], channels: AlertChannels, now: datetime
) -> tuple[list[Alert], list[tuple[Group, Exception]]]:
    """Queue the messages of these groups in one transaction. Return the e-mails, and the groups that can't be read."""
    with database.transaction() as connection:
        done, failed = isolate_failures(
            connection, groups, lambda some: [_queue(connection, group, channels, now) for group in some]
        )
    return [mail for _, queued in done for mail in queued if mail], failed


def _groups(found: Sequence[Reached]) -> list[Group]:
    """Return what each month of each organization reached."""

    def month_of(reached: Reached) -> tuple[str, str]:
        return reached.month, reached.organization_id

    return [list(group) for _, group in groupby(sorted(found, key=month_of), key=month_of)]


def _queue(connection: Connection, group: Group, channels: AlertChannels, now: datetime) -> Alert | None:
    """Record thresholds as reached and queue their message; None if all of them were recorded before."""
    for reached in group:
        refuse_incomplete(vars(reached), _MAY_BE_MISSING)
    organization_id = group[0].organization_id
    recorded = {
        row["threshold_id"]
        for row in rows(
            connection, "record_spend_alerts",
            organization_id=organization_id, month=group[0].month, currency=group[0].currency,
            threshold_ids=[each.threshold_id for each in group], limits_cents=[each.limit_cents for each in group],
            reached_cents=[each.reached_cents for each in group],
        )
    }  # fmt: skip
    new = [each for each in group if each.threshold_id in recorded]
    if not new:
        return None
    mail = mail_of(new, now)
    if channels.mail and recipient_of(connection, organization_id):
        put(connection, mail, [channels.mail])
    if channels.webhook:
        put(connection, webhook_of(new, now), [channels.webhook])
    return mail


def _finish(
    database: BillingDatabase,
    parts: ReadParts,
    failed: Sequence[tuple[Group, Exception]],
    operators: Sequence[Channel],
    now: datetime,
) -> None:
    """Record what was compared, and alert operators of what can't be read."""
    with database.transaction() as connection:
        mark_checked(connection, parts, now)
        for group, problem in failed:
            _queue_failure_alert(connection, group, problem, operators)


def _queue_failure_alert(
    connection: Connection, group: Group, problem: Exception, operators: Sequence[Channel]
) -> None:
    """Queue an alert unless the same one was queued before: the row may stay bad for many ticks."""
    reason = _reason(group, problem)
    subject = f"Spend alert for {group[0].organization_id} could not be sent"
    alert = Alert.of("spend_alert_failed", subject, [f"What to do: {reason}"])
    put(connection, alert, operators, key=f"spend alert failed: {reason}")


def _reason(group: Group, problem: Exception) -> str:
    return unreadable(f"spend of {group[0].organization_id} in {group[0].month}", problem).operator_text
