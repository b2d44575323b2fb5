"""How the events of a meter add up to the quantity of a month. Keeps out: prices, and where events come from.

What adds up together are a month's accepted events of one organization, one meter and one set of dimensions. For `max`,
`unique` and `latest` it is all dimensions that one price covers (`usage.rules.counted_together`); each set of them has
what its own events raised:

- `sum`: of their quantities.
- `count`: of the events, whatever their quantities.
- `max`: the highest quantity; 0 without an event.
- `unique`: how many different values the property `unique_of` of the events' data has.
- `latest`: the quantity of the last event. Of events at one time the greatest (source, id) is the last.
- `time_weighted`: events tell a level, `quantity`, that holds from their time on: the GB of a volume, 1 and 0 for a
  Machine that starts and stops. Per value of the property `series` (which volume, which Machine) the level times the
  seconds it held is added up and divided by `time_unit` (3600: GB-hours; 1: seconds). Of events at one time the
  greatest (source, id) holds. A series is in one place: an event under other dimensions (a volume that moves from ssd
  to nvme, a Machine that is resized) ends the level where it was. Months are POSIX time: a day has 86,400 seconds,
  whatever the Earth does.

A level is held until another is told, over the ends of months and price changes: a Machine that was started in March
and stopped in May ran all of April. All others begin anew with each month: without an event there is nothing to bill.
A level is counted up to the month's end, or to `as_of` while the month is not over: an open invoice does not bill the
future.

Every stretch of a month (between two price changes; a day) has the part by which it raised the month's quantity. So the
parts add up to the whole, wherever a month is cut, and a price that changes for others changes no quantity: a peak is
counted when it is reached, a value when it is first seen, a level while it holds, and the latest quantity, all of it,
at its own time.

A meter may round the quantity of each event before events are added up (`round_each_event`): two calls of 61 seconds in
steps of 6 are 132. That is for `sum`, `max` and `latest`; the others count no quantities, or levels that hold.

Quantities are exact, but where the division by `time_unit` does not end: then what was counted since the month's start
is rounded half-up at the 15th decimal place, at the end of every stretch. So the parts add up to a month that was
rounded once.
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
from fly_billing.pricing.rules.transformed_quantity import EventRounding

AGGREGATIONS = ("sum", "count", "max", "unique", "latest", "time_weighted")
# Those that read the quantity of each event by itself.
ROUNDED = ("sum", "max", "latest")
QUANTITY_DIGITS = 15
DAY = timedelta(days=1)
# What may stand in `$."..."`, the path to a property of an event's data.
PROPERTY = re.compile(r"[\w./-]+", re.ASCII)


@dataclass(frozen=True)
class Aggregation:
    """One of the six with its settings; raises ValueError where they do not fit it.

    `unique_of` and `series` name a property of an event's data, `time_unit` is in whole seconds. `round_each_event`
    comes before events are added up.
    """

    name: str = "sum"
    unique_of: str | None = None
    series: str | None = None
    time_unit: int | None = None
    round_each_event: EventRounding | None = None

    def __post_init__(self) -> None:
        if self.name not in AGGREGATIONS:
            raise ValueError(f"aggregation {self.name!r} is none of {', '.join(AGGREGATIONS)}")
        self._belongs("unique_of", self.unique_of, "unique")
        self._belongs("series", self.series, "time_weighted")
        self._belongs("time_unit", self.time_unit, "time_weighted")
        for name in (self.unique_of, self.series):
            if name is not None and not (isinstance(name, str) and PROPERTY.fullmatch(name)):
                raise ValueError(f"{name!r} names no property of an event's data: use letters, digits and . _ / -")
        if self.round_each_event is not None and self.name not in ROUNDED:
            raise ValueError(f"round_each_event is for the aggregations {', '.join(ROUNDED)}, not for {self.name}")
        unit = self.time_unit
        if unit is not None and (isinstance(unit, bool) or not isinstance(unit, int) or unit < 1):
            raise ValueError(f"time_unit {unit!r} is no whole number of seconds above 0: write 3600 for hours")

    def counted(self, quantity: Decimal) -> Decimal:
        """Return as how much an event of this quantity counts."""
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
    """One event: its quantity, and the value of the property that the aggregation names."""

    time: datetime
    source: str
    id: str
    quantity: Decimal
    value: str = ""

    @property
    def order(self) -> tuple[datetime, str, str]:
        return self.time, self.source, self.id


def ended(event: Measurement) -> Measurement:
    """Return what an event under other dimensions tells of its series here: nothing is held from its time on."""
    return replace(event, quantity=Decimal(0))


@dataclass(frozen=True)
class SegmentUsage:
    """What a segment of the month, `[start, end)`, has: a quantity, events, and what each day of the month added."""

    start: datetime
    end: datetime
    quantity: Decimal
    events: int
    daily: tuple[Decimal, ...]


@dataclass(frozen=True)
class UsageOfMonth:
    """The events that add up together; `carried` are the levels of each series when the month begins.

    `elsewhere` are the events of the same meter under other dimensions, which end a level of their series here.
    """

    aggregation: Aggregation
    month: BillingMonth
    events: Sequence[Measurement]
    as_of: datetime
    carried: Mapping[str, Decimal] = field(default_factory=dict)
    elsewhere: Sequence[Measurement] = ()

    def segments(self, cuts: Sequence[datetime] = ()) -> list[SegmentUsage]:
        """Split the month at these moments, in time order; segments in which nothing was used are left out.

        Slow, and meant to be read: what the SQL statements do for all organizations at once is held against it.
        """
        edges = [self.month.start, *cuts, self.month.end]
        segments = [self._segment(start, end) for start, end in pairwise(edges)]
        return [one for one in segments if one.events or one.quantity]

    def _segment(self, start: datetime, end: datetime) -> SegmentUsage:
        days = [self.month.start + n * DAY for n in range(self.month.seconds // 86_400)]
        daily = tuple(self._added(max(start, day), min(end, day + DAY)) for day in days)
        events = sum(start <= event.time < end for event in self.events)
        return SegmentUsage(start, end, exact_sum(daily), events, daily)

    def _added(self, start: datetime, end: datetime) -> Decimal:
        return EXACT.subtract(self.until(end), self.until(start)) if start < end else Decimal(0)

    def until(self, moment: datetime) -> Decimal:
        """Return the month's quantity as far as it had come just before `moment`."""
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
        told: dict[str, list[tuple[datetime, Decimal]]] = defaultdict(list)
        for series, level in self.carried.items():
            told[series].append((self.month.start, level))
        for event in sorted([*self.events, *map(ended, self.elsewhere)], key=lambda one: one.order):
            told[event.value].append((min(event.time, moment), event.quantity))
        held = sum(
            (
                Fraction(level) * Fraction((until - since) // timedelta(microseconds=1), 1_000_000)
                for levels in told.values()
                for (since, level), (until, _) in pairwise([*levels, (moment, Decimal(0))])
            ),
            Fraction(0),
        )
        rounded = held / (self.aggregation.time_unit or 1) * 10**QUANTITY_DIGITS + Fraction(1, 2)
        return Decimal(rounded.__floor__()).scaleb(-QUANTITY_DIGITS, context=EXACT)
