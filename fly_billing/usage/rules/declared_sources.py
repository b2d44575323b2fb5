"""Declared usage sources: the meters each may send, the contract of its `data`, and when it is late.

Not here: reading them from files (`workspace.usage_sources`), and checking landed rows (`usage.source_contracts`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

FIELD_TYPES = ("text", "number", "integer", "boolean")
# How often a source sends usage, and the age of its last event from which on it is late, unless it says so itself.
LATE_AFTER: Mapping[str, timedelta] = {
    "hourly": timedelta(hours=3),
    "daily": timedelta(days=2),
    "weekly": timedelta(days=9),
    "monthly": timedelta(days=35),
}


@dataclass(frozen=True)
class DataField:
    """A field of `data`.

    Attributes:
        type: One of FIELD_TYPES. `number`, `integer` and `boolean` may also be written as text, as CSV does.
        is_required: It has to be there, neither null nor empty.
        values: The allowed values, as text; empty: all.
    """

    name: str
    type: str = "text"
    is_required: bool = True
    values: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class DeclaredSource:
    """A source of usage events: those with its name as CloudEvents `source`.

    Attributes:
        meters: The keys of the meters whose events it may send.
        late_after: The age of its last event from which on it is late.
        owner: For Dagster's catalog: an e-mail address, or `team:NAME`. None: the owner of all assets.
        fields: The contract of `data`. Other fields are allowed.
    """

    name: str
    meters: tuple[str, ...]
    cadence: str = "daily"
    late_after: timedelta = LATE_AFTER["daily"]
    owner: str | None = None
    description: str = ""
    fields: tuple[DataField, ...] = ()


@dataclass(frozen=True)
class DeclaredSources:
    """All declared sources.

    Attributes:
        rejects_others: Events of other sources are rejected. Otherwise they land like any.
    """

    sources: Sequence[DeclaredSource] = ()
    rejects_others: bool = False

    @property
    def has_rules(self) -> bool:
        """True if landed rows have to be checked or counted by source."""
        return bool(self.sources) or self.rejects_others


NOTHING_DECLARED = DeclaredSources()


@dataclass(frozen=True)
class LateSource:
    """A source whose last event is older than it may be."""

    source: DeclaredSource
    last_event_at: datetime

    @property
    def sentence(self) -> str:
        return (
            f"{self.source.name}: no usage since {self.last_event_at:%Y-%m-%d %H:%M} UTC; it sends"
            f" {self.source.cadence}, and is late after {in_words(self.source.late_after)}"
        )


def late_sources(
    sources: Sequence[DeclaredSource], last_events: Mapping[str, datetime], now: datetime
) -> list[LateSource]:
    """List the sources that are late. One that never sent anything is new, not late.

    Args:
        last_events: The time of the last event by source, in UTC.
    """
    found = [LateSource(source, last_events[source.name]) for source in sources if source.name in last_events]
    return [late for late in found if now - late.last_event_at > late.source.late_after]


def in_words(age: timedelta) -> str:
    """Write a period of whole minutes: `2 days`, `90 minutes`."""
    minutes = int(age.total_seconds()) // 60
    for size, unit in ((1440, "day"), (60, "hour"), (1, "minute")):
        if minutes % size == 0:
            return f"{minutes // size} {unit}{'' if minutes == size else 's'}"
    raise AssertionError(minutes)
