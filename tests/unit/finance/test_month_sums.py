"""Sums of a month that differ are named with both amounts."""

from dataclasses import replace

from fly_billing.finance.rules.month_sums import MonthSums, untied
from tests.support.builders import SEPTEMBER

# 100.00 of revenue and 19.00 of tax, of which 50.00 were paid from a deposit: 69.00.
TIED = MonthSums("EUR", 1, 6900, 10000, 1900, -5000, by_product_cents=10000, by_rate_cents=1900, due_cents=6900)


def differences(*sums: MonthSums) -> list[tuple[str, str, str, str]]:
    return [(row["currency"], row["what"], row["is"], row["should be"]) for row in untied(SEPTEMBER, sums)]


def test_revenue_tax_and_prepaid_credit_add_up_to_the_total() -> None:
    assert differences(TIED) == []
    assert differences(replace(TIED, total_cents=6901)) == [
        ("EUR", "revenue + tax + prepaid credit", "EUR 69.00", "EUR 69.01")
    ]


def test_revenue_by_product_and_tax_by_rate_are_compared_too() -> None:
    yen = replace(TIED, currency="JPY", by_product_cents=9999, by_rate_cents=1901)
    assert differences(TIED, yen) == [
        ("JPY", "revenue by product", "JPY 9,999", "JPY 10,000"),
        ("JPY", "tax by rate", "JPY 1,901", "JPY 1,900"),
    ]
