"""Queues alerts about declared sources that are late: once for each, and once more when it sends usage again.

Not here: the rule (`usage.rules.declared_sources`), and sources that nobody declared (`usage.sources`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from fly_billing.alerting.channel import Channel
from fly_billing.alerting.outbox import Log, put
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.money import counted
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.rules.declared_sources import DeclaredSource, LateSource, late_sources


def queue_late_source_alerts(
    open_database: Callable[[], BillingDatabase],
    channels: Sequence[Channel],
    log: Log,
    sources: Sequence[DeclaredSource],
    last_events: Mapping[str, datetime],
    alerted: Mapping[str, str],
    now: datetime,
) -> tuple[dict[str, str], int]:
    """Queue an alert about the sources that became late, and about each that is late no more.

    Args:
        open_database: The database is opened only if there is something to tell.
        last_events: The time of the last event by source, in UTC.
        alerted: The late sources that an alert named, with the time of their last event then.

    Returns:
        The sources that are late now, as `alerted`, and the number of alerts.
    """
    late = late_sources(sources, last_events, now)
    now_late = {each.source.name: each.last_event_at.isoformat() for each in late}
    declared = {source.name for source in sources}
    alerts = [
        (_recovered(name, last_events[name]), f"source {name} recovered from {since}")
        for name, since in sorted(alerted.items())
        if name in declared - now_late.keys() and name in last_events
    ]
    if new := [each for each in late if each.source.name not in alerted]:
        named = ", ".join(f"{each.source.name} {each.last_event_at.isoformat()}" for each in new)
        alerts.append((_late(new), f"late sources {named}"))
    if alerts:
        with open_database().transaction() as connection:
            for alert, key in alerts:
                put(connection, alert, channels, key)
    for alert, _ in alerts:
        log(alert.text)
    return now_late, len(alerts)


def _late(late: Sequence[LateSource]) -> Alert:
    owners = [f". Owner: {each.source.owner}" if each.source.owner else "" for each in late]
    return Alert.of(
        "late_source",
        f"{counted(len(late), 'declared usage source')} late: {', '.join(each.source.name for each in late)}",
        [
            *(f"- {each.sentence}{owner}" for each, owner in zip(late, owners, strict=True)),
            "What to do: ask its owner. Its usage is not billed until it lands. Rejected events are no usage:"
            " `fly-billing rejected` lists them.",
        ],
    )


def _recovered(name: str, last: datetime) -> Alert:
    return Alert.of(
        "late_source",
        f"Usage source {name} is no longer late",
        [f"Its last event is of {last:%Y-%m-%d %H:%M} UTC. Nothing to do."],
    )
