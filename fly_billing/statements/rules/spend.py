"""Where the money of an invoice went: by product, app, region, organization and day, and compared with last month.

Every list adds up to the invoice's total, to the cent. An item's exact amount is shared over the usage behind it in
proportion to quantity; the cents are then shared out over the rows by largest remainder (`money.share_out_cents`).
A tiered price is shared out like any other: no unit of a month is the cheap one. What is about the invoice as a whole
(discounts, minimums and maximums, credits, taxes, rounding) has no app and no day, and is a row of its own: the cents
of its items.

Keeps out: where items and usage are read from, how it is shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from fly_billing.money import EXACT, divide, exact_sum, share_out_cents
from fly_billing.periods import BillingMonth

# Kinds of items that are about the invoice as a whole, not about anything that was used or bought.
OF_THE_WHOLE_INVOICE = ("discount", "minimum", "maximum", "credit", "tax", "rounding")


@dataclass(frozen=True)
class UsagePart:
    """How much of an item's usage has these dimensions."""

    dimensions: Mapping[str, str | None]
    quantity: Decimal


@dataclass(frozen=True)
class SpendItem:
    """What has to be known of an invoice's item to say where its money went.

    `daily`: its usage by UTC day; under None what rollups hold that do not know their days. `period`: the half-open
    time that a fee is for, None where it is not known. `occurred_at`: when a one-off item came up.
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
        return self.kind in OF_THE_WHOLE_INVOICE


@dataclass(frozen=True)
class SpendShare:
    """One row: what came to so much. `label` is None for what has no app (or region): most fees."""

    label: str | None
    amount_cents: int
    is_of_the_whole_invoice: bool = False


@dataclass(frozen=True)
class DaySpend:
    """What one UTC day came to."""

    day: date
    amount_cents: int


@dataclass(frozen=True)
class DailySpend:
    """The month day by day, all its days. The three add up to the total.

    `day_not_known_cents`: usage and fees from before their days were kept; None where there are none.
    `whole_invoice_cents`: discounts, minimums and maximums, credits and taxes; None where there are none.
    """

    days: tuple[DaySpend, ...]
    day_not_known_cents: int | None = None
    whole_invoice_cents: int | None = None


@dataclass(frozen=True)
class Spend:
    """Where an invoice's money went, in five ways. `by_organization` is empty where all of it is one's own."""

    by_product: tuple[SpendShare, ...]
    by_app: tuple[SpendShare, ...]
    by_region: tuple[SpendShare, ...]
    by_organization: tuple[SpendShare, ...]
    by_day: DailySpend


@dataclass(frozen=True)
class Change:
    """Something this month and last month. `label` is None for the total."""

    label: str | None
    before_cents: int
    now_cents: int
    difference_cents: int

    @classmethod
    def of(cls, label: str | None, before_cents: int, now_cents: int) -> Change:
        return cls(label, before_cents, now_cents, now_cents - before_cents)


@dataclass(frozen=True)
class MonthComparison:
    """This month beside the one before: in all, and per product, the largest change first."""

    month: str
    total: Change
    by_product: tuple[Change, ...]


def spend_of(items: Sequence[SpendItem], month: BillingMonth, currency: str, as_of: datetime) -> Spend:
    """Say where the money of these items went. `as_of`: when they were worked out."""
    organizations = {item.organization_id for item in items}
    return Spend(
        by_product=by_product(items),
        by_app=by_dimension(items, "app", currency),
        by_region=by_dimension(items, "region", currency),
        by_organization=by_organization(items) if len(organizations) > 1 else (),
        by_day=by_day(items, month, currency, as_of),
    )


def by_product(items: Iterable[SpendItem]) -> tuple[SpendShare, ...]:
    """Add up the items' cents per product, in the order in which the invoice shows them."""
    totals: dict[tuple[str, bool], int] = {}
    for item in items:
        key = (item.product, item.is_of_the_whole_invoice)
        totals[key] = totals.get(key, 0) + item.amount_cents
    return tuple(SpendShare(label, cents, is_whole) for (label, is_whole), cents in totals.items())


def by_organization(items: Iterable[SpendItem]) -> tuple[SpendShare, ...]:
    """Add up the items' cents per organization, the largest first; last what is about the invoice as a whole."""
    totals: dict[str | None, int] = {}
    for item in items:
        whose = None if item.is_of_the_whole_invoice else item.organization_id
        totals[whose] = totals.get(whose, 0) + item.amount_cents
    ordered = sorted(totals.items(), key=lambda one: (one[0] is None, -one[1], one[0] or ""))
    return tuple(SpendShare(whose, cents, whose is None) for whose, cents in ordered)


def by_dimension(items: Sequence[SpendItem], name: str, currency: str) -> tuple[SpendShare, ...]:
    """Share the items out over the values of a dimension, the largest first.

    Last come what has no such dimension (label None) and what is about the invoice as a whole.
    """
    bought, whole = _parted(items)
    amounts: dict[str | None, Decimal] = defaultdict(Decimal)
    for item in bought:
        for label, amount in _by_value(item, name):
            amounts[label] = EXACT.add(amounts[label], amount)
    ordered = sorted(amounts, key=lambda label: (label is None, -amounts[label], label or ""))
    cents = share_out_cents([amounts[label] for label in ordered], currency, _total(bought))
    return (
        *map(SpendShare, ordered, cents),
        *([SpendShare(None, _total(whole), is_of_the_whole_invoice=True)] if whole else []),
    )


def folded(shares: Sequence[SpendShare], most: int) -> tuple[SpendShare, ...]:
    """Make one row of all named ones but the `most` first; the rows without a name stay what they are."""
    named = [share for share in shares if share.label is not None]
    if len(named) <= most + 1:  # a row that says "1 more" could as well say which
        return tuple(shares)
    rest = SpendShare(f"{len(named) - most:,} more", _total(named[most:]))
    return (*named[:most], rest, *(share for share in shares if share.label is None))


def _parted(items: Sequence[SpendItem]) -> tuple[list[SpendItem], list[SpendItem]]:
    """Part what was used and bought from what is about the invoice as a whole."""
    bought = [item for item in items if not item.is_of_the_whole_invoice]
    return bought, [item for item in items if item.is_of_the_whole_invoice]


def _by_value(item: SpendItem, name: str) -> Iterable[tuple[str | None, Decimal]]:
    quantities = [part.quantity for part in item.usage]
    if not exact_sum(quantities):
        return [(None, item.amount)]
    labels = [part.dimensions.get(name) for part in item.usage]
    return zip(labels, in_proportion(item.amount, quantities), strict=True)


def by_day(items: Sequence[SpendItem], month: BillingMonth, currency: str, as_of: datetime) -> DailySpend:
    """Spread the items over the month's days.

    Usage by what each day used, a fee evenly over the time that it is for, a one-off item on the day it came up. What
    has no day in this month (an adjustment, a fee in advance) is on its last one, or on that of `as_of` in a month
    that is not over.
    """
    days = list(days_of(month))
    without_day = max(days[0], min(days[-1], as_of.astimezone(UTC).date()))
    bought, whole = _parted(items)
    amounts: dict[date | None, Decimal] = dict.fromkeys(days, Decimal(0))
    for item in bought:
        weights = _day_weights(item, days) or {without_day: Decimal(1)}
        shares = in_proportion(item.amount, list(weights.values()))
        for day, share in zip(weights, shares, strict=True):
            amounts[day] = EXACT.add(amounts.get(day, Decimal(0)), share)
    cents = share_out_cents(list(amounts.values()), currency, _total(bought))
    by_row = dict(zip(amounts, cents, strict=True))
    return DailySpend(
        tuple(DaySpend(day, by_row[day]) for day in days), by_row.get(None), _total(whole) if whole else None
    )


def days_of(month: BillingMonth) -> Iterable[date]:
    """Yield the month's days, in UTC."""
    return (month.first_day + timedelta(days=n) for n in range(month.seconds // 86_400))


def _day_weights(item: SpendItem, days: Sequence[date]) -> dict[date | None, Decimal]:
    """Return what an item's amount is spread by, or nothing where it belongs to no day of the month."""
    if exact_sum(list(item.daily.values())):
        return {day: quantity for day, quantity in item.daily.items() if quantity}
    if item.kind == "usage":  # what is owed without usage: a flat fee, a minimum
        return dict.fromkeys(days, Decimal(1))
    if item.kind == "subscription" and item.period is None:  # from before a fee's time was kept
        return {None: Decimal(1)}
    if item.period:
        seconds = {day: _seconds_of(day, *item.period) for day in days}
        return {day: Decimal(part) for day, part in seconds.items() if part}
    if item.occurred_at and item.occurred_at.astimezone(UTC).date() in days:
        return {item.occurred_at.astimezone(UTC).date(): Decimal(1)}
    return {}


def _seconds_of(day: date, start: datetime, end: datetime) -> int:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    overlap = min(end, midnight + timedelta(days=1)) - max(start, midnight)
    return max(0, int(overlap.total_seconds()))


def in_proportion(amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """Share an amount out in proportion to the weights, to 20 decimal places; the parts add up to it exactly.

    What the rounding of the others leaves is in the part of the largest weight. The weights must not add up to 0.
    """
    total = exact_sum(weights)
    parts = [divide(EXACT.multiply(amount, weight), total) for weight in weights]
    largest = max(range(len(weights)), key=lambda n: weights[n])
    left = EXACT.subtract(amount, exact_sum(parts))
    parts[largest] = EXACT.add(parts[largest], left)
    return parts


def compare(now: Sequence[SpendShare], before: Sequence[SpendShare], month: BillingMonth) -> MonthComparison:
    """Compare this month's products with those of the month before (`month`)."""
    products = dict.fromkeys(share.label for share in (*now, *before))
    changes = [Change.of(label, _cents_of(before, label), _cents_of(now, label)) for label in products]
    changes.sort(key=lambda change: -abs(change.difference_cents))
    total = Change.of(None, _total(before), _total(now))
    return MonthComparison(str(month), total, tuple(changes))


def _cents_of(shares: Sequence[SpendShare], label: str | None) -> int:
    return _total(share for share in shares if share.label == label)


def _total(rows: Iterable[SpendItem | SpendShare]) -> int:
    return sum(row.amount_cents for row in rows)
