"""Revenue by the days of its service, worked by hand. September has 30 days, and 2026-09 to 2027-08 have 365."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.accounting.rules.recognition import (
    RevenueItem,
    deferrals,
    in_proportion,
    recognized_by_month,
    recognized_through,
    revenue_by_period,
)
from fly_billing.invoicing.rules.service_periods import ServicePeriod
from fly_billing.periods import BillingMonth
from tests.support.builders import OCTOBER, SEPTEMBER, at, id_of

YEAR = ServicePeriod(at("2026-09-01"), at("2027-09-01"))
AUTUMN = ServicePeriod(at("2026-09-01"), at("2026-12-01"))
IN_SEPTEMBER = ServicePeriod.of_month(SEPTEMBER)


def by_text(months: dict[BillingMonth, int]) -> dict[str, int]:
    return {str(month): cents for month, cents in months.items()}


def item(name: str, kind: str, amount: str, **fields: Any) -> RevenueItem:
    """Return an item of dollars; its cents are its amount."""
    detail = fields.pop("detail", {})
    return RevenueItem(id_of(name), kind, Decimal(amount), int(Decimal(amount) * 100), detail, **fields)


def year_fee(amount: str = "365", **fields: Any) -> RevenueItem:
    return item(
        "fee", "subscription", amount, period_start=YEAR.start, period_end=YEAR.end, interval_start=YEAR.start,
        interval_end=YEAR.end, **fields,
    )  # fmt: skip


def off(name: str, kind: str, **parts: str) -> RevenueItem:
    """Return an item that reduces others by these amounts."""
    total = sum((Decimal(part) for part in parts.values()), Decimal(0))
    applied = [{"item": str(id_of(other)), "amount": part} for other, part in parts.items()]
    return item(name, kind, str(-total), detail={"applied_to": applied})


def test_a_year_of_365_dollars_is_a_dollar_a_day() -> None:
    assert by_text(recognized_by_month(36500, YEAR, SEPTEMBER)) == {
        "2026-09": 3000, "2026-10": 3100, "2026-11": 3000, "2026-12": 3100, "2027-01": 3100, "2027-02": 2800,
        "2027-03": 3100, "2027-04": 3000, "2027-05": 3100, "2027-06": 3000, "2027-07": 3100, "2027-08": 3100,
    }  # fmt: skip


def test_what_is_recognized_so_far_is_rounded_and_a_month_is_the_difference() -> None:
    """10.00 over 91 days: 30/91 are 3.2967, so 3.30; 61/91 are 6.7033, so 6.70, and October has 3.40."""
    assert by_text(recognized_by_month(1000, AUTUMN, SEPTEMBER)) == {"2026-09": 330, "2026-10": 340, "2026-11": 330}


def test_a_cent_is_recognized_once() -> None:
    """After 30 of 91 days, a third of a cent rounds to 0; after 61, two thirds round to 1."""
    assert by_text(recognized_by_month(1, AUTUMN, SEPTEMBER)) == {"2026-10": 1}


def test_halves_are_rounded_away_from_zero_so_that_a_void_invoice_cancels() -> None:
    two_days = ServicePeriod(at("2026-09-30"), at("2026-10-02"))
    assert recognized_through(1, two_days, OCTOBER.first_day) == 1
    assert recognized_through(-1, two_days, OCTOBER.first_day) == -1


def test_a_fee_paid_in_advance_is_recognized_in_its_own_month() -> None:
    october = ServicePeriod.of_month(OCTOBER)
    assert by_text(recognized_by_month(2900, october, SEPTEMBER)) == {"2026-10": 2900}
    assert by_text(deferrals({october: 2900}, SEPTEMBER)) == {"2026-09": -2900, "2026-10": 2900}


def test_what_was_supplied_earlier_is_recognized_in_the_accounting_month() -> None:
    """Posted in November: it has 61 + 30 of the 91 days."""
    assert by_text(recognized_by_month(1000, AUTUMN, BillingMonth(2026, 11))) == {"2026-11": 1000}
    assert by_text(recognized_by_month(1000, AUTUMN, OCTOBER)) == {"2026-10": 670, "2026-11": 330}


def test_only_what_is_left_of_the_month_is_deferred() -> None:
    """Of 365.00 a year and 10.00 of usage, 40.00 is September's."""
    moved = deferrals({YEAR: 36500, IN_SEPTEMBER: 1000}, SEPTEMBER)
    assert moved[SEPTEMBER] == -33500
    assert sum(moved.values()) == 0


def test_a_void_invoice_takes_back_what_was_recognized_and_what_was_deferred() -> None:
    """Voided in November: 91 of 365 dollars were recognized and are taken back; nothing is left for December."""
    charged = deferrals({YEAR: 36500}, SEPTEMBER)
    voided = deferrals({YEAR: -36500}, BillingMonth(2026, 11))
    assert charged[BillingMonth(2026, 11)] == 3000
    assert voided[BillingMonth(2026, 11)] == 36500 - 9100
    assert [charged.get(month, 0) + voided[month] for month in voided if month > BillingMonth(2026, 11)] == [0] * 9


def test_an_invoice_is_split_by_service_period() -> None:
    revenue = revenue_by_period([year_fee(), item("usage", "usage", "10")], SEPTEMBER, "USD")
    assert revenue == {YEAR: 36500, IN_SEPTEMBER: 1000}


def test_discounts_and_promotions_follow_the_items_that_they_reduce() -> None:
    """10 % off takes 36.50 off the fee and 1.00 off the usage; a promotion pays 5.00 of the usage."""
    items = [
        year_fee(), item("usage", "usage", "10"), off("coupon", "discount", fee="36.50", usage="1.00"),
        off("welcome", "credit", usage="5"),
    ]  # fmt: skip
    assert revenue_by_period(items, SEPTEMBER, "USD") == {YEAR: 32850, IN_SEPTEMBER: 400}


def test_a_discount_of_an_odd_cent_is_shared_out_to_the_cent() -> None:
    """0.01 off is 0.005 off each of two items: the first one in the list gets the cent."""
    coupon = RevenueItem(
        id_of("coupon"), "discount", Decimal("-0.01"), -1,
        {"applied_to": [{"item": str(id_of(name)), "amount": "0.005"} for name in ("fee", "usage")]},
    )  # fmt: skip
    revenue = revenue_by_period([year_fee(), item("usage", "usage", "10"), coupon], SEPTEMBER, "USD")
    assert sum(revenue.values()) == 36500 + 1000 - 1
    assert sorted(revenue.values()) in ([1000, 36499], [999, 36500])


def test_taxes_and_the_customers_own_credit_are_no_revenue() -> None:
    deposit = replace(off("deposit", "credit", usage="50"), is_payment=True)
    items = [item("usage", "usage", "100"), item("vat", "tax", "20"), deposit]
    assert revenue_by_period(items, SEPTEMBER, "USD") == {IN_SEPTEMBER: 10000}


def test_a_tax_contained_in_prices_reduces_each_period_in_proportion() -> None:
    """119.00 of a year and 11.90 of usage contain 19.00 and 1.90."""
    items = [year_fee("119"), item("usage", "usage", "11.90")]
    assert revenue_by_period(items, SEPTEMBER, "EUR", 2090) == {YEAR: 10000, IN_SEPTEMBER: 1000}


def test_a_refunded_fee_is_given_back_for_its_unused_rest() -> None:
    """Cancelled on 1 December after 91 days: 274 days come back, from December on."""
    refund = item(
        "refund", "subscription", "-274", period_start=YEAR.start, period_end=AUTUMN.end, interval_start=YEAR.start,
        interval_end=YEAR.end,
    )  # fmt: skip
    november = BillingMonth(2026, 11)
    revenue = revenue_by_period([refund], november, "USD")
    assert revenue == {ServicePeriod(AUTUMN.end, YEAR.end): -27400}
    moved, charged = deferrals(revenue, november), deferrals({YEAR: 36500}, SEPTEMBER)
    assert moved[november] == 27400  # deferred revenue falls by it, and November's revenue stays
    assert {charged[month] + cents for month, cents in moved.items() if month > november} == {0}


def test_a_contained_tax_of_an_invoice_without_revenue_is_that_of_its_month() -> None:
    assert revenue_by_period([item("usage", "usage", "0")], SEPTEMBER, "EUR", 1) == {IN_SEPTEMBER: -1}


@pytest.mark.parametrize(("cents", "weights", "parts"), [(10, [1, 1, 1], [4, 3, 3]), (-10, [1, 2], [-3, -7])])
def test_cents_are_shared_out_in_proportion(cents: int, weights: list[int], parts: list[int]) -> None:
    assert in_proportion(cents, weights) == parts


MONTHS = st.builds(BillingMonth, st.integers(2023, 2030), st.integers(1, 12))
PERIODS = st.builds(
    lambda start, days: ServicePeriod(start, start + days),
    st.datetimes(at("2023-01-01").replace(tzinfo=None), at("2030-01-01").replace(tzinfo=None)).map(
        lambda moment: at(moment.isoformat())
    ),
    st.timedeltas(min_value=timedelta(microseconds=1), max_value=at("2028-01-01") - at("2025-01-01")),
)
CENTS = st.integers(-(10**12), 10**12)


@given(CENTS, PERIODS, MONTHS)
def test_the_months_of_an_amount_add_up_to_it(cents: int, period: ServicePeriod, posted: BillingMonth) -> None:
    months = recognized_by_month(cents, period, posted)
    assert sum(months.values()) == cents
    assert all(month >= posted and part * cents > 0 for month, part in months.items())


@given(st.dictionaries(PERIODS, CENTS, max_size=4), MONTHS, MONTHS)
def test_recognized_and_deferred_are_what_was_billed_at_the_end_of_every_month(
    revenue: dict[ServicePeriod, int], posted: BillingMonth, voided: BillingMonth
) -> None:
    charged, taken_back = (
        deferrals(revenue, posted),
        deferrals({period: -cents for period, cents in revenue.items()}, max(posted, voided)),
    )
    billed = sum(revenue.values())
    assert sum(charged.values()) == sum(taken_back.values()) == 0
    for month in {*charged, *taken_back, posted}:
        so_far = sum(part for at_month, part in charged.items() if at_month <= month)
        later = sum(part for at_month, part in charged.items() if at_month > month)
        assert billed + so_far + later == billed
        spread = sum(recognized_through(cents, period, month.next().first_day) for period, cents in revenue.items())
        assert month < posted or billed + so_far == spread
        if month >= max(posted, voided):  # nothing is left of a void invoice
            assert so_far + sum(part for at_month, part in taken_back.items() if at_month <= month) == 0


@given(st.integers(-(10**9), 10**9), st.lists(st.integers(-(10**9), 10**9), min_size=1).filter(sum))
def test_shares_add_up(cents: int, weights: list[int]) -> None:
    assert sum(in_proportion(cents, weights)) == cents
