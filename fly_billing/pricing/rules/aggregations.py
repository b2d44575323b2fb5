"""Aggregates the events of a meter into the quantity of a month. Not here: prices, and reading events.

A month's accepted events of one organization, one meter and one set of dimensions are aggregated together. For `max`,
`unique` and `latest`, all dimensions that one price covers are aggregated together (`usage.rules.aggregation_groups`),
and each set of dimensions gets the amount that its own events added.

- `sum`: the sum of the quantities.
- `count`: the number of events.
- `max`: the highest quantity; 0 without an event.
- `unique`: the number of different values of the property `unique_of` in the events' data.
- `latest`: the quantity of the last event. Of simultaneous events, the one with the greatest (source, id) is the last.
- `time_weighted`: each event sets a level, its `quantity`, from its time on: the GB of a volume, 1 and 0 for a Machine
  that starts and stops. For each value of the property `series` (a volume, a Machine), the level is multiplied by the
  seconds that it lasted; the sum is divided by `time_unit` (3600: GB-hours; 1: seconds). Of simultaneous events, the
  one with the greatest (source, id) sets the level. A series has one set of dimensions at a time: an event under others
  (a volume that moves from ssd to nvme, a Machine that is resized) ends the old level. Time is POSIX time: every day
  has 86,400 seconds.

A level lasts until the next event, past the ends of months and price changes: a Machine started in March and stopped in
May ran all of April. All other aggregations start again each month: without an event there is nothing to bill. A level
counts up to the end of the month or, in the current month, up to `as_of`: an open invoice does not bill the future.

Every segment of a month (between two price changes; a day) gets the amount by which it raised the month's quantity. So
the segments add up to the month wherever it is split, and a price change never changes the quantity. A peak counts when
it is reached, a value when it is first seen, a level while it lasts, and the latest quantity as a whole at its time.

A meter may round the quantity of each event before aggregation (`round_each_event`): two calls of 61 seconds in steps
of 6 are 132. This is for `sum`, `max` and `latest`; the others count no quantities, or levels over time.

Quantities are exact, with one exception: a division by `time_unit` may have no finite result. Then the quantity since
the start of the month is rounded half-up at the 15th decimal, at the end of every segment. So the segments add up to a
month that was rounded once.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from fly_billing.money import EXACT, exact_sum
from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.fields import did_you_mean
from fly_billing.pricing.rules.transformed_quantity import EventRounding

AGGREGATIONS = ("sum", "count", "max", "unique", "latest", "time_weighted")
# The aggregations that read the quantity of each event by itself.
ROUNDED = ("sum", "max", "latest")
QUANTITY_DIGITS = 15
DAY = timedelta(days=1)
# The names of properties that are safe in `$."..."`, the path to a property of an event's data.
PROPERTY = re.compile(r"[\w./-]+", re.ASCII)


@dataclass(frozen=True)
class Aggregation:
    """An aggregation with its settings.

    Attributes:
        unique_of: A property of an event's data, for `unique`.
        series: A property of an event's data, for `time_weighted`.
        time_unit: In whole seconds, for `time_weighted`.
        round_each_event: Rounds each event's quantity before aggregation.

    Raises:
        ValueError: A setting is missing, invalid, or for another aggregation.
    """

    name: str = "sum"
    unique_of: str | None = None
    series: str | None = None
    time_unit: int | None = None
    round_each_event: EventRounding | None = None

    def __post_init__(self) -> None:
        if self.name is None:  # `aggregation:` without a value
            raise ValueError(f"aggregation is missing; known are {', '.join(AGGREGATIONS)}")
        if self.name not in AGGREGATIONS:
            meant = did_you_mean(self.name, AGGREGATIONS)
            raise ValueError(f"aggregation {self.name!r} is none of {', '.join(AGGREGATIONS)}{meant}")
        self._belongs("unique_of", self.unique_of, "unique")
        self._belongs("series", self.series, "time_weighted")
        self._belongs("time_unit", self.time_unit, "time_weighted")
        for name in (self.unique_of, self.series):
            if name is not None and not (isinstance(name, str) and PROPERTY.fullmatch(name)):
                raise ValueError(
                    f"{name!r} is not the name of a property of an event's data: use letters, digits and . _ / -"
                )
        if self.round_each_event is not None and self.name not in ROUNDED:
            raise ValueError(f"round_each_event is for the aggregations {', '.join(ROUNDED)}, not for {self.name}")
        unit = self.time_unit
        if unit is not None and (isinstance(unit, bool) or not isinstance(unit, int) or unit < 1):
            raise ValueError(f"time_unit {unit!r} is not a whole number of seconds above 0: write 3600 for hours")

    def counted(self, quantity: Decimal) -> Decimal:
        """Return the quantity that an event with this quantity counts."""
        return self.round_each_event.apply(quantity) if self.round_each_event else quantity

    def _belongs(self, setting: str, value: object, name: str) -> None:
        if (value is not None) != (self.name == name):
            raise ValueError(
                f"aggregation {name} needs {setting}"
                if self.name == name
                else f"{setting} is for the aggregation {name}, not for {self.name}"
            )


SUM = Aggregation()


@dataclass(frozen=True)
class Measurement:
    """One event: its quantity, and the value of the property that the aggregation reads."""

    time: datetime
    source: str
    id: str
    quantity: Decimal
    value: str = ""

    @property
    def order(self) -> tuple[datetime, str, str]:
        return self.time, self.source, self.id


def ended(event: Measurement) -> Measurement:
    """Return the effect of an event under other dimensions on its series here: the level is 0 from then on."""
    return replace(event, quantity=Decimal(0))


@dataclass(frozen=True)
class SegmentUsage:
    """The usage of a segment of the month, `[start, end)`. `daily` has the quantity that each day added."""

    start: datetime
    end: datetime
    quantity: Decimal
    events: int
    daily: tuple[Decimal, ...]


@dataclass(frozen=True)
class UsageOfMonth:
    """Events that are aggregated together.

    Attributes:
        as_of: The time up to which levels count.
        carried: By series: the level when the month begins.
        elsewhere: The events of the same meter under other dimensions. They end the levels of their series here.
    """

    aggregation: Aggregation
    month: BillingMonth
    events: Sequence[Measurement]
    as_of: datetime
    carried: Mapping[str, Decimal] = field(default_factory=dict)
    elsewhere: Sequence[Measurement] = ()

    def segments(self, cuts: Sequence[datetime] = ()) -> list[SegmentUsage]:
        """Split the month at these times (in time order) into segments. Segments without usage are left out.

        This is slow and written to be read: tests compare the SQL statements for all organizations with it.
        """
        edges = [self.month.start, *cuts, self.month.end]
        segments = [self._segment(start, end) for start, end in pairwise(edges)]
        return [segment for segment in segments if segment.events or segment.quantity]

    def _segment(self, start: datetime, end: datetime) -> SegmentUsage:
        days = [self.month.start + n * DAY for n in range(self.month.seconds // 86_400)]
        daily = tuple(self._added(max(start, day), min(end, day + DAY)) for day in days)
        events = sum(start <= event.time < end for event in self.events)
        return SegmentUsage(start, end, exact_sum(daily), events, daily)

    def _added(self, start: datetime, end: datetime) -> Decimal:
        return EXACT.subtract(self.until(end), self.until(start)) if start < end else Decimal(0)

    def until(self, moment: datetime) -> Decimal:
        """Return the quantity from the start of the month to `moment`, exclusive."""
        before = [event for event in self.events if event.time < moment]
        match self.aggregation.name:
            case "sum":
                return exact_sum([self.aggregation.counted(event.quantity) for event in before])
            case "count":
                return Decimal(len(before))
            case "max":
                return max((self.aggregation.counted(event.quantity) for event in before), default=Decimal(0))
            case "unique":
                return Decimal(len({event.value for event in before}))
            case "latest":
                last = max(self.events, key=lambda event: event.order, default=None)
                return self.aggregation.counted(last.quantity) if last and last.time < moment else Decimal(0)
            case _:
                return self._level_time(max(self.month.start, min(moment, self.as_of)))

    def _level_time(self, moment: datetime) -> Decimal:
        levels_of: dict[str, list[tuple[datetime, Decimal]]] = defaultdict(list)
        for series, level in self.carried.items():
            levels_of[series].append((self.month.start, level))
        for event in sorted([*self.events, *map(ended, self.elsewhere)], key=lambda event: event.order):
            levels_of[event.value].append((min(event.time, moment), event.quantity))
        level_seconds = sum(
            (
                Fraction(level) * Fraction((until - since) // timedelta(microseconds=1), 1_000_000)
                for levels in levels_of.values()
                for (since, level), (until, _) in pairwise([*levels, (moment, Decimal(0))])
            ),
            Fraction(0),
        )
        rounded = level_seconds / (self.aggregation.time_unit or 1) * 10**QUANTITY_DIGITS + Fraction(1, 2)
        return Decimal(rounded.__floor__()).scaleb(-QUANTITY_DIGITS, context=EXACT)
