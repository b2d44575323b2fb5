"""How a rollup's events come to its quantity, where they are not just added up: max, unique, latest, time-weighted.

One sum per rollup, for its own part of the month: the highest event less what was highest before, each value where it
first appeared, the last event, or each level times the seconds that it was held. Its total is the quantity that was
billed: a sum that comes to anything else says so in its `problems`. Keeps out: where events are read from
(`statements.billed_quantities`), prices, and what `sum` and `count` make of events: a list of them says it all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from fly_billing.invoicing.rules.inputs import UsageRollup
from fly_billing.money import EXACT, counted, exact_product, exact_sum, plain
from fly_billing.periods import BillingMonth, moment_text, span_text
from fly_billing.pricing.rules.aggregations import QUANTITY_DIGITS, Aggregation, Measurement, UsageOfMonth
from fly_billing.statements.rules.explanation import Line, Sum, whose

# By how much roundings at the end of two stretches may together differ from the exact quotient.
ROUNDED_BY = Fraction(1, 10**QUANTITY_DIGITS)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class LandedMeasurement(Measurement):
    """An event with the `place` where it landed: `2026-09-15/usage.jsonl:3`, its landing day, file and line.

    `quantity` is as the meter counts it, `measured` as it landed; None where the meter does not round.
    """

    place: str = ""
    measured: Decimal | None = None

    @property
    def is_rounded(self) -> bool:
        return self.measured not in (None, self.quantity)

    def as_data(self) -> dict[str, str]:
        """Return JSON-ready data; quantities are text. `measured` is there where it differs."""
        data = {**vars(self), "time": self.time.isoformat(), "quantity": plain(self.quantity)}
        measured = data.pop("measured")
        return data | {"measured": plain(measured)} if self.is_rounded else data


@dataclass(frozen=True, kw_only=True)
class EventLine(Line):
    """What an event adds to the quantity, or (negative) what an earlier part of the month has of it already."""

    event: LandedMeasurement

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data; numbers are text."""
        return {**super().as_data(), "event": self.event.as_data()}


@dataclass(frozen=True, kw_only=True)
class Stretch(Line):
    """A level that a series held in `[start, end)`; `product` is level x seconds / seconds of a unit of time.

    `event` told the level. It is from before the month where `is_carried`.
    """

    event: LandedMeasurement
    start: datetime
    end: datetime
    is_carried: bool

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data; numbers are text."""
        data = super().as_data()
        level, seconds, unit = data.pop("quantity"), data.pop("unit_amount"), data.pop("per")
        held = {"level": level, "seconds": seconds, "time_unit": unit, "is_carried": self.is_carried}
        when = {"series": self.event.value, "start": self.start.isoformat(), "end": self.end.isoformat()}
        return {**data, **when, **held, "event": self.event.as_data()}


@dataclass(frozen=True)
class DecidingEvents:
    """The events of a month that decide what rollups of one organization, meter and set of dimensions come to.

    `landed`, in order, are those that were the highest when they came (max), the first of each value (unique), the last
    one (latest), or all (time_weighted). `told_before`, one per series, told the levels with which the month begins.
    `elsewhere` are such events of the same meter under other dimensions: those that end levels here (time_weighted), or
    that count together with these (`usage.rules.counted_together`).
    """

    aggregation: Aggregation
    month: BillingMonth
    as_of: datetime
    landed: Sequence[LandedMeasurement]
    told_before: Sequence[LandedMeasurement] = ()
    elsewhere: Sequence[LandedMeasurement] = ()

    def between(self, start: datetime, end: datetime) -> Decimal:
        """Return what was held from `start` until just before `end`, rounded as it is billed."""
        carried = {one.value: one.quantity for one in self.told_before}
        usage = UsageOfMonth(self.aggregation, self.month, self.landed, self.as_of, carried, self.elsewhere)
        return EXACT.subtract(usage.until(end), usage.until(start))


def explain_quantity(rollup: UsageRollup, events: int, unit: str, deciding: DecidingEvents) -> Sum:
    """Explain the quantity of a rollup of so many events. Its meter's aggregation is none of sum and count."""
    lines: Iterable[Line]
    match deciding.aggregation.name:
        case "max":
            title, lines = "Highest", _highest(rollup, deciding.landed)
            if deciding.elsewhere:
                title, lines = "Highest of all that this price covers", _highest_of_all(rollup, deciding)
        case "unique":
            title = f"Different values of {deciding.aggregation.unique_of}"
            lines = _different(rollup, events, deciding.landed)
        case "latest":
            title, lines = "Latest", _latest(rollup, deciding.landed)
            if deciding.elsewhere and not deciding.landed:
                lines = [
                    EventLine(f"the month's last event is under other dimensions: {_named(one)}", Decimal(0), event=one)
                    for one in deciding.elsewhere
                ]
        case "time_weighted":
            title, lines = "Held over time", _held(rollup, deciding)
        case name:
            raise ValueError(f"the events of a meter that is added up by {name} need no such explanation")
    return Sum(f"{title}: {whose(rollup)}", unit, tuple(lines), rollup.quantity)


def _highest(rollup: UsageRollup, landed: Sequence[LandedMeasurement]) -> Iterator[Line]:
    def peak(moment: datetime) -> LandedMeasurement | None:
        before = [one for one in landed if one.time < moment]
        return max(before, key=lambda one: one.quantity, default=None)  # of equal ones the first: they are in order

    highest, billed = peak(rollup.segment_end), peak(rollup.segment_start)
    if highest:
        yield EventLine(f"the month's highest by then: {_named(highest)}", highest.quantity, event=highest)
    if billed:
        label = f"billed up to {moment_text(rollup.segment_start)}: {_named(billed)}"
        yield EventLine(label, EXACT.minus(billed.quantity), event=billed)


def _highest_of_all(rollup: UsageRollup, deciding: DecidingEvents) -> Iterator[Line]:
    """Yield each event here that was the highest when it came, and which one was it before, here or elsewhere."""
    ours = set(deciding.landed)
    before: LandedMeasurement | None = None
    is_any = False
    for one in sorted([*deciding.landed, *deciding.elsewhere], key=lambda event: event.order):
        if one in ours and rollup.segment_start <= one.time < rollup.segment_end:
            is_any = True
            yield EventLine(f"the highest when it came: {_named(one)}", one.quantity, event=one)
            if before:
                where = "" if before in ours else ", under other dimensions"
                yield EventLine(
                    f"the highest before: {_named(before)}{where}", EXACT.minus(before.quantity), event=before
                )
        before = one
    if not is_any:
        yield Line("no event here was the highest of all that this price covers", Decimal(0))


def _different(rollup: UsageRollup, events: int, landed: Sequence[LandedMeasurement]) -> Iterator[Line]:
    first = [one for one in landed if rollup.segment_start <= one.time < rollup.segment_end]
    for one in first:
        yield EventLine(f"{one.value}: first in {_named(one)}", Decimal(1), event=one)
    repeated = events - len(first)
    if repeated > 0:
        yield Line(f"{counted(str(repeated), 'more event')} with a value that is counted already", Decimal(0))


def _latest(rollup: UsageRollup, landed: Sequence[LandedMeasurement]) -> Iterator[Line]:
    for last in landed[-1:]:
        if last.time < rollup.segment_end:
            yield EventLine(f"the month's last event: {_named(last)}", last.quantity, event=last)
        else:
            yield EventLine(f"the month's last event comes later: {_named(last)}", Decimal(0), event=last)


def _named(event: LandedMeasurement) -> str:
    rounded = f" ({plain(event.measured)}, rounded)" if event.measured is not None and event.is_rounded else ""
    return f"{event.source} {event.id} on {moment_text(event.time)}{rounded}"


def _held(rollup: UsageRollup, deciding: DecidingEvents) -> list[Line]:
    """The stretches, and what rounding makes of them: what was counted since the month's start is rounded."""
    stretches = [*_stretches(rollup, deciding)]
    exact = sum((Fraction(one.product[0]) * Fraction(one.product[1]) for one in stretches if one.product), Fraction(0))
    rounded = deciding.between(rollup.segment_start, rollup.segment_end)
    rest = EXACT.subtract(rounded, exact_sum([one.amount for one in stretches]))
    if not rest or abs(Fraction(rounded) - exact / (deciding.aggregation.time_unit or 1)) > ROUNDED_BY:
        return [*stretches]
    return [*stretches, Line(f"rounded at the {QUANTITY_DIGITS}th decimal place, from the month's start on", rest)]


def _stretches(rollup: UsageRollup, deciding: DecidingEvents) -> Iterator[Stretch]:
    """Yield what each series held above 0 in the rollup's part of the month, series by series, in time order."""
    counted_until = max(deciding.month.start, min(deciding.month.end, deciding.as_of))
    start, end = rollup.segment_start, min(rollup.segment_end, counted_until)
    told: dict[str, list[tuple[datetime, LandedMeasurement]]] = defaultdict(list)
    for event in deciding.told_before:
        told[event.value].append((deciding.month.start, event))
    moved = [replace(event, quantity=Decimal(0)) for event in deciding.elsewhere]
    for event in sorted([*deciding.landed, *moved], key=lambda one: one.order):
        told[event.value].append((event.time, event))
    for _, levels in sorted(told.items()):
        untils = [moment for moment, _ in levels[1:]] + [counted_until]
        for (since, event), until in zip(levels, untils, strict=True):
            begins, ends = max(since, start), min(until, end)
            if event.quantity and begins < ends:
                yield _stretch(deciding, event, begins, ends)


def _stretch(deciding: DecidingEvents, event: LandedMeasurement, start: datetime, end: datetime) -> Stretch:
    seconds = Decimal((end - start) // _MICROSECOND).scaleb(-6, context=EXACT)
    product = (event.quantity, seconds, Decimal(deciding.aggregation.time_unit or 1))
    is_carried = event.time < deciding.month.start
    label = f"{deciding.aggregation.series} {event.value}, {span_text(start, end)}, told by {event.source} {event.id}"
    if is_carried:
        label += f" on {moment_text(event.time)} ({event.place})"
    return Stretch(label, exact_product(*product), product, event=event, start=start, end=end, is_carried=is_carried)
