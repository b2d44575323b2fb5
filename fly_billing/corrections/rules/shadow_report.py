"""Shadow billing: compares a billed month with the same month under another price book.

Usage, subscriptions and terms are those of the real invoices; only the prices differ. Not here: reading both
(`shadow_billing`). Nothing is ever written: a shadow invoice is compared and discarded.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from fly_billing.errors import BillingError, not_computable
from fly_billing.invoicing.rules.assembly import Invoice
from fly_billing.invoicing.rules.inputs import UsageRollup
from fly_billing.money import exact_sum
from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.prices import Price, PriceBook

DAY = timedelta(days=1)
MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True)
class BilledTotal:
    """The total of a real invoice, and its amount per product, in cents."""

    organization_id: str
    organization_name: str
    currency: str
    total_cents: int
    product_cents: Mapping[str, int]


@dataclass(frozen=True)
class ShadowDifference:
    """One payer's month: the billed total and the shadow total.

    Attributes:
        recalculated_cents: The total under the payer's own prices, calculated now. If it is not the billed total, the
            invoice's inputs changed since, and that part of the difference does not come from the other book.
    """

    organization_id: str
    organization_name: str
    currency: str
    billed_cents: int
    shadow_cents: int
    recalculated_cents: int

    @property
    def cents(self) -> int:
        return self.shadow_cents - self.billed_cents

    @property
    def is_by_prices_alone(self) -> bool:
        return self.recalculated_cents == self.billed_cents


@dataclass(frozen=True)
class Unpriced:
    """A payer whose month can't be calculated under the other book, or not any more under its own.

    Attributes:
        reason: The error; it starts with `under its own prices` if the payer's own book fails.
    """

    organization_id: str
    organization_name: str
    currency: str
    billed_cents: int
    code: str
    reason: str


@dataclass(frozen=True)
class ProductDifference:
    """A product's billed total and shadow total, over all priced invoices of a currency."""

    product: str
    currency: str
    billed_cents: int
    shadow_cents: int

    @property
    def cents(self) -> int:
        return self.shadow_cents - self.billed_cents


@dataclass(frozen=True)
class CurrencyTotals:
    """The totals of all priced payers of one currency, and how many of them would pay more, less and the same."""

    currency: str
    pay_more: int
    pay_less: int
    pay_the_same: int
    billed_cents: int
    shadow_cents: int

    @property
    def cents(self) -> int:
        return self.shadow_cents - self.billed_cents


@dataclass(frozen=True)
class ShadowReport:
    """The comparison of a month. `differences` and `products` list the largest changes first, per currency."""

    month: BillingMonth
    book: str
    totals: Sequence[CurrencyTotals]
    differences: Sequence[ShadowDifference]
    products: Sequence[ProductDifference]
    unpriced: Sequence[Unpriced]

    def as_data(self) -> dict[str, Any]:
        """Return plain JSON-ready data; amounts are cents of their currency."""
        return {
            "month": str(self.month),
            "price_book": self.book,
            "totals": [{**vars(total), "difference_cents": total.cents} for total in self.totals],
            "organizations": [
                {
                    **vars(difference),
                    "difference_cents": difference.cents,
                    "is_by_prices_alone": difference.is_by_prices_alone,
                }
                for difference in self.differences
            ],
            "products": [{**vars(product), "difference_cents": product.cents} for product in self.products],
            "unpriced": [vars(payer) for payer in self.unpriced],
        }


def compare(
    month: BillingMonth,
    book: str,
    billed: Iterable[BilledTotal],
    recalculated: Mapping[str, Invoice | BillingError],
    shadow: Mapping[str, Invoice | BillingError],
) -> ShadowReport:
    """Compare billed totals with the month calculated now, under its own prices and under the other book's.

    Args:
        recalculated: By payer, the invoice under its own prices, or the error if it can't be calculated.
        shadow: By payer, the invoice under the other book's prices, or the error.
    """
    differences: list[ShadowDifference] = []
    unpriced: list[Unpriced] = []
    products: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for total in billed:
        name = total.organization_id
        fields = name, total.organization_name, total.currency, total.total_cents
        own, other = recalculated[name], shadow[name]
        if isinstance(other, BillingError):
            unpriced.append(Unpriced(*fields, other.code, other.operator_text))
        elif isinstance(own, BillingError):
            unpriced.append(Unpriced(*fields, own.code, f"under its own prices: {own.operator_text}"))
        else:
            differences.append(ShadowDifference(*fields, other.total_cents, own.total_cents))
            for product, cents in total.product_cents.items():
                products[total.currency, product][0] += cents
            for item in other.items:
                products[total.currency, item.product][1] += item.amount_cents
    return ShadowReport(
        month,
        book,
        totals=_totals(differences),
        differences=sorted(differences, key=lambda each: (each.currency, -abs(each.cents), each.organization_id)),
        products=sorted(
            (ProductDifference(product, currency, *cents) for (currency, product), cents in products.items()),
            key=lambda each: (each.currency, -abs(each.cents), each.product),
        ),
        unpriced=sorted(unpriced, key=lambda each: (each.currency, -abs(each.billed_cents), each.organization_id)),
    )


def _totals(differences: Sequence[ShadowDifference]) -> list[CurrencyTotals]:
    by_currency: dict[str, list[ShadowDifference]] = defaultdict(list)
    for difference in differences:
        by_currency[difference.currency].append(difference)
    return [
        CurrencyTotals(
            currency,
            pay_more=sum(1 for difference in group if difference.cents > 0),
            pay_less=sum(1 for difference in group if difference.cents < 0),
            pay_the_same=sum(1 for difference in group if difference.cents == 0),
            billed_cents=sum(difference.billed_cents for difference in group),
            shadow_cents=sum(difference.shadow_cents for difference in group),
        )
        for currency, group in sorted(by_currency.items())
    ]


class PriceChanges:
    """The times at which prices of a book change; splits rollups at these times.

    Rollups are already split where the real prices change. Another book may change a price inside a rollup. Then the
    quantities of each day show how much belongs to which price. A price may only change at midnight UTC.
    """

    def __init__(self, prices: Sequence[Price]) -> None:
        self._book = PriceBook(prices)
        self._moments: dict[str, dict[datetime, str]] = defaultdict(dict)
        for price in prices:
            for moment in filter(None, (price.effective_from, price.effective_until)):
                if price.meter is not None:
                    self._moments[price.meter][moment] = price.key

    def inside(self, rollup: UsageRollup) -> list[datetime]:
        """Return the times inside the rollup's segment at which the price of its usage changes, in order."""
        return [
            moment
            for moment in sorted(self._moments[rollup.meter])
            if rollup.segment_start < moment < rollup.segment_end
            and self._book.changes_inside(rollup.meter, rollup.dimensions, moment - MOMENT, moment + MOMENT)
        ]

    def split(self, rollup: UsageRollup, by_day: Sequence[Decimal] | None) -> list[UsageRollup]:
        """Split the rollup where the price changes. The parts add up to it; parts without usage are omitted.

        Args:
            by_day: The quantity of each UTC day of the month; None if it is not known.

        Raises:
            BillingError: `days_not_known` or `price_changes_inside_a_day`.
        """
        moments = self.inside(rollup)
        if not moments:
            return [rollup]
        days = self._days(rollup, moments, by_day)
        parts = [Decimal(0)] * (len(moments) + 1)
        first = BillingMonth.containing(rollup.segment_start).start
        for number, quantity in enumerate(days):
            place = bisect_right(moments, first + number * DAY)
            parts[place] = exact_sum([parts[place], quantity])
        starts, ends = [rollup.segment_start, *moments], [*moments, rollup.segment_end]
        return [
            replace(rollup, segment_start=start, segment_end=end, quantity=quantity)
            for start, end, quantity in zip(starts, ends, parts, strict=True)
            if quantity
        ]

    def _days(
        self, rollup: UsageRollup, moments: Sequence[datetime], by_day: Sequence[Decimal] | None
    ) -> Sequence[Decimal]:
        for moment in moments:
            if moment != moment.replace(hour=0, minute=0, second=0, microsecond=0):
                raise not_computable(
                    "price_changes_inside_a_day",
                    f"the price {self._moments[rollup.meter][moment]!r} changes at {moment:%Y-%m-%d %H:%M:%S}Z, but"
                    f" usage of {rollup.meter!r} is known per day only: change the price at midnight UTC",
                )
        if by_day is None or exact_sum(list(by_day)) != rollup.quantity:
            raise not_computable(
                "days_not_known",
                f"the price {self._moments[rollup.meter][moments[0]]!r} changes at {moments[0]:%Y-%m-%d}, but"
                f" the daily quantities of {rollup.meter!r} in that month were not stored. Choose a later month, or"
                " prices that do not change inside the month",
            )
        return by_day
