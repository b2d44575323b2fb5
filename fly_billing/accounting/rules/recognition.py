"""When revenue counts: an invoice's revenue by service period, and each period's amount by month. Pure.

The rules:
  - An amount is spread over the days of its service period, each day the same. A day that the period has a part of
    counts as a whole day.
  - The one rounding rule: at the end of each month, the amount recognized so far is rounded, halves away from zero. A
    month has the difference to the month before. So the months add up to the amount, to the cent, and a void invoice
    cancels the original in every month.
  - Nothing is recognized before the accounting month of its invoice. Anything supplied earlier, such as a correction of
    a closed month, is recognized in that month.
  - Discounts, maximums and promotions belong to the items that they reduce, in proportion.
  - Taxes, and credit that is the customer's own money, are no revenue. A tax contained in prices reduces every service
    period of the invoice in proportion.
Not here: which time an item was supplied in (`invoicing.rules.service_periods`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from fly_billing.invoicing.rules.service_periods import ServicePeriod, reduced_items, service_period
from fly_billing.money import EXACT, share_out_cents
from fly_billing.periods import LAST_MONTH, BillingMonth

# Kinds of items that reduce others.
REDUCTIONS = ("discount", "maximum", "credit")


@dataclass(frozen=True)
class RevenueItem:
    """An item of a final invoice, as far as revenue depends on it.

    Attributes:
        amount_cents: Its share of the invoice's total.
        is_payment: It is credit that is the customer's own money: prepaid credit, or a credit note.
        sold: Of a one-off item: the time in which it is supplied.
    """

    id: UUID
    kind: str
    amount: Decimal
    amount_cents: int
    detail: Any
    is_payment: bool = False
    sold: ServicePeriod | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None
    interval_start: datetime | None = None
    interval_end: datetime | None = None


def revenue_by_period(
    items: Sequence[RevenueItem], month: BillingMonth, currency: str, contained_tax_cents: int = 0
) -> dict[ServicePeriod, int]:
    """Split an invoice's revenue by service period, in cents. The parts add up to its revenue exactly.

    Args:
        items: All items of the invoice.
        month: The month that it bills.
        currency: Its currency.
        contained_tax_cents: The taxes that its prices contain.

    Raises:
        ValueError: An item can't be read.
    """
    periods = {item.id: service_period(item, month, item.sold) for item in items if item.kind not in REDUCTIONS}
    revenue: dict[ServicePeriod, int] = {}
    for item in items:
        if item.kind != "tax" and not item.is_payment:
            for period, cents in _parts(item, periods, month, currency):
                revenue[period] = revenue.get(period, 0) + cents
    return _without(contained_tax_cents, revenue, ServicePeriod.of_month(month))


def _parts(
    item: RevenueItem, periods: Mapping[UUID, ServicePeriod], month: BillingMonth, currency: str
) -> list[tuple[ServicePeriod, int]]:
    reduced = reduced_items(item.detail) if item.kind in REDUCTIONS else {}
    whole = ServicePeriod.of_month(month)
    if not reduced:
        return [(periods.get(item.id, whole), item.amount_cents)]
    cents = share_out_cents([EXACT.minus(part) for part in reduced.values()], currency, item.amount_cents)
    return [(periods.get(other, whole), part) for other, part in zip(reduced, cents, strict=True)]


def _without(
    tax_cents: int, revenue: Mapping[ServicePeriod, int], otherwise: ServicePeriod
) -> dict[ServicePeriod, int]:
    """Take contained taxes off every period in proportion; off the invoice's month if nothing is left to divide by."""
    left = dict(revenue)
    if not tax_cents:
        return left
    if not sum(left.values()):
        return left | {otherwise: left.get(otherwise, 0) - tax_cents}
    order = sorted(left)
    for period, part in zip(order, in_proportion(tax_cents, [left[period] for period in order]), strict=True):
        left[period] -= part
    return left


def in_proportion(cents: int, weights: Sequence[int]) -> list[int]:
    """Share cents out by weights that don't sum to zero: whole cents first, then one each to the largest remainders."""
    whole = sum(weights)
    sign = 1 if whole > 0 else -1
    shares = [divmod(cents * weight * sign, whole * sign) for weight in weights]
    parts = [part for part, _ in shares]
    by_remainder = sorted(range(len(shares)), key=lambda n: (-shares[n][1], n))
    for n in by_remainder[: cents - sum(parts)]:
        parts[n] += 1
    return parts


def recognized_through(cents: int, period: ServicePeriod, end: date) -> int:
    """Return how much of an amount is recognized before the day `end`: the rounded share of the days that are over."""
    first, last = period.days
    over = min(max(end.toordinal() - first, 0), last - first)
    rounded = (2 * abs(cents) * over + (last - first)) // (2 * (last - first))
    return rounded if cents >= 0 else -rounded


def recognized_by_month(cents: int, period: ServicePeriod, posted: BillingMonth) -> dict[BillingMonth, int]:
    """Spread an amount over months from the accounting month of its invoice on. The months add up to it."""
    months: dict[BillingMonth, int] = {}
    before, month = 0, posted
    while before != cents or month == posted:
        is_last = month >= LAST_MONTH
        through = cents if is_last else recognized_through(cents, period, month.next().first_day)
        months[month] = through - before
        before = through
        if is_last:
            break
        month = month.next()
    return {month: part for month, part in months.items() if part}


def deferrals(revenue: Mapping[ServicePeriod, int], posted: BillingMonth) -> dict[BillingMonth, int]:
    """Return what an invoice moves from its accounting month to later ones, in cents. The months sum to zero.

    Args:
        revenue: Its revenue by service period; of a void invoice, with the opposite sign.
        posted: Its accounting month.
    """
    moved: dict[BillingMonth, int] = {posted: -sum(revenue.values())}
    for period, cents in revenue.items():
        for month, part in recognized_by_month(cents, period, posted).items():
            moved[month] = moved.get(month, 0) + part
    return {month: cents for month, cents in sorted(moved.items()) if cents}
