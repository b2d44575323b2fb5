"""Finds usage sources that stopped delivering files, and queues an alert for each.

Not here: the rule (`usage.rules.source_cadence`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fly_billing.alerting.channel import Channel
from fly_billing.alerting.outbox import Log, put
from fly_billing.alerting.rules.alerts import MOST_NAMED, Alert
from fly_billing.money import counted
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.rules.source_cadence import SilentSource, SourceDays, silent_sources


def list_silent_sources(database: BillingDatabase) -> list[SilentSource]:
    """List the sources that missed two of their cadences, by name."""
    (last,) = database.values("last_complete_landing_day")
    if last is None:
        return []
    return silent_sources(database.records(SourceDays, "landing_days_of_sources", last=last), last)


def queue_silent_source_alert(
    database: BillingDatabase, channels: Sequence[Channel], log: Log, alerted: Collection[str]
) -> tuple[list[str], int]:
    """Queue one alert about all silent sources that are not in `alerted`.

    Returns:
        The sources that are silent now, and the number of alerts.
    """
    silent = list_silent_sources(database)
    new = [source for source in silent if source.source not in alerted]
    if new:
        alert = silent_source_alert(new)
        key = "silent sources " + ", ".join(f"{source.source} {source.last_day}" for source in new[:MOST_NAMED])
        with database.transaction() as connection:
            put(connection, alert, channels, key)
        log(alert.text)
    return [source.source for source in silent], int(bool(new))


def silent_source_alert(silent: Sequence[SilentSource]) -> Alert:
    """Return the alert: each source with its last day and its cadence, and what to do."""
    named = [f"- {source.source}: {source.sentence}" for source in silent[:MOST_NAMED]]
    more = [f"- and {len(silent) - MOST_NAMED:,} more"] if len(silent) > MOST_NAMED else []
    return Alert.of(
        "silent_source",
        f"{counted(len(silent), 'usage source')} stopped: no files in two of the usual intervals",
        [*named, *more, "What to do: ask who runs the source. Its usage is not billed until its files land."],
    )
