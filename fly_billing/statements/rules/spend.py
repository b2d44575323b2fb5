"""An invoice's spend by product, app, region, organization and day, and its comparison with the month before.

Every list adds up to the invoice's total, to the cent. An item's exact amount is split over its usage in proportion to
quantity; the cents are then distributed over the rows by largest remainder (`money.share_out_cents`). Tiered prices are
split in proportion too: no unit of a month is the cheaper one. Items that apply to the whole invoice (discounts,
minimums, maximums, credits, taxes, rounding) have no app and no day: their cents are a row of their own.

Not here: reading items and usage (`statements.statement_reader`), and the layout.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from fly_billing.money import DIVISION_DIGITS, EXACT, divide, exact_sum, share_out_cents
from fly_billing.periods import BillingMonth

_ONE, _MINUS_ONE, _TWO = Decimal(1), Decimal(-1), Decimal(2)

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

    @property
    def is_of_the_whole_invoice(self) -> bool:
        return self.kind in WHOLE_INVOICE_KINDS


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
    """

    month: str
    total: Change
    by_product: tuple[Change, ...]
    until_day: int | None = None

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
    amounts: dict[str | None, Decimal] = defaultdict(Decimal)
    for item in bought:
        for label, amount in _by_value(item, name):
            amounts[label] = EXACT.add(amounts[label], amount)
    ordered = sorted(amounts, key=lambda label: (label is None, -amounts[label], label))
    cents = share_out_cents([amounts[label] for label in ordered], currency, _total(bought))
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
    quantities = [part.quantity for part in item.usage]
    if not exact_sum(quantities):
        return [(None, item.amount)]
    labels = [part.dimensions.get(name) for part in item.usage]
    return zip(labels, split_in_proportion(item.amount, quantities), strict=True)


def split_by_day(items: Sequence[SpendItem], month: BillingMonth, currency: str, as_of: datetime) -> DailySpend:
    """Split the items' amounts over the month's days.

    Usage is split by each day's quantity, a fee evenly over the time that it covers; a one-off item is on its own day.
    An item without a day in this month (an adjustment, a fee in advance) is on the month's last day, or on the day of
    `as_of` while the month is open.
    """
    days = list(_days_of(month))
    without_day = max(days[0], min(days[-1], as_of.astimezone(UTC).date()))
    bought, whole = _partition(items)
    amounts: dict[date | None, Decimal] = dict.fromkeys(days, Decimal(0))
    for item in bought:
        weights = _day_weights(item, days) or _evenly([without_day])
        shares = split_in_proportion(item.amount, list(weights.values()))
        for day, share in zip(weights, shares, strict=True):
            amounts[day] = EXACT.add(amounts.get(day, Decimal(0)), share)
    cents = share_out_cents(list(amounts.values()), currency, _total(bought))
    by_row = dict(zip(amounts, cents, strict=True))
    return DailySpend(
        tuple(DaySpend(day, by_row[day]) for day in days), by_row.get(None), _total(whole) if whole else None
    )


def _days_of(month: BillingMonth) -> Iterable[date]:
    """Yield the month's days, in UTC."""
    return (month.first_day + timedelta(days=n) for n in range(month.seconds // 86_400))


def _day_weights(item: SpendItem, days: Sequence[date]) -> dict[date | None, Decimal]:
    """Return the weight of each day in an item's amount; empty if the item belongs to no day of the month."""
    if exact_sum(list(item.daily.values())):
        return {day: quantity for day, quantity in item.daily.items() if quantity}
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
    return dict.fromkeys(days, Decimal(1))


def _seconds_of(day: date, start: datetime, end: datetime) -> int:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    overlap = min(end, midnight + timedelta(days=1)) - max(start, midnight)
    return max(0, int(overlap.total_seconds()))


def split_in_proportion(amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """Split an amount in proportion to the weights, to 20 decimal places. The parts add up to the amount exactly.

    The part with the largest weight absorbs the rounding of the others. The weights must not add up to 0.
    """
    total = exact_sum(weights)
    # Most quotients are no finite decimals, so `money.divide` would try in vain.
    scaled, half = amount.scaleb(DIVISION_DIGITS, context=EXACT), divide(total.copy_abs(), _TWO)
    parts = [_rounded_quotient(EXACT.multiply(scaled, weight), total, half) for weight in weights]
    largest = max(range(len(weights)), key=lambda n: weights[n])
    left = EXACT.subtract(amount, exact_sum(parts))
    parts[largest] = EXACT.add(parts[largest], left)
    return parts


def _rounded_quotient(scaled: Decimal, total: Decimal, half: Decimal) -> Decimal:
    """Return scaled / total / 10^20, rounded half-up at the 20th decimal. `half` is half of |total|."""
    whole, rest = EXACT.divmod(scaled, total)
    if rest.copy_abs() >= half:
        whole = EXACT.add(whole, _ONE if scaled.is_signed() == total.is_signed() else _MINUS_ONE)
    return whole.scaleb(-DIVISION_DIGITS, context=EXACT)


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
