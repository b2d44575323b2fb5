"""Compares an open month with the same days of the month before: both up to the last day whose usage is complete.

Usage counts by its days, fees and one-off items in full from the day on which they begin. Products whose price depends
on the usage of the whole month (a free allowance, tiers, packages, a flat amount) are left out, because the price of
some days of it is not known; so are discounts, minimums, credits and taxes, which belong to whole invoices. Pure.
Not here: the comparison of whole months (`spend.compare_products`), and reading (`shown_month`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from fly_billing.money import EXACT, divide, exact_sum, share_out_cents
from fly_billing.periods import BillingMonth
from fly_billing.statements.rules.spend import MonthComparison, SpendItem, SpendShare, compare_products


@dataclass(frozen=True)
class ItemUntilDay:
    """An item of an invoice, and how much of its usage was on the first days of the month.

    Attributes:
        amount: The exact amount.
        begins_at: The start of a fee, or the time of a one-off item; None for others.
        used: All its usage.
        used_until: The usage of the first days.
        has_unknown_days: Some usage is from before days were recorded.
        is_by_unit: Every unit of its usage costs the same.
    """

    product: str
    amount: Decimal
    begins_at: datetime | None
    used: Decimal
    used_until: Decimal
    has_unknown_days: bool
    is_by_unit: bool = True

    def amount_until(self, day: int, month: BillingMonth) -> Decimal:
        """Return the part of the amount that belongs to the first `day` days of the month."""
        if self.used:
            return divide(EXACT.multiply(self.amount, self.used_until), self.used)
        begins = self.begins_at.astimezone(UTC).date() if self.begins_at else month.first_day
        return Decimal(0) if month.first_day.replace(day=day) < begins < month.next().first_day else self.amount


def is_priced_by_unit(kind: str, detail: Any) -> bool:
    """Return True if each unit of an item's usage costs the same, as its record shows; also for other items.

    Returns False if the record is damaged: reading the item reports it.
    """
    if kind != "usage":
        return True
    match detail:
        case {"free_allowance_used": _} | {"transformed": _}:
            return False
        case {"steps": [{"label": label}]}:
            return label in ("all", "percent of all")
        case _:
            return False


def days_to_compare(month: BillingMonth, complete_until: date) -> int:
    """Return how many days of an open month and of the month before are compared; 0 while no day is complete."""
    if complete_until < month.first_day:
        return 0
    complete = complete_until.day if complete_until < month.next().first_day else month.days
    return min(complete, month.plus(-1).days)


def items_until(items: Iterable[SpendItem], day: int) -> list[ItemUntilDay]:
    """Return the items of the open month; those of the whole invoice are left out."""
    return [_until(item, day) for item in items if not item.is_of_the_whole_invoice]


def _until(item: SpendItem, day: int) -> ItemUntilDay:
    return ItemUntilDay(
        product=item.product,
        amount=item.amount,
        begins_at=item.occurred_at or (item.period[0] if item.period else None),
        used=exact_sum(list(item.daily.values())),
        used_until=exact_sum([quantity for at, quantity in item.daily.items() if at and at.day <= day]),
        has_unknown_days=None in item.daily,
        is_by_unit=item.is_by_unit,
    )


def compare_days(
    now: Sequence[ItemUntilDay], before: Sequence[ItemUntilDay], day: int, month: BillingMonth, currency: str
) -> MonthComparison | None:
    """Compare the first `day` days of `month` with those of the month before.

    Returns None if the days of some usage are not known: any split would be a guess.
    """
    if any(item.has_unknown_days for item in (*now, *before)):
        return None
    earlier, left_out = month.plus(-1), {item.product for item in (*now, *before) if not item.is_by_unit}
    now_shares, before_shares = (
        _shares([item for item in items if item.product not in left_out], day, each, currency)
        for items, each in ((now, month), (before, earlier))
    )
    found = compare_products(now_shares, before_shares, earlier)
    changes = tuple(change for change in found.by_product if change.before_cents or change.now_cents)
    return replace(found, by_product=changes, until_day=day, left_out=tuple(sorted(left_out)))


def _shares(items: Iterable[ItemUntilDay], day: int, month: BillingMonth, currency: str) -> list[SpendShare]:
    amounts: dict[str, Decimal] = {}
    for item in items:
        amounts[item.product] = EXACT.add(amounts.get(item.product, Decimal(0)), item.amount_until(day, month))
    cents = share_out_cents([*amounts.values()], currency)
    return [SpendShare(product, each) for product, each in zip(amounts, cents, strict=True)]
