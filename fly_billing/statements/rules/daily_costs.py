"""A month's usage by day, split by product, app or region: the rows and columns of the cost explorer.

Only usage has a day on which it happened. Fees, one-off items, corrections and what applies to the whole invoice are
rows of their own (`outside`), so that a yearly fee or a large purchase neither looks like usage nor makes the other
days too small to see. Days, columns and `outside` add up to the invoice's total, to the cent, and a day has the same
amount in every split.

Not here: reading the usage (`statements.daily_costs_reader`), and the plot (`statements.page`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import TypeVar

from fly_billing.money import EXACT, exact_sum, minor_digits, share_out_cents
from fly_billing.periods import BillingMonth
from fly_billing.statements.rules.spend import WHOLE_INVOICE_KINDS, SpendShare, split_in_proportion
from fly_billing.statements.rules.statement import StatementItem

SPLITS = ("product", "app", "region")
# Columns with a name of their own; all others are one more. A reader can distinguish about eight colors.
MOST_COLUMNS = 7
# Places of usage without a label, and of labels without a column of their own, where labels are counted from 1.
NO_LABEL, OTHER_LABEL = 0, -1

_OUTSIDE = {
    "usage": "Usage without a day",
    "subscription": "Recurring fees",
    "one_off": "One-off items",
    "adjustment": "Corrections of earlier months",
}
_WHOLE_INVOICE = "Discounts, minimums, credits and taxes"


@dataclass(frozen=True)
class UsageOfLabel:
    """The usage of an item with one label, by day of the month.

    Attributes:
        place: The label's number among the wanted ones, counted from 1; NO_LABEL or OTHER_LABEL.
        days: Counted from 1; None for usage from before days were recorded.
    """

    item_id: str
    place: int
    days: Sequence[int | None]
    quantities: Sequence[Decimal]


@dataclass(frozen=True)
class CostColumn:
    """A product, app or region, and its usage in the month.

    Attributes:
        label: None for usage without one, and for all others (`is_other`).
    """

    label: str | None
    total_cents: int
    is_other: bool = False


@dataclass(frozen=True)
class CostDay:
    """The usage of a UTC day: cents of each column, in their order."""

    day: date
    cents: tuple[int, ...]

    @property
    def total_cents(self) -> int:
        return sum(self.cents)


@dataclass(frozen=True)
class DailyCosts:
    """The usage of a month.

    Attributes:
        by: One of SPLITS.
        columns: The largest first, then the others, then usage without a label.
        days: All days of the month.
        outside: Charges that are no usage of a day: text and cents.
    """

    by: str
    columns: tuple[CostColumn, ...]
    days: tuple[CostDay, ...]
    outside: tuple[tuple[str, int], ...]

    @property
    def usage_cents(self) -> int:
        return sum(day.total_cents for day in self.days)

    @property
    def total_cents(self) -> int:
        return self.usage_cents + sum(cents for _, cents in self.outside)


def wanted_labels(by: str, items: Sequence[StatementItem], shares: Sequence[SpendShare]) -> list[str]:
    """Return the labels that get a column of their own, the largest first.

    Args:
        shares: The invoice's spend by this dimension, the largest first (`Spend.by_app`, `Spend.by_region`).
    """
    if by != "product":
        return [share.label for share in shares if share.label is not None][:MOST_COLUMNS]
    totals = _usage_by_product(items)
    return sorted(totals, key=lambda product: -totals[product])[:MOST_COLUMNS]


def explore(
    by: str,
    items: Sequence[StatementItem],
    usage: Iterable[UsageOfLabel],
    shares: Sequence[SpendShare],
    month: BillingMonth,
    currency: str,
) -> DailyCosts:
    """Split a month's usage by day and label.

    Args:
        usage: Of the items, with places in `wanted_labels`; by product, all of it has NO_LABEL.
        shares: As in `wanted_labels`.
    """
    labels = wanted_labels(by, items, shares)
    place_of = _places(by, items, labels)
    found = _by_item(usage)
    used = [item for item in items if item.kind == "usage" and _has_usage(found.get(item.id, ()))]
    days, cells = _exact_amounts(used, found, place_of, month)
    total = sum(item.amount_cents for item in used)
    order = [*range(1, len(labels) + 1), OTHER_LABEL, NO_LABEL]
    exact = [[cells.get((day, place), Decimal(0)) for place in order] for day in days]
    # First the days, which are the same in every split, then each day's cents over its columns.
    of_days = _share_over_usage(list(days.values()), currency, total)
    rounded = [_share_over_usage(row, currency, cents) for row, cents in zip(exact, of_days, strict=True)]
    columns = _column_totals(by, used, labels, shares, total)
    _move_cents(rounded, exact, [columns[place] for place in order], currency)
    return _result(by, items, used, labels, dict(zip(days, rounded, strict=True)))


def _usage_by_product(items: Iterable[StatementItem]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for item in items:
        if item.kind == "usage":
            totals[item.product] = totals.get(item.product, 0) + item.amount_cents
    return totals


def _places(by: str, items: Iterable[StatementItem], labels: Sequence[str]) -> dict[str, int]:
    """Return the place of each item's product; empty in the other splits, in which the usage has places."""
    if by != "product":
        return {}
    number = {label: n for n, label in enumerate(labels, 1)}
    return {item.id: number.get(item.product, OTHER_LABEL) for item in items}


def _by_item(usage: Iterable[UsageOfLabel]) -> Mapping[str, list[UsageOfLabel]]:
    grouped: dict[str, list[UsageOfLabel]] = defaultdict(list)
    for row in usage:
        grouped[row.item_id].append(row)
    return grouped


def _has_usage(rows: Iterable[UsageOfLabel]) -> bool:
    return bool(exact_sum([quantity for row in rows for quantity in row.quantities]))


def _exact_amounts(
    used: Iterable[StatementItem],
    found: Mapping[str, Sequence[UsageOfLabel]],
    place_of: Mapping[str, int],
    month: BillingMonth,
) -> tuple[dict[date | None, Decimal], dict[tuple[date | None, int], Decimal]]:
    """Return the exact amounts of each day of the month, under None those without a day, and of each day and place."""
    first = month.first_day
    days: dict[date | None, Decimal] = {first + timedelta(days=n): Decimal(0) for n in range(month.seconds // 86_400)}
    days[None] = Decimal(0)
    cells: dict[tuple[date | None, int], Decimal] = defaultdict(Decimal)
    for item in used:
        quantities: dict[tuple[date | None, int], Decimal] = defaultdict(Decimal)
        by_day = dict.fromkeys(days, Decimal(0))
        for row in found[item.id]:
            for number, quantity in zip(row.days, row.quantities, strict=True):
                day = None if number is None else first + timedelta(days=number - 1)
                cell = (day if day in days else None, place_of.get(item.id, row.place))
                quantities[cell] = EXACT.add(quantities[cell], quantity)
                by_day[cell[0]] = EXACT.add(by_day[cell[0]], quantity)
        # A day's amount is split off before the places, so that it is the same in every split.
        _add(days, item.amount, by_day)
        _add(cells, item.amount, quantities)
    return days, cells


Cell = TypeVar("Cell")


def _add(totals: dict[Cell, Decimal], amount: str, quantities: Mapping[Cell, Decimal]) -> None:
    shares = split_in_proportion(Decimal(amount), list(quantities.values()))
    for cell, share in zip(quantities, shares, strict=True):
        totals[cell] = EXACT.add(totals[cell], share)


def _column_totals(
    by: str, used: Sequence[StatementItem], labels: Sequence[str], shares: Sequence[SpendShare], total: int
) -> dict[int, int]:
    """Return each place's cents, as the other tables of the statement have them. They add up to `total`."""
    if by == "product":
        known = _usage_by_product(used)
        named = [known.get(label, 0) for label in labels]
        rest = total - sum(named)
        return {**dict(enumerate(named, 1)), OTHER_LABEL: rest, NO_LABEL: 0}
    known_shares = [share.amount_cents for share in shares if share.label is not None]
    named, others = known_shares[: len(labels)], sum(known_shares[len(labels) :])
    return {**dict(enumerate(named, 1)), OTHER_LABEL: others, NO_LABEL: total - sum(known_shares)}


def _share_over_usage(amounts: Sequence[Decimal], currency: str, cents: int) -> list[int]:
    """Share cents over the amounts that are not zero, so that no day or column without usage gets a cent of rounding.

    Where all are zero, the last one gets them: usage without a day, or without a label.
    """
    live = [n for n, amount in enumerate(amounts) if amount] or [len(amounts) - 1]
    shared = dict(zip(live, share_out_cents([amounts[n] for n in live], currency, cents), strict=True))
    return [shared.get(n, 0) for n in range(len(amounts))]


def _move_cents(
    rounded: list[list[int]], exact: Sequence[Sequence[Decimal]], wanted: Sequence[int], currency: str
) -> None:
    """Move single cents between two columns of a day until each column has its total, each where it is least wrong.

    Columns that share no day keep a difference of cents: no day gets a cent in a column without usage.
    """
    cents = [[amount.scaleb(minor_digits(currency)) for amount in row] for row in exact]
    off = [want - sum(row[n] for row in rounded) for n, want in enumerate(wanted)]
    if max(map(abs, off)) > len(rounded):  # more than rounding explains: the usage changed since the statement was read
        return
    while True:
        moves = [
            ((cents[n][up] - row[up]) - (cents[n][down] - row[down]), -n, up, down)
            for up in range(len(off))
            for down in range(len(off))
            if off[up] > 0 > off[down]
            for n, row in enumerate(rounded)
            if cents[n][up] and cents[n][down]
        ]
        if not moves:
            return
        _, n, up, down = max(moves)
        for place, cent in ((up, 1), (down, -1)):
            rounded[-n][place] += cent
            off[place] -= cent


def _result(
    by: str,
    items: Sequence[StatementItem],
    used: Sequence[StatementItem],
    labels: Sequence[str],
    matrix: dict[date | None, list[int]],
) -> DailyCosts:
    without_day = sum(matrix.pop(None))
    columns = [(label, False) for label in labels] + [(None, True), (None, False)]
    kept = [n for n in range(len(columns)) if any(row[n] for row in matrix.values())]
    return DailyCosts(
        by=by,
        columns=tuple(CostColumn(columns[n][0], sum(row[n] for row in matrix.values()), columns[n][1]) for n in kept),
        days=tuple(CostDay(day, tuple(row[n] for n in kept)) for day, row in matrix.items() if day),
        outside=_outside(items, {item.id for item in used}, without_day),
    )


def _outside(items: Sequence[StatementItem], used: set[str], without_day: int) -> tuple[tuple[str, int], ...]:
    rows = {_OUTSIDE["usage"]: without_day} if without_day else {}
    for item in items:
        if item.id not in used:
            text = _WHOLE_INVOICE if item.kind in WHOLE_INVOICE_KINDS else _OUTSIDE.get(item.kind, "Other items")
            rows[text] = rows.get(text, 0) + item.amount_cents
    return tuple(rows.items())
