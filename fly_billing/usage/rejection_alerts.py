"""Queues alerts about rejected usage: one per source and reason, until its rows are fixed or waived.

Not here: finding the rows (`rejections`), and posting (`alerting.outbox`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import sha256

from fly_billing.alerting.channel import Channel
from fly_billing.alerting.outbox import Log, put
from fly_billing.alerting.rules.alerts import MOST_NAMED, Alert
from fly_billing.money import counted
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.rejections import RejectedGroup, list_unresolved

# A source whose file names have random letters is many sources: the alerts of one tick stop here and count the rest.
MOST_ALERTS = 10

Alerted = tuple[str, str]


def queue_rejection_alerts(
    database: BillingDatabase, channels: Sequence[Channel], log: Log, alerted: Collection[Alerted]
) -> tuple[list[Alerted], int]:
    """Queue an alert for each source and reason with unresolved rows that is not in `alerted`.

    Returns:
        The sources and reasons that are alerted and still unresolved, and the number of alerts.
    """
    groups = list_unresolved(database)
    new = sorted(
        (group for group in groups if (group.source, group.reason) not in alerted), key=lambda group: -group.rows
    )
    alerts = [(rejection_alert(group), [group]) for group in new[:MOST_ALERTS]]
    if rest := new[MOST_ALERTS:]:
        alerts.append((_alert_about_others(rest), rest))
    with database.transaction() as connection:
        for alert, about in alerts:
            put(connection, alert, channels, _key(about))
    for alert, _ in alerts:
        log(alert.text)
    return [(group.source, group.reason) for group in groups], len(alerts)


def rejection_alert(group: RejectedGroup) -> Alert:
    """Return the alert: how many rows, whose, from which days, the money at stake, and what to do."""
    organizations = [f"- {name}" for name in group.organizations[:MOST_NAMED]]
    if more := len(group.organizations[MOST_NAMED:]):
        organizations.append(f"- and {more:,} more")
    if group.unnamed_rows:
        organizations.append(f"- {counted(group.unnamed_rows, 'row')} without a readable organization")
    return Alert.of(
        "rejected_usage",
        f"Rejected usage: {group.source}, {group.reason}: {counted(group.rows, 'row')},"
        f" estimate {group.estimate.in_words()}",
        [
            f"Landing days: {group.first_day} to {group.last_day}. Organizations ({len(group.organizations):,}):",
            *organizations,
            "What to do: run `fly-billing rejected --list`, fix the files and run `fly-billing land`, or waive the rows"
            " with `fly-billing waive`. Until then this usage is not billed.",
        ],
    )


def _alert_about_others(groups: Sequence[RejectedGroup]) -> Alert:
    rows = sum(group.rows for group in groups)
    return Alert.of(
        "rejected_usage",
        f"Rejected usage: {counted(rows, 'more row')} ({counted(len(groups), 'pair')} of source and reason)",
        ["What to do: run `fly-billing rejected`, which lists all of them with the money at stake."],
    )


def _key(groups: Sequence[RejectedGroup]) -> str:
    """Return a key that stays the same until one of the groups lands again, if the sensor's cursor is lost."""
    parts = "\n".join(f"{group.source}\n{group.reason}\n{group.landed_at.isoformat()}" for group in groups)
    return f"rejected usage {sha256(parts.encode()).hexdigest()}"
