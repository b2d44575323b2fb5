"""Shadow billing: what a billed month would have come to under another price book, beside what it did come to.

Usage, subscriptions and terms are those that the real invoices billed; only the prices differ. Keeps out: where both
come from, and every write: a shadow invoice is compared and forgotten.
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
    """A real invoice: who was billed how much, and for which products, in cents."""

    organization_id: str
    organization_name: str
    currency: str
    total_cents: int
    product_cents: Mapping[str, int]


@dataclass(frozen=True)
class ShadowDifference:
    """One payer's month: what was billed, and what it comes to in the shadow.

    `again_cents` is what its own prices come to today. Where that is not what was billed, something that the invoice is
    made of was changed since, and so much of the difference is not the other book's.
    """

    organization_id: str
    organization_name: str
    currency: str
    billed_cents: int
    shadow_cents: int
    again_cents: int

    @property
    def cents(self) -> int:
        return self.shadow_cents - self.billed_cents

    @property
    def is_by_prices_alone(self) -> bool:
        return self.again_cents == self.billed_cents


@dataclass(frozen=True)
class Unpriced:
    """A payer whose month can't be worked out under the other book, or under its own any more; `reason` says which."""

    organization_id: str
    organization_name: str
    currency: str
    billed_cents: int
    code: str
    reason: str


@dataclass(frozen=True)
class ProductDifference:
    """What a product came to on all invoices of a currency that were priced, billed and in the shadow."""

    product: str
    currency: str
    billed_cents: int
    shadow_cents: int

    @property
    def cents(self) -> int:
        return self.shadow_cents - self.billed_cents


@dataclass(frozen=True)
class CurrencyTotals:
    """All priced payers of one currency: how many would pay more, less and the same, and what they come to."""

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
    """The comparison of a month. `differences` and `products` have the biggest first, whichever way, by currency."""

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
            "totals": [{**vars(one), "difference_cents": one.cents} for one in self.totals],
            "organizations": [
                {**vars(one), "difference_cents": one.cents, "is_by_prices_alone": one.is_by_prices_alone}
                for one in self.differences
            ],
            "products": [{**vars(one), "difference_cents": one.cents} for one in self.products],
            "unpriced": [vars(one) for one in self.unpriced],
        }


def compare(
    month: BillingMonth,
    book: str,
    billed: Iterable[BilledTotal],
    again: Mapping[str, Invoice | BillingError],
    shadow: Mapping[str, Invoice | BillingError],
) -> ShadowReport:
    """Compare what was billed with the same months made again, under their own prices and (`shadow`) the other book's.

    Both by organization; an error says why an invoice can't be made.
    """
    differences: list[ShadowDifference] = []
    unpriced: list[Unpriced] = []
    products: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for one in billed:
        who = one.organization_id, one.organization_name, one.currency, one.total_cents
        own, other = again[one.organization_id], shadow[one.organization_id]
        if isinstance(other, BillingError):
            unpriced.append(Unpriced(*who, other.code, other.operator_text))
        elif isinstance(own, BillingError):
            unpriced.append(Unpriced(*who, own.code, f"under its own prices: {own.operator_text}"))
        else:
            differences.append(ShadowDifference(*who, other.total_cents, own.total_cents))
            for product, cents in one.product_cents.items():
                products[one.currency, product][0] += cents
            for item in other.items:
                products[one.currency, item.product][1] += item.amount_cents
    return ShadowReport(
        month,
        book,
        totals=_totals(differences),
        differences=sorted(differences, key=lambda one: (one.currency, -abs(one.cents), one.organization_id)),
        products=sorted(
            (ProductDifference(product, currency, *cents) for (currency, product), cents in products.items()),
            key=lambda one: (one.currency, -abs(one.cents), one.product),
        ),
        unpriced=sorted(unpriced, key=lambda one: (one.currency, -abs(one.billed_cents), one.organization_id)),
    )


def _totals(differences: Sequence[ShadowDifference]) -> list[CurrencyTotals]:
    return [
        CurrencyTotals(
            currency,
            pay_more=sum(1 for one in found if one.cents > 0),
            pay_less=sum(1 for one in found if one.cents < 0),
            pay_the_same=sum(1 for one in found if one.cents == 0),
            billed_cents=sum(one.billed_cents for one in found),
            shadow_cents=sum(one.shadow_cents for one in found),
        )
        for currency in sorted({one.currency for one in differences})
        if (found := [one for one in differences if one.currency == currency])
    ]


class PriceChanges:
    """Where the prices of a book change, and a rollup apart at those moments.

    Usage was rolled up apart at the changes of the real prices. Another book may change prices inside such a stretch:
    then what was used day by day says how much belongs to which price. A price that changes inside a day can't be told.
    """

    def __init__(self, prices: Sequence[Price]) -> None:
        self._book = PriceBook(prices)
        self._moments: dict[str, dict[datetime, str]] = defaultdict(dict)
        for price in prices:
            for moment in filter(None, (price.effective_from, price.effective_until)):
                if price.meter is not None:
                    self._moments[price.meter][moment] = price.key

    def inside(self, rollup: UsageRollup) -> list[datetime]:
        """Return the moments inside the rollup's stretch at which the price of this usage changes, in order."""
        return [
            moment
            for moment in sorted(self._moments[rollup.meter])
            if rollup.segment_start < moment < rollup.segment_end
            and self._book.changes_inside(rollup.meter, rollup.dimensions, moment - MOMENT, moment + MOMENT)
        ]

    def split(self, rollup: UsageRollup, by_day: Sequence[Decimal] | None) -> list[UsageRollup]:
        """Take the rollup apart; `by_day` has what each UTC day of its month added, None where that is not known.

        The parts add up to it; one without usage is left out. Raises BillingError (`days_not_known`,
        `price_changes_inside_a_day`).
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
                    f"the price {self._moments[rollup.meter][moment]!r} changes at {moment:%Y-%m-%d %H:%M:%S}Z, and"
                    f" usage of {rollup.meter!r} is known by day: let it change at midnight UTC for shadow billing",
                )
        if by_day is None or exact_sum(list(by_day)) != rollup.quantity:
            raise not_computable(
                "days_not_known",
                f"the price {self._moments[rollup.meter][moments[0]]!r} changes at {moments[0]:%Y-%m-%d}, and of the"
                f" billed usage of {rollup.meter!r} it is not known what was used on which day: it was rolled up before"
                " that was kept. Choose a later month, or prices that do not change inside it",
            )
        return by_day
