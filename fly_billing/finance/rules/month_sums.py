"""The sums of a month that must tie, as pure data, and the differences between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fly_billing.money import format_cents
from fly_billing.periods import BillingMonth


@dataclass(frozen=True)
class MonthSums:
    """A month's final invoices in one currency, added up in several ways, in cents.

    Attributes:
        invoices: The number of invoices.
        total_cents: The sum of the invoices' totals, from the invoices themselves.
        revenue_cents, tax_cents, prepaid_cents: The parts of the totals, from `finance_months`.
        by_product_cents: The sum of `finance_revenue`.
        by_rate_cents: The sum of `finance_taxes`.
        due_cents: The part that is not paid now: the sum of `finance_receivables`.
    """

    currency: str
    invoices: int
    total_cents: int
    revenue_cents: int
    tax_cents: int
    prepaid_cents: int
    by_product_cents: int
    by_rate_cents: int
    due_cents: int

    @property
    def parts_cents(self) -> int:
        return self.revenue_cents + self.tax_cents + self.prepaid_cents


def untied(month: BillingMonth, sums: Iterable[MonthSums]) -> list[dict[str, str]]:
    """Return a row for each pair of sums that should be equal and are not."""
    return [
        {
            "month": str(month),
            "currency": total.currency,
            "what": what,
            "is": format_cents(found, total.currency),
            "should be": format_cents(expected, total.currency),
            "what to do": "the records of a final invoice were changed: restore them from a backup",
        }
        for total in sums
        for what, found, expected in (
            ("revenue + tax + prepaid credit", total.parts_cents, total.total_cents),
            ("revenue by product", total.by_product_cents, total.revenue_cents),
            ("tax by rate", total.by_rate_cents, total.tax_cents),
        )
        if found != expected
    ]
