"""An invoice's spend by product, app, region, organization and day, and its comparison with the month before.

Every list adds up to the invoice's total, to the cent. An item's exact amount is split over its usage in proportion to
quantity; the cents are then distributed over the rows by largest remainder (`money.share_out_cents`). Tiered prices are
split in proportion too: no unit of a month is the cheaper one. Items that apply to the whole invoice (discounts,
minimums, maximums, credits, taxes, rounding) have no app and no day: their cents are a row of their own.

Not here: reading items and usage (`statements.statement_reader`), and the layout.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import cached_property
from itertools import repeat

from fly_billing.money import DIVISION_DIGITS, EXACT, divide, exact_sum, share_out_cents
from fly_billing.periods import BillingMonth

_ZERO, _ONE, _TWO = Decimal(0), Decimal(1), Decimal(2)
# Decimals of the amount of a unit of weight.
_RATE_DIGITS = 50
_LAST_DIGIT, _ROUNDING = Decimal(1).scaleb(-DIVISION_DIGITS), Context(prec=EXACT.prec, rounding=ROUND_HALF_UP)

# Kinds of items that apply to the whole invoice, not to anything that was used or bought.
WHOLE_INVOICE_KINDS = ("discount", "minimum", "maximum", "credit", "tax", "rounding")


@dataclass(frozen=True)
class UsagePart:
    """The part of an item's usage that has these dimensions."""

    dimensions: Mapping[str, str | None]
    quantity: Decimal


@dataclass(frozen=True)
class SpendItem:
    """An invoice item with the usage that its amount is split by.

    Attributes:
        amount: The exact amount.
        daily: The usage by UTC day; under None the usage of rollups that have no days.
        period: The half-open time that a fee covers; None where it was not recorded.
        occurred_at: The time of a one-off item.
        is_by_unit: Every unit of its usage costs the same.
    """

    kind: str
    product: str
    organization_id: str
    amount: Decimal
    amount_cents: int
    usage: Sequence[UsagePart] = ()
    daily: Mapping[date | None, Decimal] = field(default_factory=dict)
    period: tuple[datetime, datetime] | None = None
    occurred_at: datetime | None = None
    is_by_unit: bool = True

    @property
    def is_of_the_whole_invoice(self) -> bool:
        return self.kind in WHOLE_INVOICE_KINDS

    @cached_property
    def units_by_usage(self) -> Sequence[Decimal] | None:
        """The amount of each part of the usage, in units of 10^-20; None without usage. The same in every breakdown."""
        if len(self.usage) == 1:
            return [_to_units(self.amount)] if self.usage[0].quantity else None
        quantities = [part.quantity for part in self.usage]
        return _split_units(self.amount, quantities) if exact_sum(quantities) else None


@dataclass(frozen=True)
class SpendShare:
    """One row of a breakdown.

    Attributes:
        label: The product, app, region or organization; None for spend without one, such as most fees.
    """

    label: str | None
    amount_cents: int
    is_of_the_whole_invoice: bool = False


@dataclass(frozen=True)
class DaySpend:
    """The spend of one UTC day."""

    day: date
    amount_cents: int


@dataclass(frozen=True)
class DailySpend:
    """The spend of a month by day. The three parts add up to the invoice's total.

    Attributes:
        days: All days of the month, in order.
        day_not_known_cents: Usage and fees from before days were recorded; None where there are none.
        whole_invoice_cents: Discounts, minimums, maximums, credits, taxes and rounding; None where there are none.
    """

    days: tuple[DaySpend, ...]
    day_not_known_cents: int | None = None
    whole_invoice_cents: int | None = None


@dataclass(frozen=True)
class Spend:
    """An invoice's spend, broken down in five ways.

    Attributes:
        by_organization: Empty where all items are of one organization.
    """

    by_product: tuple[SpendShare, ...]
    by_app: tuple[SpendShare, ...]
    by_region: tuple[SpendShare, ...]
    by_organization: tuple[SpendShare, ...]
    by_day: DailySpend


@dataclass(frozen=True)
class Change:
    """The spend on a product in two months, in cents.

    Attributes:
        label: The product; None for the total.
    """

    label: str | None
    before_cents: int
    now_cents: int
    difference_cents: int

    @classmethod
    def of(cls, label: str | None, before_cents: int, now_cents: int) -> Change:
        return cls(label, before_cents, now_cents, now_cents - before_cents)


@dataclass(frozen=True)
class MonthComparison:
    """The spend of a month compared with the month before.

    Attributes:
        month: The month before: `2026-08`.
        by_product: The largest change first.
        until_day: Both months are compared up to this day; None: as a whole.
        left_out: The products that can't be compared up to a day.
    """

    month: str
    total: Change
    by_product: tuple[Change, ...]
    until_day: int | None = None
    left_out: tuple[str, ...] = ()

    def title(self, month: str) -> str:
        """Return the title of the amounts of a month in `2026-09`: that text, or its days such as `1 to 29 Sep`."""
        if self.until_day is None:
            return month
        first = "" if self.until_day == 1 else "1 to "
        return f"{first}{self.until_day} {BillingMonth.parse(month).first_day:%b}"


def break_down(items: Sequence[SpendItem], month: BillingMonth, currency: str, as_of: datetime) -> Spend:
    """Break down the spend of an invoice's items.

    Args:
        as_of: When the items were calculated.
    """
    organizations = {item.organization_id for item in items}
    return Spend(
        by_product=total_by_product(items),
        by_app=split_by_dimension(items, "app", currency),
        by_region=split_by_dimension(items, "region", currency),
        by_organization=total_by_organization(items) if len(organizations) > 1 else (),
        by_day=split_by_day(items, month, currency, as_of),
    )


def total_by_product(items: Iterable[SpendItem]) -> tuple[SpendShare, ...]:
    """Total the items' cents by product, in the invoice's order."""
    totals: dict[tuple[str, bool], int] = {}
    for item in items:
        key = (item.product, item.is_of_the_whole_invoice)
        totals[key] = totals.get(key, 0) + item.amount_cents
    return tuple(SpendShare(label, cents, is_whole) for (label, is_whole), cents in totals.items())


def total_by_organization(items: Iterable[SpendItem]) -> tuple[SpendShare, ...]:
    """Total the items' cents by organization, the largest first. The last row is for the whole invoice."""
    totals: dict[str | None, int] = {}
    for item in items:
        label = None if item.is_of_the_whole_invoice else item.organization_id
        totals[label] = totals.get(label, 0) + item.amount_cents
    ordered = sorted(totals.items(), key=lambda total: (total[0] is None, -total[1], total[0]))
    return tuple(SpendShare(label, cents, label is None) for label, cents in ordered)


def split_by_dimension(items: Sequence[SpendItem], name: str, currency: str) -> tuple[SpendShare, ...]:
    """Split the items' amounts over the values of a dimension, the largest first.

    The last rows are for items without the dimension (label None), and for the whole invoice.
    """
    bought, whole = _partition(items)
    units: dict[str | None, Decimal] = {}
    for item in bought:
        for label, part in _by_value(item, name):
            units[label] = EXACT.add(units.get(label, _ZERO), part)
    ordered = sorted(units, key=lambda label: (label is None, -units[label], label))
    cents = share_out_cents([_from_units(units[label]) for label in ordered], currency, _total(bought))
    return (
        *map(SpendShare, ordered, cents),
        *([SpendShare(None, _total(whole), is_of_the_whole_invoice=True)] if whole else []),
    )


def fold_shares(shares: Sequence[SpendShare], most: int) -> tuple[SpendShare, ...]:
    """Replace the labelled rows after the first `most` with one row for all of them. Rows without a label stay."""
    named = [share for share in shares if share.label is not None]
    if len(named) <= most + 1:  # a row "1 more" takes as much room as the row it replaces
        return tuple(shares)
    rest = SpendShare(f"{len(named) - most:,} more", _total(named[most:]))
    return (*named[:most], rest, *(share for share in shares if share.label is None))


def _partition(items: Sequence[SpendItem]) -> tuple[list[SpendItem], list[SpendItem]]:
    """Return the items that were used or bought, and the items that apply to the whole invoice."""
    bought = [item for item in items if not item.is_of_the_whole_invoice]
    return bought, [item for item in items if item.is_of_the_whole_invoice]


def _by_value(item: SpendItem, name: str) -> Iterable[tuple[str | None, Decimal]]:
    """Return the values of a dimension with their parts of the amount, in units of 10^-20."""
    if item.units_by_usage is None:
        return [(None, _to_units(item.amount))]
    return zip((part.dimensions.get(name) for part in item.usage), item.units_by_usage, strict=True)


def split_by_day(items: Sequence[SpendItem], month: BillingMonth, currency: str, as_of: datetime) -> DailySpend:
    """Split the items' amounts over the month's days.

    Usage is split by each day's quantity, a fee evenly over the time that it covers; a one-off item is on its own day.
    An item without a day in this month (an adjustment, a fee in advance) is on the month's last day, or on the day of
    `as_of` while the month is open.
    """
    days = list(_days_of(month))
    without_day = max(days[0], min(days[-1], as_of.astimezone(UTC).date()))
    # Each day, then usage without one, in one list: whole lists are added, not single days.
    rows: list[date | None] = [*days, None]
    bought, whole = _partition(items)
    totals, is_day_missing = [_ZERO] * len(rows), False
    for item in bought:
        weights = _day_weights(item, days) or {without_day: _ONE}
        is_day_missing = is_day_missing or bool(weights.get(None))
        totals = _add_in_proportion(totals, item.amount, [*map(weights.get, rows, repeat(_ZERO))])
    shown = len(rows) if is_day_missing else len(days)
    cents = share_out_cents([*map(_rounded, totals[:shown])], currency, _total(bought))
    return DailySpend(
        tuple(map(DaySpend, days, cents)), cents[-1] if is_day_missing else None, _total(whole) if whole else None
    )


def _add_in_proportion(totals: Sequence[Decimal], amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """Add an amount to totals in units of 10^-50, in proportion to the weights, which must not add up to 0.

    One division for all: the amount of a unit of weight. A weight has less than 10^23 units, so that its total is right
    to more than the 20 decimals to which `_rounded` rounds the sum.
    """
    of_a_unit = EXACT.divide_int(amount.scaleb(_RATE_DIGITS, context=EXACT), exact_sum(weights))
    return [*map(EXACT.fma, weights, repeat(of_a_unit), totals)]


def _rounded(total: Decimal) -> Decimal:
    """Return a total of `_add_in_proportion` in the currency's major unit, rounded half-up to 20 decimals."""
    return total.scaleb(-_RATE_DIGITS, context=EXACT).quantize(_LAST_DIGIT, context=_ROUNDING)


def _days_of(month: BillingMonth) -> Iterable[date]:
    """Yield the month's days, in UTC."""
    return (month.first_day + timedelta(days=n) for n in range(month.seconds // 86_400))


def _day_weights(item: SpendItem, days: Sequence[date]) -> Mapping[date | None, Decimal]:
    """Return the weight of each day in an item's amount; empty if the item belongs to no day of the month."""
    if exact_sum([*item.daily.values()]):
        return item.daily
    if item.kind == "usage":  # owed without any usage: a flat fee, a minimum
        return _evenly(days)
    if item.kind == "subscription" and item.period is None:  # billed before a fee's time was recorded
        return _evenly([None])
    if item.period and item.kind == "subscription":
        seconds = {day: _seconds_of(day, *item.period) for day in days}
        return {day: Decimal(part) for day, part in seconds.items() if part}
    if item.occurred_at and item.occurred_at.astimezone(UTC).date() in days:
        return _evenly([item.occurred_at.astimezone(UTC).date()])
    return {}


def _evenly(days: Iterable[date | None]) -> dict[date | None, Decimal]:
    return dict.fromkeys(days, _ONE)


def _seconds_of(day: date, start: datetime, end: datetime) -> int:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    overlap = min(end, midnight + timedelta(days=1)) - max(start, midnight)
    return max(0, int(overlap.total_seconds()))


def split_in_proportion(amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """Split an amount in proportion to the weights, to 20 decimal places. The parts add up to the amount exactly.

    The part with the largest weight absorbs the rounding of the others. The weights must not add up to 0.
    """
    return [_from_units(part) for part in _split_units(amount, weights)]


def _split_units(amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """Return `split_in_proportion` in units of 10^-20: a sum of many parts is scaled once, and not each part."""
    units, total = _to_units(amount), exact_sum(weights)
    # Half of the total, added before the fraction is cut off, rounds half-up; `money.divide` would first try in vain
    # to find a finite decimal.
    half = EXACT.copy_sign(divide(total, _TWO), units)
    opposite = EXACT.minus(half)
    cut, multiply_and_add = EXACT.divide_int, EXACT.fma
    parts = [cut(multiply_and_add(units, weight, half if weight >= 0 else opposite), total) for weight in weights]
    largest = weights.index(max(weights))
    parts[largest] = EXACT.add(parts[largest], EXACT.subtract(units, exact_sum(parts)))
    return parts


def _to_units(amount: Decimal) -> Decimal:
    return amount.scaleb(DIVISION_DIGITS, context=EXACT)


def _from_units(units: Decimal) -> Decimal:
    return units.scaleb(-DIVISION_DIGITS, context=EXACT)


def compare_products(now: Sequence[SpendShare], before: Sequence[SpendShare], month: BillingMonth) -> MonthComparison:
    """Compare the products of two months.

    Args:
        now: The shares of the later month, from `total_by_product`.
        before: The shares of the month before.
        month: The month before.
    """
    products = dict.fromkeys(share.label for share in (*now, *before))
    changes = [Change.of(label, _cents_of(before, label), _cents_of(now, label)) for label in products]
    changes.sort(key=lambda change: -abs(change.difference_cents))
    total = Change.of(None, _total(before), _total(now))
    return MonthComparison(str(month), total, tuple(changes))


def _cents_of(shares: Sequence[SpendShare], label: str | None) -> int:
    return _total(share for share in shares if share.label == label)


def _total(rows: Iterable[SpendItem | SpendShare]) -> int:
    return sum(row.amount_cents for row in rows)
