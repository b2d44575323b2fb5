"""An open month is compared with the same days of the month before, and nothing is guessed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from fly_billing.periods import BillingMonth
from fly_billing.statements.rules.same_days import (
    ItemUntilDay,
    compare_days,
    days_to_compare,
    is_priced_by_unit,
    items_until,
)
from fly_billing.statements.rules.spend import Change, SpendItem

OCTOBER, NOVEMBER = BillingMonth(2026, 10), BillingMonth(2026, 11)


def item(
    amount: str,
    used: str = "0",
    until: str = "0",
    begins: str | None = None,
    product: str = "Machines",
    by_unit: bool = True,
) -> ItemUntilDay:
    at = datetime.fromisoformat(begins).replace(tzinfo=UTC) if begins else None
    return ItemUntilDay(
        product, Decimal(amount), at, Decimal(used), Decimal(until), has_unknown_days=False, is_by_unit=by_unit
    )


@pytest.mark.parametrize(
    ("month", "complete_until", "days"),
    [
        (NOVEMBER, date(2026, 11, 29), 29),
        (NOVEMBER, date(2026, 10, 31), 0),
        (NOVEMBER, date(2026, 11, 30), 30),
        (NOVEMBER, date(2026, 12, 2), 30),
        (BillingMonth(2026, 3), date(2026, 3, 30), 28),  # February has 28 days
    ],
)
def test_complete_days_that_both_months_have_are_compared(month: BillingMonth, complete_until: date, days: int) -> None:
    assert days_to_compare(month, complete_until) == days


def test_usage_counts_by_its_days_and_a_fee_in_full_from_its_day_on() -> None:
    """October: 31.00 for 310 hours, 290 of them until the 29th, and 10.00 once on the 30th. November: 29.00."""
    before = [
        item("31.00", "310", "290"),
        item("5.00", begins="2026-10-01", product="Support"),
        item("10.00", begins="2026-10-30", product="Setup"),
        item("4.00", begins="2026-11-01", product="In advance"),
    ]
    now = [item("30.00", "300", "290"), item("5.00", begins="2026-11-01", product="Support")]
    compared = compare_days(now, before, 29, NOVEMBER, "USD")
    assert compared is not None
    assert compared.by_product == (
        Change("In advance", 400, 0, -400),
        Change("Machines", 2900, 2900, 0),
        Change("Support", 500, 500, 0),
    )
    assert (compared.title("2026-10"), compared.title("2026-11")) == ("1 to 29 Oct", "1 to 29 Nov")
    assert compared.total == Change(None, 3800, 3400, -400)


def test_a_product_whose_price_depends_on_the_whole_month_is_left_out_of_both() -> None:
    """100 of October's 300 GB were free. Of its first 4 days, 40 GB, it can't be said which cost something."""
    before = [item("4.00", "300", "40", product="Egress", by_unit=False), item("3.00", "30", "4")]
    now = [item("0.00", "40", "40", product="Egress", by_unit=False), item("5.00", "50", "40")]
    compared = compare_days(now, before, 4, NOVEMBER, "USD")
    assert compared is not None
    assert compared.by_product == (Change("Machines", 40, 400, 360),)
    assert (compared.total, compared.left_out) == (Change(None, 40, 400, 360), ("Egress",))


ALL = {"label": "all"}


@pytest.mark.parametrize(
    ("kind", "detail", "expected"),
    [
        ("usage", {"steps": [ALL]}, True),
        ("usage", {"steps": [{"label": "percent of all"}]}, True),
        ("usage", {"steps": [{"label": "percent of all"}, {"label": "flat fee"}]}, False),
        ("usage", {"steps": [{"label": "0 to 10"}]}, False),
        ("usage", {"steps": [{"label": "packages of 1,000"}]}, False),
        ("usage", {"steps": [{"label": "flat"}]}, False),
        ("usage", {"steps": []}, False),
        ("usage", {"steps": [ALL], "free_allowance_used": "100"}, False),
        ("usage", {"steps": [ALL], "transformed": {"round": "up"}}, False),
        ("usage", {"steps": [{"label": ["all"]}]}, False),
        ("usage", {"steps": 7}, False),
        ("usage", 7, False),
        ("usage", None, False),
        ("subscription", {"steps": []}, True),
        ("one_off", {}, True),
    ],
)
def test_only_usage_of_which_every_unit_costs_the_same_is_split_by_days(kind: str, detail: Any, expected: bool) -> None:
    assert is_priced_by_unit(kind, detail) is expected


def test_usage_without_days_in_either_month_gives_no_comparison() -> None:
    unknown = ItemUntilDay("Machines", Decimal("1.00"), None, Decimal(0), Decimal(0), has_unknown_days=True)
    assert compare_days([item("1.00")], [unknown], 3, NOVEMBER, "USD") is None
    assert compare_days([unknown], [item("1.00")], 3, NOVEMBER, "USD") is None


def test_items_of_the_whole_invoice_and_later_days_are_left_out() -> None:
    used = SpendItem(
        "usage", "Machines", "acme", Decimal("9.00"), 900,
        daily={date(2026, 11, 2): Decimal(1), date(2026, 11, 5): Decimal(2)},
    )  # fmt: skip
    tax = SpendItem("tax", "VAT", "acme", Decimal("1.71"), 171)
    (found,) = items_until([used, tax], 4)
    assert (found.product, found.used, found.used_until) == ("Machines", Decimal(3), Decimal(1))
    assert found.amount_until(4, NOVEMBER) == Decimal("3.00")


def test_a_single_day_has_a_title_of_its_own() -> None:
    compared = compare_days([item("1.00")], [item("1.00")], 1, NOVEMBER, "USD")
    assert compared is not None and compared.title("2026-11") == "1 Nov"
