"""The cadence of usage sources: how often each delivers files, and which ones stopped.

Not here: reading the days (`usage.sources`).

The cadence of a source is the gap in days between its landing days that nine of ten of its gaps do not exceed. So a
source that rests at weekends has a cadence of three days, and one outage does not change a daily source.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

# Fewer gaps between landing days show no cadence.
LEAST_GAPS = 2
# A source is silent after this many missed cadences, and counts as retired after so many.
MISSED = 2
RETIRED = 30


@dataclass(frozen=True)
class SourceDays:
    """The landing days on which a source delivered files, in ascending order.

    Attributes:
        source: The path of its files below the landing day's folder; a `#` stands for each number in it.
    """

    source: str
    days: Sequence[date]


@dataclass(frozen=True)
class SilentSource:
    """A source that missed two of its cadences.

    Attributes:
        last_day: The last landing day with a file of it.
        cadence: In days.
    """

    source: str
    last_day: date
    cadence: int

    @property
    def sentence(self) -> str:
        """When it last delivered, and how often it usually does."""
        often = "every day" if self.cadence == 1 else f"at least every {self.cadence} days"
        return f"no file since landing day {self.last_day}; it usually delivers {often}"


def cadence(days: Sequence[date]) -> int | None:
    """Return the cadence of these landing days in days, or None if they are too few."""
    gaps = sorted((later - earlier).days for earlier, later in pairwise(days))
    if len(gaps) < LEAST_GAPS:
        return None
    return gaps[-(-len(gaps) * 9 // 10) - 1]


def silent_sources(sources: Iterable[SourceDays], last_landed: date) -> list[SilentSource]:
    """List the sources that missed two cadences, in the order of `sources`.

    Args:
        sources: All sources.
        last_landed: The last landing day that landed after it ended. Later days say nothing about a source.
    """
    found = []
    for source in sources:
        every = cadence(source.days)
        if every and MISSED * every <= (last_landed - source.days[-1]).days < RETIRED * every:
            found.append(SilentSource(source.source, source.days[-1], every))
    return found
