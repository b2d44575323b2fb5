"""Forecasts the usage of the rest of a month from the days that are complete, per meter and set of dimensions.

Meters whose days add up (`sum`, `count`, `time_weighted`):
  - The likely rest continues the daily average of this month and the one before. A day counts half as much as one that
    is a week later. Weekdays and weekends are averaged apart once there are two weeks of days. Usage that is new counts
    from its first day, but from a week ago at the latest, so that one unusual day is not taken for every day.
  - The range is 80 %: it spans the average above, that of this month and that of the last seven days, and adds the
    variation from day to day. All meters are low together or high together, so the range of the sum is rather too wide.
  - A meter that is used on fewer than one day a week, such as addresses that are counted on the 1st, is expected on the
    days on which it was used last month.
Other meters do not add up: a peak (`max`) and the number of different values (`unique`) grow as they did last month
from the same day on; the last value (`latest`) stays.

Not here: prices and amounts (`statements.rules.estimate`), and reading (`statements.month_end`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Context, Decimal, localcontext
from functools import cached_property
from operator import mul

from fly_billing.periods import BillingMonth

ADDITIVE = frozenset({"sum", "count", "time_weighted"})
# Fewer days say nothing about the variation from day to day.
FEWEST_DAYS = 3
WEEK = 7
# Of a normal distribution, 80 % are within this many standard deviations.
_DEVIATIONS = Decimal("1.28")
_HALF = Decimal("0.5")
# A forecast is not exact, but its rounding must not be seen in the largest quantity.
_ROUNDED = Context(prec=60)
_SMALLEST = Decimal("1e-15")
# By age in days. The days of two months are at most 61 days old.
_WEIGHTS = tuple(Context(prec=9).power(_HALF, Decimal(age) / WEEK) for age in range(62))


@dataclass(frozen=True)
class UsageSeries:
    """The daily quantities of one organization, meter and set of dimensions.

    Attributes:
        now: The quantity of each day of the month, from the 1st on. A day that is not complete has what arrived so far.
        before: The same of the month before; empty: there was no usage.
    """

    organization_id: str
    meter: str
    dimensions: Mapping[str, str]
    now: Sequence[Decimal] = ()
    before: Sequence[Decimal] = ()


@dataclass(frozen=True)
class KnownDays:
    """The days whose usage is known.

    Attributes:
        month: The month that is estimated.
        complete: The number of its days, from the 1st on, whose usage is complete.
        before: The number of days of the month before that are known: all or none.
    """

    month: BillingMonth
    complete: int
    before: int = 0

    @property
    def count(self) -> int:
        return self.before + self.complete

    @property
    def rest(self) -> int:
        return self.month.days - self.complete

    @property
    def has_weekly_pattern(self) -> bool:
        return self.count >= 2 * WEEK

    def history(self, series: UsageSeries) -> list[Decimal]:
        """Return the quantities of the known days, the oldest first."""
        before = [*series.before] if series.before else [Decimal(0)] * self.before
        now = [*series.now[: self.complete]] if series.now else [Decimal(0)] * self.complete
        return [*before[: self.before], *now]

    @cached_property
    def weights(self) -> Sequence[Decimal]:
        """The weight of each known day in an average."""
        return _WEIGHTS[: self.count][::-1]

    @cached_property
    def weekends(self) -> Sequence[bool]:
        """Whether each known day, and then each other day of the month, is a Saturday or Sunday."""
        first = self.month.first_day - timedelta(days=self.before)
        return [(first + timedelta(days=n)).weekday() >= 5 for n in range(self.before + self.month.days)]


@dataclass(frozen=True)
class Range:
    """A low, a likely and a high value."""

    low: Decimal
    likely: Decimal
    high: Decimal

    def at_least(self, least: Decimal) -> Range:
        return Range(max(least, self.low), max(least, self.likely), max(least, self.high))


@dataclass(frozen=True)
class ForecastUsage:
    """The usage of a series on the days that are not complete, less what already arrived of it: at least 0."""

    series: UsageSeries
    more: Range


def days_of_use(series: Iterable[UsageSeries], days: KnownDays) -> int:
    """Return the number of known days since the first use."""
    first_used = (next((n for n, quantity in enumerate(days.history(each)) if quantity), days.count) for each in series)
    return days.count - min(first_used, default=days.count)


def forecast_rest(
    series: Iterable[UsageSeries], days: KnownDays, aggregations: Mapping[str, str]
) -> Iterator[ForecastUsage]:
    """Forecast the rest of the month.

    Args:
        aggregations: By meter. Unknown meters are taken as `sum`.
    """
    by_meter: dict[tuple[str, str], list[UsageSeries]] = defaultdict(list)
    for each in series:
        by_meter[each.organization_id, each.meter].append(each)
    for (_, meter), together in by_meter.items():
        aggregation = aggregations.get(meter, "sum")
        forecast = _rest_by_day if aggregation in ADDITIVE else _GROWTH[aggregation]
        with localcontext(_ROUNDED):
            for each, more in zip(together, forecast(together, days), strict=True):
                yield ForecastUsage(each, more)


def _rest_by_day(together: Sequence[UsageSeries], days: KnownDays) -> list[Range]:
    histories = [days.history(each) for each in together]
    totals = [sum(day, Decimal(0)) for day in zip(*histories, strict=True)]
    if _is_occasional(totals):
        return [_more(_as_last_month(each, days), each, days) for each in together]
    pattern = _pattern(totals, days)
    likely = [_average(quantities, days, pattern, _first_counted(quantities)) for quantities in histories]
    spread = _spread(totals, days, pattern, sum(likely, Decimal(0)))
    rest = sum(pattern[days.count :], Decimal(0))
    return [
        _more(Range(*(average * rest * factor for factor in spread)), each, days)
        for each, average in zip(together, likely, strict=True)
    ]


def _is_occasional(totals: Sequence[Decimal]) -> bool:
    """Return True if a meter was used on at most one day a week since its first use, three days ago or earlier."""
    used = [n for n, quantity in enumerate(totals) if quantity]
    since = len(totals) - used[0] if used else 0
    return since >= FEWEST_DAYS and len(used) <= max(1, since // WEEK)


def _as_last_month(series: UsageSeries, days: KnownDays) -> Range:
    """Expect the usage of the same days of last month; without one, none, and at most that of the largest day again."""
    if days.before:
        rest = sum(series.before[days.complete :], Decimal(0))
        return Range(Decimal(0), rest, rest)
    return Range(Decimal(0), Decimal(0), max(days.history(series)))


def _more(rest: Range, series: UsageSeries, days: KnownDays) -> Range:
    """Take off what already arrived for the days that are not complete."""
    arrived = sum(series.now[days.complete :], Decimal(0))
    left = [(value - arrived).quantize(_SMALLEST) for value in (rest.low, rest.likely, rest.high)]
    return Range(*left).at_least(Decimal(0))


def _pattern(totals: Sequence[Decimal], days: KnownDays) -> Sequence[Decimal]:
    """Return each day's usage as a multiple of the average day's: known days, then the others."""
    factors = {False: Decimal(1), True: Decimal(1)}
    recent = min(days.count, 4 * WEEK) if days.has_weekly_pattern else 0
    total = sum(totals[len(totals) - recent :], Decimal(0))
    if recent and total > 0:
        kinds = days.weekends[days.count - recent : days.count]
        for kind in factors:
            chosen = [quantity for quantity, weekend in zip(totals[-recent:], kinds, strict=True) if weekend == kind]
            factors[kind] = max(Decimal(0), sum(chosen, Decimal(0)) / len(chosen) / (total / recent))
    return [factors[kind] for kind in days.weekends]


def _first_counted(quantities: Sequence[Decimal]) -> int:
    """Return the first day of use, or the day a week before the last if that is earlier."""
    first_used = next((n for n, quantity in enumerate(quantities) if quantity), 0)
    return max(0, min(first_used, len(quantities) - WEEK))


def _average(quantities: Sequence[Decimal], days: KnownDays, pattern: Sequence[Decimal], start: int) -> Decimal:
    """Return the average day's quantity from day `start` on, more recent days weighing more."""
    weights = days.weights[start:]
    expected = sum(map(mul, weights, pattern[start : days.count]), Decimal(0))
    return sum(map(mul, weights, quantities[start:]), Decimal(0)) / expected if expected else Decimal(0)


def _spread(
    totals: Sequence[Decimal], days: KnownDays, pattern: Sequence[Decimal], likely: Decimal
) -> tuple[Decimal, Decimal, Decimal]:
    """Return the low, the likely and the high rest as multiples of the likely one.

    Args:
        totals: The meter's quantity on each known day.
        likely: The average day's quantity.
    """
    one = Decimal(1)
    rest = sum(pattern[days.count :], Decimal(0))
    if likely <= 0 or not rest:
        return one, one, one
    used = next((n for n, quantity in enumerate(totals) if quantity), 0)
    starts = {used, max(used, days.before), max(used, days.count - WEEK)}
    averages = [_plain_average(totals, days, pattern, start) for start in starts if start < days.count]
    noise = _noise(totals[used:], pattern[used : days.count], days.rest, likely)
    low = min([likely, *averages]) * rest - noise
    high = max([likely, *averages]) * rest + noise
    return max(Decimal(0), low) / (likely * rest), one, high / (likely * rest)


def _plain_average(totals: Sequence[Decimal], days: KnownDays, pattern: Sequence[Decimal], start: int) -> Decimal:
    expected = sum(pattern[start : days.count], Decimal(0))
    return sum(totals[start:], Decimal(0)) / expected if expected else Decimal(0)


def _noise(totals: Sequence[Decimal], pattern: Sequence[Decimal], rest: int, average: Decimal) -> Decimal:
    """Return half the width of the range of the sum of `rest` days around `average`, from the last four weeks' days.

    The sum of n days varies by the square root of n; the average, from k days, adds n^2 / k.
    """
    recent = min(len(totals), 4 * WEEK)
    if recent < 2:
        return Decimal(0)
    differences = [
        quantity - average * expected for quantity, expected in zip(totals[-recent:], pattern[-recent:], strict=True)
    ]
    variance = sum(map(mul, differences, differences), Decimal(0)) / (recent - 1)
    return _DEVIATIONS * (variance * (rest + Decimal(rest * rest) / recent)).sqrt()


def _growth_of_peaks(together: Sequence[UsageSeries], days: KnownDays) -> list[Range]:
    """Let peaks, or numbers of different values, grow as last month from the same day on."""
    now = sum((sum(each.now, Decimal(0)) for each in together), Decimal(0))
    then = sum((sum(each.before[: days.complete], Decimal(0)) for each in together), Decimal(0))
    whole = sum((sum(each.before, Decimal(0)) for each in together), Decimal(0))
    likely = now * whole / then if now and then else max(now, whole if not days.complete else now)
    return _shared(together, now, Range(now, likely, max(likely, whole)))


def _growth_of_last_values(together: Sequence[UsageSeries], days: KnownDays) -> list[Range]:
    """Keep the last value; before the month's first one, that of last month is likely."""
    now = sum((sum(each.now, Decimal(0)) for each in together), Decimal(0))
    whole = sum((sum(each.before, Decimal(0)) for each in together), Decimal(0))
    return _shared(together, now, Range(now, now or whole, max(now, whole)))


_GROWTH = {"max": _growth_of_peaks, "unique": _growth_of_peaks, "latest": _growth_of_last_values}


def _shared(together: Sequence[UsageSeries], now: Decimal, end: Range) -> list[Range]:
    """Distribute the growth from `now` to `end` in proportion to the usage of each series, this month or the last."""
    weights = [sum(each.now if now else each.before, Decimal(0)) for each in together]
    whole = sum(weights, Decimal(0))
    if whole <= 0:
        return [Range(*[Decimal(0)] * 3)] * len(together)
    return [
        Range(
            *(((value - now) * weight / whole).quantize(_SMALLEST) for value in (end.low, end.likely, end.high))
        ).at_least(Decimal(0))
        for weight in weights
    ]
