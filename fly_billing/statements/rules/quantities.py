"""Explains the quantity of a rollup from its events, for the aggregations max, unique, latest and time_weighted.

One sum per rollup, for its own part of the month. Its lines are the highest event minus the highest one before (max),
the first event of each value (unique), the last event (latest), or each level times the seconds it lasted
(time_weighted). Its total is the billed quantity; `Sum.problems` has a sentence if the lines add up to another total.
Not here: reading the events (`statements.billed_quantities`), prices, and the aggregations `sum` and `count`, which a
list of events explains.
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
from fly_billing.money import EXACT, counted, divide, exact_product, exact_sum, plain
from fly_billing.periods import BillingMonth, moment_text, span_text
from fly_billing.pricing.rules.aggregations import QUANTITY_DIGITS, Aggregation, Measurement, UsageOfMonth
from fly_billing.statements.rules.item_sums import rollup_label
from fly_billing.statements.rules.sums import Line, Sum

# Rounding at the ends of two stretches may together differ from the exact quotient by this much.
ROUNDED_BY = Fraction(1, 10**QUANTITY_DIGITS)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class LandedMeasurement(Measurement):
    """An event as the meter counts it, and as it landed.

    Attributes:
        place: Landing day, file and line: `2026-09-15/usage.jsonl:3`.
        measured: The quantity as it landed, before the meter rounded it; None where the meter does not round.
    """

    place: str = ""
    measured: Decimal | None = None

    @property
    def is_rounded(self) -> bool:
        return self.measured not in (None, self.quantity)

    def as_data(self) -> dict[str, str]:
        """Return JSON-ready data; quantities are text. `measured` is included where it differs."""
        data = {**vars(self), "time": self.time.isoformat(), "quantity": plain(self.quantity)}
        measured = data.pop("measured")
        return data | {"measured": plain(measured)} if self.is_rounded else data


@dataclass(frozen=True, kw_only=True)
class EventLine(Line):
    """The quantity that an event adds, or (negative) the part that was already billed earlier in the month."""

    event: LandedMeasurement

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data; numbers are text."""
        return {**super().as_data(), "event": self.event.as_data()}


@dataclass(frozen=True, kw_only=True)
class Stretch(Line):
    """The level of a series in `[start, end)`; `product` is level x seconds / seconds per unit of time.

    Attributes:
        event: The event that reported the level.
        is_carried: The event is from before the month.
    """

    event: LandedMeasurement
    start: datetime
    end: datetime
    is_carried: bool

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data; numbers are text."""
        data = super().as_data()
        level, seconds, unit = data.pop("quantity"), data.pop("unit_amount"), data.pop("per")
        weighted = {"level": level, "seconds": seconds, "time_unit": unit, "is_carried": self.is_carried}
        when = {"series": self.event.value, "start": self.start.isoformat(), "end": self.end.isoformat()}
        return {**data, **when, **weighted, "event": self.event.as_data()}


@dataclass(frozen=True)
class DecidingEvents:
    """The events of a month that determine the quantities of one organization, meter and set of dimensions.

    Attributes:
        landed: In order: each new peak (max), the first event of each value (unique), the last event (latest), or all
            events (time_weighted).
        opening_levels: One event per series: it reported the level with which the month begins.
        elsewhere: Events of the same meter under other dimensions that matter here: they end levels (time_weighted), or
            are priced together with these (`usage.rules.aggregation_groups`).
    """

    aggregation: Aggregation
    month: BillingMonth
    as_of: datetime
    landed: Sequence[LandedMeasurement]
    opening_levels: Sequence[LandedMeasurement] = ()
    elsewhere: Sequence[LandedMeasurement] = ()

    def between(self, start: datetime, end: datetime) -> Decimal:
        """Return the quantity of `[start, end)`, rounded as it is billed."""
        carried = {event.value: event.quantity for event in self.opening_levels}
        usage = UsageOfMonth(self.aggregation, self.month, self.landed, self.as_of, carried, self.elsewhere)
        return EXACT.subtract(usage.until(end), usage.until(start))


def explain_quantity(rollup: UsageRollup, events: int, unit: str, deciding: DecidingEvents) -> Sum:
    """Explain the quantity of a rollup whose meter's aggregation is neither sum nor count.

    Args:
        events: The number of events in the rollup.
        unit: The meter's unit.
    """
    lines: Iterable[Line]
    match deciding.aggregation.name:
        case "max":
            title, lines = "Peak", _highest(rollup, deciding.landed)
            if deciding.elsewhere:
                title, lines = "Peak of everything that this price covers", _highest_of_all(rollup, deciding)
        case "unique":
            title = f"Unique values of {deciding.aggregation.unique_of}"
            lines = _unique_values(rollup, events, deciding.landed)
        case "latest":
            title, lines = "Latest value", _latest(rollup, deciding)
        case "time_weighted":
            title, lines = "Level over time", _levels(rollup, deciding)
        case name:
            raise ValueError(f"the aggregation {name} needs no explanation: its events are listed")
    return Sum(f"{title}: {rollup_label(rollup)}", unit, tuple(lines), rollup.quantity)


def _highest(rollup: UsageRollup, landed: Sequence[LandedMeasurement]) -> Iterator[Line]:
    def peak(moment: datetime) -> LandedMeasurement | None:
        before = [event for event in landed if event.time < moment]
        return max(before, key=lambda event: event.quantity, default=None)  # the first of equal ones: they are in order

    highest, billed = peak(rollup.segment_end), peak(rollup.segment_start)
    if highest:
        yield EventLine(f"the month's peak so far: {_named(highest)}", highest.quantity, event=highest)
    if billed:
        label = f"already billed up to {moment_text(rollup.segment_start)}: {_named(billed)}"
        yield EventLine(label, EXACT.minus(billed.quantity), event=billed)


def _highest_of_all(rollup: UsageRollup, deciding: DecidingEvents) -> list[Line]:
    """Return each event here that set a new peak, and the peak before it, here or under other dimensions."""
    ours = set(deciding.landed)
    before: LandedMeasurement | None = None
    lines: list[Line] = []
    for event in sorted([*deciding.landed, *deciding.elsewhere], key=lambda event: event.order):
        if event in ours and rollup.segment_start <= event.time < rollup.segment_end:
            lines.append(EventLine(f"new peak: {_named(event)}", event.quantity, event=event))
            if before:
                where = "" if before in ours else ", under other dimensions"
                label = f"previous peak: {_named(before)}{where}"
                lines.append(EventLine(label, EXACT.minus(before.quantity), event=before))
        before = event
    return lines or [Line("no event under these dimensions set a new peak", Decimal(0))]


def _unique_values(rollup: UsageRollup, events: int, landed: Sequence[LandedMeasurement]) -> Iterator[Line]:
    first = [event for event in landed if rollup.segment_start <= event.time < rollup.segment_end]
    for event in first:
        yield EventLine(f"{event.value}: first in {_named(event)}", Decimal(1), event=event)
    repeated = events - len(first)
    if repeated > 0:
        yield Line(f"{counted(repeated, 'more event')} with a value that was already counted", Decimal(0))


def _latest(rollup: UsageRollup, deciding: DecidingEvents) -> Iterator[Line]:
    for last in deciding.landed[-1:]:
        if last.time < rollup.segment_end:
            yield EventLine(f"the month's last event: {_named(last)}", last.quantity, event=last)
        else:
            yield EventLine(f"the month's last event is later: {_named(last)}", Decimal(0), event=last)
    for last in deciding.elsewhere:
        yield EventLine(f"the month's last event is under other dimensions: {_named(last)}", Decimal(0), event=last)


def _named(event: LandedMeasurement) -> str:
    rounded = f" ({plain(event.measured)}, rounded)" if event.measured is not None and event.is_rounded else ""
    return f"{event.source} {event.id} on {moment_text(event.time)}{rounded}"


def _levels(rollup: UsageRollup, deciding: DecidingEvents) -> list[Line]:
    """Return the stretches, and a line for the rounding, as the quantity since the month's start is rounded."""
    stretches = [*_stretches(rollup, deciding)]
    exact = sum(stretch.exact for stretch in stretches)
    rounded = deciding.between(rollup.segment_start, rollup.segment_end)
    rest = EXACT.subtract(rounded, exact_sum([stretch.amount for stretch in stretches]))
    if not rest or abs(Fraction(rounded) - exact) > ROUNDED_BY:
        return [*stretches]
    return [*stretches, Line(f"rounded to {QUANTITY_DIGITS} decimal places from the month's start", rest)]


def _stretches(rollup: UsageRollup, deciding: DecidingEvents) -> Iterator[Stretch]:
    """Yield the levels above 0 in the rollup's part of the month, series by series, in order of time."""
    counted_until = max(deciding.month.start, min(deciding.month.end, deciding.as_of))
    start, end = rollup.segment_start, min(rollup.segment_end, counted_until)
    reported: dict[str, list[tuple[datetime, LandedMeasurement]]] = defaultdict(list)
    for event in deciding.opening_levels:
        reported[event.value].append((deciding.month.start, event))
    moved = [replace(event, quantity=Decimal(0)) for event in deciding.elsewhere]
    for event in sorted([*deciding.landed, *moved], key=lambda event: event.order):
        reported[event.value].append((event.time, event))
    for _, levels in sorted(reported.items()):
        untils = [moment for moment, _ in levels[1:]] + [counted_until]
        for (since, event), until in zip(levels, untils, strict=True):
            begins, ends = max(since, start), min(until, end)
            if event.quantity and begins < ends:
                yield _stretch(deciding, event, begins, ends)


def _stretch(deciding: DecidingEvents, event: LandedMeasurement, start: datetime, end: datetime) -> Stretch:
    seconds = divide(Decimal((end - start) // _MICROSECOND), Decimal(1_000_000))
    product = (event.quantity, seconds, Decimal(deciding.aggregation.time_unit or 1))
    is_carried = event.time < deciding.month.start
    label = (
        f"{deciding.aggregation.series} {event.value}, {span_text(start, end)}, reported by {event.source} {event.id}"
    )
    if is_carried:
        label += f" on {moment_text(event.time)} ({event.place})"
    return Stretch(label, exact_product(*product), product, event=event, start=start, end=end, is_carried=is_carried)
