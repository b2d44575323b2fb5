"""Quarterly, half-yearly and yearly fees, and free trials: each interval's share on each invoice.

In 2026 the quarter from April to June has 91 days, that from July to September 92, the first half-year 181, the year
365. A quarter costs 910.00 (10.00 a day of April to June), a half-year 1,810.00, a year 3,650.00, a month 30.00.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fly_billing.corrections.rules.differences import charges_of, differences, recalculate
from fly_billing.errors import BillingError
from fly_billing.invoicing.rules.assembly import assemble_invoice
from fly_billing.invoicing.rules.inputs import CreditGrant, FeeCharged, InvoiceInputs, Member, Subscription, UsageRollup
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.periods import BillingMonth, months_between
from fly_billing.pricing.rules.intervals import fee_periods
from fly_billing.pricing.rules.models import Flat, PerUnit
from fly_billing.pricing.rules.prices import Price, PriceBook
from fly_billing.pricing.rules.tax_rates import TaxRate
from fly_billing.statements.rules.explanation import explain_item
from fly_billing.statements.rules.rounding import explain_rounding
from tests.support.builders import REQUESTS, at, fee_charged, id_of, price
from tests.support.fee_ledger import FeeLedger
from tests.unit.invoicing.steps.invoices_in_progress import amount_off, credit, minimum, percent_off

QUARTER = price("quarter", "910", interval="quarter")
HALF_YEAR = price("half-year", "1810", interval="half-year")
YEAR = price("year", "3650", interval="year")
MONTH = price("month", "30")
PRICES = tuple(
    replace(fee_price, effective_from=at("2020-01-01")) for fee_price in (QUARTER, HALF_YEAR, YEAR, MONTH, REQUESTS)
)
OF_KEY = {fee_price.key: fee_price for fee_price in PRICES}


def month(text: str) -> BillingMonth:
    return BillingMonth.parse(text)


def subscription(key: str, started: str, ended: str | None = None, **terms: Any) -> Subscription:
    return Subscription(id_of(f"{key} {started}"), key, at(started), at(ended) if ended else None, **terms)


def in_advance(key: str, started: str, ended: str | None = None, **terms: Any) -> Subscription:
    return subscription(key, started, ended, billed="in_advance", **terms)


def billed(first: str, last: str, *subscriptions: Subscription, prices: Sequence[Price] = PRICES) -> dict[str, Any]:
    """Return the fees on each month's invoice, by month; check that each item's explanation agrees."""
    ledger = FeeLedger(prices)
    found = {}
    for period in months_between(month(first), month(last)):
        fees = ledger.bill(period, *subscriptions)
        if fees:
            found[str(period)] = [Decimal(fee) for fee in fees] if len(fees) > 1 else fees[0]
        are_explained(ledger, period, prices)
    return found


def are_explained(ledger: FeeLedger, period: BillingMonth, prices: Sequence[Price]) -> None:
    items = ledger.invoices[period].items
    rounded = explain_rounding(items, "USD")
    for item in items:
        if item.kind == "subscription":
            held = next(version for version in prices if version.id == item.price_id)
            assert explain_item(item, rounded[item.id], "USD", price=held).problems == ()


def items_of(ledger: FeeLedger, name: str) -> list[InvoiceItem]:
    return [item for item in ledger.invoices[month(name)].items if item.kind == "subscription"]


# --- In advance: on the last invoice before the interval begins, in nothing afterwards ------------------------------


@pytest.mark.parametrize(
    ("key", "started", "months", "expected"),
    [
        ("month", "2026-04-01", ("2026-03", "2026-05"), {"2026-03": 30, "2026-04": 30, "2026-05": 30}),
        ("quarter", "2026-04-01", ("2026-02", "2026-08"), {"2026-03": 910, "2026-06": 910}),
        ("half-year", "2026-01-01", ("2025-11", "2026-11"), {"2025-12": 1810, "2026-06": 1810}),
        ("year", "2026-01-01", ("2025-11", "2026-11"), {"2025-12": 3650}),
        # It begins inside an interval: its own month's invoice charges it if the invoice before did not know of it.
        ("quarter", "2026-05-30", ("2026-05", "2026-08"), {"2026-05": 320, "2026-06": 910}),
        ("quarter", "2026-05-30", ("2026-04", "2026-08"), {"2026-04": 320, "2026-06": 910}),
        ("quarter", "2026-05-01", ("2026-03", "2026-05"), {"2026-04": 610}),
        ("half-year", "2026-06-01", ("2026-06", "2026-11"), {"2026-06": [300, 1810]}),
        ("year", "2026-12-01", ("2026-12", "2027-10"), {"2026-12": [310, 3650]}),
    ],
)
def test_a_fee_in_advance_is_on_the_invoice_before_its_interval(
    key: str, started: str, months: tuple[str, str], expected: dict[str, Any]
) -> None:
    assert billed(*months, in_advance(key, started)) == expected


@pytest.mark.parametrize(
    ("key", "started", "months", "expected"),
    [
        ("month", "2026-04-01", ("2026-03", "2026-05"), {"2026-04": 30, "2026-05": 30}),
        ("quarter", "2026-04-01", ("2026-03", "2026-09"), {"2026-06": 910, "2026-09": 910}),
        ("half-year", "2026-01-01", ("2026-01", "2026-12"), {"2026-06": 1810, "2026-12": 1810}),
        ("year", "2026-01-01", ("2026-01", "2026-12"), {"2026-12": 3650}),
        ("quarter", "2026-05-30", ("2026-05", "2026-08"), {"2026-06": 320}),
        ("half-year", "2026-06-01", ("2026-01", "2026-08"), {"2026-06": 300}),
        ("year", "2026-12-01", ("2026-11", "2027-01"), {"2026-12": 310}),
        ("quarter", "2026-07-01", ("2026-06", "2026-08"), {}),
    ],
)
def test_a_fee_in_arrears_is_on_the_invoice_of_the_month_in_which_its_interval_ends(
    key: str, started: str, months: tuple[str, str], expected: dict[str, Any]
) -> None:
    assert billed(*months, subscription(key, started)) == expected


def test_a_line_names_the_time_that_it_covers() -> None:
    """32 of 91 days of 910.00."""
    ledger = FeeLedger(PRICES)
    ledger.bill(month("2026-05"), in_advance("quarter", "2026-05-30"))
    (item,) = items_of(ledger, "2026-05")
    assert item.description == "quarter as used, 2026-05-30 to 2026-07-01 in advance"
    assert (item.period_start, item.period_end) == (at("2026-05-30"), at("2026-07-01"))
    assert (item.interval_start, item.interval_end) == (at("2026-04-01"), at("2026-07-01"))
    assert item.detail["steps"] == [
        {
            "label": "share of the quarter", "quantity": "2764800", "unit_amount": "910", "per": "7862400",
            "amount": "320",
        }
    ]  # fmt: skip
    explained = explain_item(item, explain_rounding([item], "USD")[item.id], "USD", price=OF_KEY["quarter"])
    assert ("Period", "2026-05-30 to 2026-07-01") in explained.facts
    assert ("Interval", "quarter 2026-04-01 to 2026-07-01: 32 of 91 days") in explained.facts


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (subscription("quarter", "2026-01-01"), "quarter as used, 2026-04-01 to 2026-07-01"),
        (subscription("month", "2026-01-01"), "month as used"),
        (subscription("month", "2026-05-16T12:00:00", anchor="start"),
         "month as used, 2026-05-16 12:00:00 to 2026-06-16 12:00:00"),
        (in_advance("half-year", "2026-06-15"), "half-year as used, 2026-06-15 to 2026-07-01"),
    ],
)  # fmt: skip
def test_a_line_for_another_time_than_the_month_names_it(plan: Subscription, text: str) -> None:
    ledger = FeeLedger(PRICES)
    ledger.bill(month("2026-06"), plan)
    assert items_of(ledger, "2026-06")[0].description == text


@pytest.mark.parametrize(
    ("proration", "quantity", "unit", "amount"),
    [("second", 2_721_600, "second", "315"), ("day", 32, "day", "320"), ("none", 1, "quarter", "910")],
)
def test_a_part_of_a_quarter_is_charged_by_its_proration(proration: str, quantity: int, unit: str, amount: str) -> None:
    """From noon on 30 May: 31 1/2 days, or 32 that begin, or all of it."""
    ledger = FeeLedger(PRICES)
    ledger.bill(month("2026-06"), subscription("quarter", "2026-05-30T12:00:00", proration=proration))
    are_explained(ledger, month("2026-06"), PRICES)
    (item,) = items_of(ledger, "2026-06")
    assert (item.quantity, item.unit, item.amount) == (Decimal(quantity), unit, Decimal(amount))


def test_an_explanation_warns_about_a_wrong_interval_or_share() -> None:
    ledger = FeeLedger(PRICES)
    ledger.bill(month("2026-06"), subscription("quarter", "2026-05-30", proration="day"))
    (item,) = items_of(ledger, "2026-06")
    rounding = explain_rounding([item], "USD")[item.id]
    longer = replace(item, period_start=at("2026-05-29"))
    assert explain_item(longer, rounding, "USD", price=OF_KEY["quarter"]).problems == (
        "Share: 2026-05-29 to 2026-07-01 is 33 of 91 days, not 32 of 91",
    )
    half = replace(item, interval_start=at("2026-01-01"))
    assert explain_item(half, rounding, "USD", price=OF_KEY["quarter"]).problems == (
        "Interval: 2026-01-01 to 2026-07-01 is not a quarter",
        "Share: 2026-05-30 to 2026-07-01 is 32 of 181 days, not 32 of 91",
    )


# --- Cancellations, changes and new starts -------------------------------------------------------------------------


def cancelled(plan: Subscription, ended: str, in_month: str) -> Callable[[BillingMonth], Subscription]:
    """Return a subscription whose end is known from the invoice of this month on."""
    return lambda billing: replace(plan, ended_at=at(ended)) if billing >= month(in_month) else plan


def bill_months(first: str, last: str, *known: Callable[[BillingMonth], Subscription], **of: Any) -> FeeLedger:
    ledger = FeeLedger(PRICES, **of)
    for period in months_between(month(first), month(last)):
        ledger.bill(period, *(holding(period) for holding in known))
        are_explained(ledger, period, PRICES)
    return ledger


def fees(ledger: FeeLedger) -> dict[str, list[Decimal]]:
    return {str(period): ledger.fees(period) for period in ledger.invoices if ledger.fees(period)}


@pytest.mark.parametrize(
    ("ended", "known_in", "expected"),
    [
        ("2026-05-10", "2026-05", {"2026-03": [910], "2026-05": [-520]}),  # 39 days were used
        ("2026-05-10", "2026-06", {"2026-03": [910], "2026-06": [-520]}),  # May's invoice did not know yet
        ("2026-05-10", "2026-04", {"2026-03": [910], "2026-04": [-520]}),  # notice was given before
        ("2026-04-01", "2026-04", {"2026-03": [910], "2026-04": [-910]}),  # it never began
        ("2026-04-02", "2026-04", {"2026-03": [910], "2026-04": [-900]}),
        ("2026-06-30", "2026-06", {"2026-03": [910], "2026-06": [-10]}),
        ("2026-07-01", "2026-06", {"2026-03": [910]}),  # used to its end: no refund and no new charge
        ("2026-07-02", "2026-07", {"2026-03": [910], "2026-06": [910], "2026-07": [Decimal(910) / 92 - 910]}),
    ],
)
def test_a_quarter_in_advance_refunds_the_unused_time_once_its_end_is_known(
    ended: str, known_in: str, expected: dict[str, list[Decimal]]
) -> None:
    found = fees(bill_months("2026-03", "2026-07", cancelled(in_advance("quarter", "2026-04-01"), ended, known_in)))
    assert found.keys() == expected.keys()
    for period, amounts in expected.items():
        assert [abs(a - b) < Decimal("1e-18") for a, b in zip(found[period], amounts, strict=True)] == [True]


def test_a_notice_for_next_month_refunds_a_part_and_charges_nothing_in_advance() -> None:
    ledger = bill_months("2026-03", "2026-04", cancelled(in_advance("quarter", "2026-04-01"), "2026-05-10", "2026-04"))
    assert [item.description for item in ledger.all_fees()] == [
        "quarter as used, 2026-04-01 to 2026-07-01 in advance",
        "quarter as used, 2026-04-01 to 2026-05-10",
    ]


@pytest.mark.parametrize(
    ("ended", "known_in", "expected"),
    [
        ("2026-05-10", "2026-05", {"2026-05": [390]}),
        ("2026-05-10", "2026-06", {"2026-06": [390]}),
        ("2026-06-30", "2026-06", {"2026-06": [900]}),
        ("2026-07-01", "2026-06", {"2026-06": [910]}),
        ("2026-04-01", "2026-04", {}),
        ("2026-04-02", "2026-04", {"2026-04": [10]}),
        ("2026-05-01", "2026-04", {"2026-04": [300]}),
        ("2026-05-10", "2026-04", {"2026-05": [390]}),  # known before, and due when it ends
    ],
)
def test_a_cancelled_quarter_in_arrears_is_charged_for_the_used_time_at_its_end(
    ended: str, known_in: str, expected: dict[str, list[int]]
) -> None:
    assert (
        fees(bill_months("2026-03", "2026-07", cancelled(subscription("quarter", "2026-04-01"), ended, known_in)))
        == expected
    )


def test_a_new_number_of_seats_is_charged_from_its_day() -> None:
    """2 seats for 45 days until 16 May: 900.00 of 1,820.00; 3 seats for 46 days: 1,380.00. Then 2,730.00 a quarter."""
    two = cancelled(in_advance("quarter", "2026-04-01", quantity=Decimal(2)), "2026-05-16", "2026-05")
    three = in_advance("quarter", "2026-05-16", quantity=Decimal(3))
    ledger = FeeLedger(PRICES)
    for period in months_between(month("2026-03"), month("2026-07")):
        ledger.bill(period, two(period), *([three] if period >= month("2026-05") else []))
    assert fees(ledger) == {"2026-03": [1820], "2026-05": [-920, 1380], "2026-06": [2730]}


def test_a_change_from_monthly_to_quarterly_prorates_the_rest_of_each() -> None:
    """May's 30.00 were charged in April: 15 of 31 days are kept. The quarter has 46 days of 91 left: 460.00."""
    old = cancelled(in_advance("month", "2026-04-01"), "2026-05-16", "2026-05")
    new = in_advance("quarter", "2026-05-16")
    ledger = FeeLedger(PRICES)
    for period in months_between(month("2026-03"), month("2026-06")):
        ledger.bill(period, old(period), *([new] if period >= month("2026-05") else []))
    back, charged = ledger.fees(month("2026-05"))
    assert abs(back + 30 * Decimal(16) / 31) < Decimal("1e-18")
    assert charged == 460
    assert [ledger.fees(month("2026-04")), ledger.fees(month("2026-06"))] == [[30], [910]]


@pytest.mark.parametrize(
    ("billing", "expected"),
    [
        ("in_advance", {"2026-03": [910], "2026-06": [1001]}),
        ("in_arrears", {"2026-06": [910], "2026-09": [1001]}),
    ],
)
def test_a_fee_takes_the_price_of_the_first_moment_of_its_interval(
    billing: str, expected: dict[str, list[int]]
) -> None:
    """Dearer from 15 May on: the quarter that runs keeps its price, the next one has the new one."""
    dearer = replace(QUARTER, model=PerUnit(Decimal(1001)), effective_from=at("2026-05-15"))
    prices = [replace(OF_KEY["quarter"], effective_until=at("2026-05-15")), dearer]
    ledger = FeeLedger(prices)
    for period in months_between(month("2026-03"), month("2026-09")):
        ledger.bill(period, subscription("quarter", "2026-04-01", billed=billing, ended="2026-10-01"))
    assert fees(ledger) == expected


def test_a_fee_that_begins_after_a_price_change_inside_the_interval_has_the_new_price() -> None:
    """From 30 May on, 32 of 91 days of 1,001.00: 352.00."""
    dearer = replace(QUARTER, model=PerUnit(Decimal(1001)), effective_from=at("2026-05-15"))
    prices = [replace(OF_KEY["quarter"], effective_until=at("2026-05-15")), dearer]
    assert billed("2026-05", "2026-06", subscription("quarter", "2026-05-30"), prices=prices) == {"2026-06": 352}


@pytest.mark.parametrize(
    ("changes", "amount"),
    [
        ({"minimum": Decimal(1820)}, 640),  # bounded first, then prorated: 32 of 91 days
        ({"maximum": Decimal(455)}, 160),
        ({"free_allowance": Decimal(1)}, 0),
        ({"model": Flat(Decimal(91))}, 32),
    ],
)
def test_bounds_and_allowance_of_a_fee_apply_to_its_interval(changes: dict[str, Any], amount: int) -> None:
    prices = [replace(OF_KEY["quarter"], **changes)]
    assert billed("2026-06", "2026-06", subscription("quarter", "2026-05-30"), prices=prices) == {"2026-06": amount}


def test_the_next_invoice_charges_a_month_that_no_invoice_charged_in_time() -> None:
    """The quarter is recorded in June, after April and May became final."""
    assert billed("2026-06", "2026-06", in_advance("quarter", "2026-04-10", "2026-06-10")) == {"2026-06": 610}


# --- Intervals counted from the start ------------------------------------------------------------------------------


def starts(ledger: FeeLedger) -> list[str]:
    return sorted({f"{item.interval_start:%Y-%m-%d}" for item in ledger.all_fees()})


@pytest.mark.parametrize(
    ("key", "started", "months", "expected"),
    [
        ("month", "2026-01-31", ("2026-01", "2026-06"),
         ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]),
        ("month", "2024-01-30", ("2024-01", "2024-04"), ["2024-01-30", "2024-02-29", "2024-03-30"]),
        ("quarter", "2025-11-30", ("2025-11", "2026-11"), ["2025-11-30", "2026-02-28", "2026-05-30", "2026-08-30"]),
        ("quarter", "2026-01-31", ("2026-01", "2026-10"), ["2026-01-31", "2026-04-30", "2026-07-31"]),
        ("half-year", "2026-08-31", ("2026-08", "2027-08"), ["2026-08-31", "2027-02-28"]),
        ("year", "2024-02-29", ("2024-02", "2028-02"), ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28"]),
        ("year", "2024-02-29", ("2028-02", "2029-02"), ["2027-02-28", "2028-02-29"]),
        ("year", "2026-12-31", ("2026-12", "2027-12"), ["2026-12-31"]),
    ],
)  # fmt: skip
def test_an_interval_from_the_start_begins_on_the_same_day_or_the_last_of_a_short_month(
    key: str, started: str, months: tuple[str, str], expected: list[str]
) -> None:
    """Each interval is charged in full, once, in arrears."""
    plan = subscription(key, started, anchor="start")
    ledger = bill_months(*months, lambda _: plan)
    assert starts(ledger) == expected
    assert {item.amount for item in ledger.all_fees()} == {Decimal(str(OF_KEY[key].model.to_data()["unit_amount"]))}
    assert len(ledger.all_fees()) == len(expected)


def test_a_short_month_shortens_no_later_interval_and_none_begins_before_the_anchor() -> None:
    year = list(fee_periods("month", at("2026-01-31"), at("2025-01-01"), at("2026-07-01")))
    assert [f"{interval.start:%m-%d} {interval.end:%m-%d}" for interval in year] == [
        "01-31 02-28", "02-28 03-31", "03-31 04-30", "04-30 05-31", "05-31 06-30", "06-30 07-31",
    ]  # fmt: skip
    assert list(fee_periods("year", at("2026-08-01"), at("2026-06-01"), at("2026-08-01"))) == []


@pytest.mark.usefixtures("machine_in_honolulu")
def test_an_interval_begins_on_the_day_in_utc() -> None:
    """Late on 31 January ten hours behind UTC is 1 February: a month begins on each first."""
    honolulu = datetime(2026, 1, 31, 20, tzinfo=timezone(timedelta(hours=-10)))
    starts = [interval.start for interval in fee_periods("month", honolulu, at("2026-02-01"), at("2026-04-01"))]
    assert starts == [at(f"2026-0{number}-01T06:00:00") for number in (2, 3)]


def test_an_interval_from_the_start_in_advance_is_on_the_first_invoice_or_the_one_before_it() -> None:
    """From 16 May: the quarters begin on 16 August and 16 November."""
    plan = in_advance("quarter", "2026-05-16", anchor="start")
    assert billed("2026-05", "2026-11", plan) == {"2026-05": 910, "2026-07": 910, "2026-10": 910}


def test_a_cancellation_inside_a_quarter_from_the_start_refunds_the_rest() -> None:
    """16 May to 16 August are 92 days; 23 of them, a quarter, were used by 8 June: 682.50 are refunded."""
    plan = cancelled(in_advance("quarter", "2026-05-16", anchor="start"), "2026-06-08", "2026-06")
    assert fees(bill_months("2026-05", "2026-09", plan)) == {"2026-05": [910], "2026-06": [Decimal("-682.5")]}


def test_the_time_of_day_of_the_start_counts_to_the_second() -> None:
    plan = subscription("month", "2026-05-16T18:30:00.5", "2026-07-16T18:30:00.5", anchor="start")
    assert billed("2026-05", "2026-08", plan) == {"2026-06": 30, "2026-07": 30}


def test_more_seats_continue_the_intervals_of_the_earlier_subscription() -> None:
    """16 May to 16 August are 92 days. 2 seats for the first 23, 3 for the other 69: 682.50 each, of 910.00."""
    two = cancelled(in_advance("quarter", "2026-05-16", anchor="start", quantity=Decimal(2)), "2026-06-08", "2026-06")
    three = in_advance("quarter", "2026-06-08", anchor="start", anchored_at=at("2026-05-16"), quantity=Decimal(3))
    ledger = FeeLedger(PRICES)
    for period in months_between(month("2026-05"), month("2026-08")):
        ledger.bill(period, two(period), *([three] if period >= month("2026-06") else []))
    assert fees(ledger) == {
        "2026-05": [1820], "2026-06": [-1365, Decimal("2047.5")], "2026-07": [2730],
    }  # fmt: skip


# --- Trials ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        # Until 15 April: 16 of 30 days. March's invoice charges nothing in advance: the trial may still be cancelled.
        (in_advance("month", "2026-03-16", trial_ends_at=at("2026-04-15")), {"2026-04": [16, 30], "2026-05": 30}),
        (subscription("month", "2026-03-16", trial_ends_at=at("2026-04-15")), {"2026-04": 16, "2026-05": 30}),
        # It ends with March: April's fee is on March's invoice, which is made in April.
        (in_advance("month", "2026-03-16", trial_ends_at=at("2026-04-01")),
         {"2026-03": 30, "2026-04": 30, "2026-05": 30}),
        (in_advance("quarter", "2026-03-16", trial_ends_at=at("2026-04-15")), {"2026-04": 770}),  # 77 days
        (subscription("quarter", "2026-02-16", trial_ends_at=at("2026-03-31")), {"2026-03": Decimal(910) / 90}),
        # Counted from the end of the trial.
        (in_advance("quarter", "2026-03-16", trial_ends_at=at("2026-04-15"), anchor="start"), {"2026-04": 910}),
        (subscription("month", "2026-03-16", trial_ends_at=at("2026-04-15"), anchor="start"), {"2026-05": 30}),
        (in_advance("month", "2026-03-16", trial_ends_at=at("2026-04-15T12:00:00"), proration="day"),
         {"2026-04": [16, 30], "2026-05": 30}),
        (in_advance("month", "2026-03-16", trial_ends_at=at("2026-04-15"), proration="none"),
         {"2026-04": [30, 30], "2026-05": 30}),
        (in_advance("month", "2026-03-16", trial_ends_at=at("2026-03-16")),
         {"2026-03": [Decimal(30) * 16 / 31, 30], "2026-04": 30, "2026-05": 30}),
    ],
)  # fmt: skip
def test_a_fee_is_free_until_its_trial_ends(plan: Subscription, expected: dict[str, Any]) -> None:
    found = billed("2026-02", "2026-05", plan)
    if plan.price_key == "quarter" and plan.billed == "in_arrears":  # 1 of 90 days, which does not end
        assert found.keys() == expected.keys() and abs(found["2026-03"] - expected["2026-03"]) < Decimal("1e-18")
    elif plan.trial_ends_at == plan.started_at:  # no trial at all
        assert [fee for fee in found["2026-03"] if fee != 30] == [Decimal("15.48387096774193548387")]
        assert {name: fee for name, fee in found.items() if name != "2026-03"} == {"2026-04": 30, "2026-05": 30}
    else:
        assert found == expected


@pytest.mark.parametrize("billing", ["in_advance", "in_arrears"])
@pytest.mark.parametrize("anchor", ["calendar", "start"])
@pytest.mark.parametrize("key", ["month", "quarter", "half-year", "year"])
@pytest.mark.parametrize("ended", ["2026-03-16", "2026-03-20", "2026-04-14", "2026-04-15"])
def test_a_subscription_cancelled_in_its_trial_costs_nothing(billing: str, anchor: str, key: str, ended: str) -> None:
    """The end is known by the invoice of the month in which it ends: no invoice charges anything."""
    plan = subscription(key, "2026-03-16", trial_ends_at=at("2026-04-15"), billed=billing, anchor=anchor)
    assert fees(bill_months("2026-02", "2026-06", cancelled(plan, ended, ended[:7]))) == {}


def test_usage_is_charged_during_a_trial_and_the_plan_s_allowance_is_granted() -> None:
    """400 requests at 0.10, of which the plan includes 300."""
    included = price("requests", "0.10", "requests", free_allowance=Decimal(300), allowance_with="month")
    prices = [included, OF_KEY["month"]]
    april = month("2026-04")
    used = UsageRollup(id_of("used"), "requests", {}, april.start, april.end, Decimal(400))
    member = Member("acme", PriceBook(prices), [used])
    ledger = FeeLedger(prices)
    ledger.bill(april, subscription("month", "2026-04-01", trial_ends_at=at("2026-05-01")), member=member)
    assert [(item.kind, str(item.amount)) for item in ledger.invoices[april].items] == [("usage", "10.00")]


def test_a_quarterly_plan_grants_its_allowance_in_each_month() -> None:
    """310 requests a month; 150 in May, as the plan runs for 15 of 31 days; none in June."""
    included = price("requests", "0.10", "requests", free_allowance=Decimal(310), allowance_with="quarter")
    prices = [included, OF_KEY["quarter"]]
    ledger = FeeLedger(prices)
    found = []
    for period in months_between(month("2026-04"), month("2026-06")):
        used = UsageRollup(id_of("used"), "requests", {}, period.start, period.end, Decimal(400))
        plan = in_advance("quarter", "2026-04-01", "2026-05-16")
        ledger.bill(period, plan, member=Member("acme", PriceBook(prices), [used]))
        found += [item.amount for item in ledger.invoices[period].items if item.kind == "usage"]
    assert found == [9, 25, 40]


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"trial_ends_at": at("2026-03-31")}, "trial_ends_at 2026-03-31 .* is before started_at"),
        ({"anchor": "monday"}, "anchor 'monday'; known are calendar, start"),
        ({"anchored_at": at("2026-03-01")}, "anchored_at 2026-03-01 .* needs anchor start"),
        (
            {"anchored_at": at("2026-04-02"), "anchor": "start"},
            "anchored_at 2026-04-02 .* must not be after started_at",
        ),
    ],
)
def test_an_invalid_subscription_is_refused_with_the_reason(changes: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValueError, match=f"subscription 'month': {wrong}"):
        subscription("month", "2026-04-01", **changes)


# --- Other items on the invoice ------------------------------------------------------------------------------------


def vat(percent: str) -> TaxRate:
    return TaxRate(id_of(f"VAT {percent}"), "VAT", Decimal(percent))


def test_a_later_refund_has_the_tax_and_the_coupon_of_the_invoice_that_charged_the_fee() -> None:
    """910.00 at half price and 16 % in March: 455.00 + 72.80. 520.00 of it unused: 260.00 + 41.60 are refunded in May,
    which has a rate of 19 % and another coupon.
    """
    march, may = month("2026-03"), month("2026-05")
    ledger = bill_months(
        "2026-03", "2026-07", cancelled(in_advance("quarter", "2026-04-01"), "2026-05-10", "2026-05"),
        taxes={march: [vat("16")], may: [vat("19")]},
        discounts={march: [percent_off("50", "HALF")], may: [percent_off("30", "NEW")]},
    )  # fmt: skip
    assert ledger.invoices[march].total_cents == 52780
    assert ledger.invoices[may].total_cents == -30160
    assert [(str(tax.percent), tax.tax_cents) for tax in ledger.invoices[may].taxes] == [("16", -4160)]
    assert {invoice.total_cents for name, invoice in ledger.invoices.items() if name not in (march, may)} == {0}


def test_a_credit_that_paid_a_year_is_returned_the_unused_part() -> None:
    """3,650.00, of it 3,000.00 by credit. 730.00 are kept for 73 days: 650.00 return in money, 2,270.00 as credit."""
    grant = credit("3000", "prepaid", granted_at=at("2025-01-01"))
    ledger = bill_months(
        "2025-12", "2026-04", cancelled(in_advance("year", "2026-01-01"), "2026-03-15", "2026-03"), grants=[grant]
    )
    assert ledger.invoices[month("2025-12")].total_cents == 65000
    assert ledger.invoices[month("2026-03")].total_cents == -65000
    assert ledger.available(grant) == 2270


def test_a_minimum_counts_a_quarter_s_fee_in_the_month_that_charges_it() -> None:
    """At least 100.00 a month: 910.00 in March; nothing in April, which is topped up."""
    ledger = FeeLedger(PRICES)
    plan = in_advance("quarter", "2026-04-01")
    for name in ("2026-03", "2026-04"):
        inputs = replace(ledger.inputs(month(name), plan), commitments=[minimum("100")])
        ledger.invoices[month(name)] = assemble_invoice(inputs)
    assert [invoice.total_cents for invoice in ledger.invoices.values()] == [91000, 10000]


def test_two_refunds_of_one_quarter_each_take_the_coupon_back_in_proportion() -> None:
    """455.00 paid for 910.00. A notice for 10 June refunds 210.00 less half; a cancellation on 10 May 310.00 more."""

    def known(billing: BillingMonth) -> Subscription:
        ended = {"2026-03": None, "2026-04": "2026-06-10"}.get(str(billing), "2026-05-10")
        return in_advance("quarter", "2026-04-01", ended)

    ledger = bill_months("2026-03", "2026-06", known, discounts={month("2026-03"): [percent_off("50", "HALF")]})
    assert [invoice.total_cents for invoice in ledger.invoices.values()] == [45500, -10500, -15500, 0]


# --- Closed months --------------------------------------------------------------------------------------------------


def to_correct(ledger: FeeLedger, name: str, *subscriptions: Subscription) -> list[Decimal]:
    """Return the corrections of this final invoice, with the subscriptions as they are known now."""
    period = month(name)
    billed_items = ledger.invoices[period].items
    now = recalculate(ledger.inputs(period, *subscriptions), billed_items)
    return [
        difference.amount
        for difference in differences(charges_of(billed_items, period), {}, charges_of(now.items, period), {})
    ]


@pytest.mark.parametrize("billing", ["in_advance", "in_arrears"])
@pytest.mark.parametrize("anchor", ["calendar", "start"])
@pytest.mark.parametrize("key", ["month", "quarter", "half-year", "year"])
def test_no_month_of_a_subscription_has_anything_to_correct(billing: str, anchor: str, key: str) -> None:
    whole = subscription(key, "2026-01-20", billed=billing, anchor=anchor)
    coupons = {month("2026-02"): [amount_off("7")], month("2026-06"): [percent_off("10")]}
    ledger = bill_months("2026-01", "2027-03", cancelled(whole, "2026-08-11", "2026-08"), discounts=coupons)
    known = replace(whole, ended_at=at("2026-08-11"))
    assert {str(period): to_correct(ledger, str(period), known) for period in ledger.invoices} == {
        str(period): [] for period in ledger.invoices
    }


@pytest.mark.parametrize(
    ("billing", "corrected"),
    [
        ("in_advance", {"2026-03": [], "2026-04": [], "2026-05": [], "2026-06": [-520], "2026-07": []}),
        ("in_arrears", {"2026-03": [], "2026-04": [], "2026-05": [], "2026-06": [-520], "2026-07": []}),
    ],
)
def test_a_cancellation_recorded_after_the_close_corrects_the_month_in_which_the_interval_ended(
    billing: str, corrected: dict[str, list[int]]
) -> None:
    """Until 10 May, recorded in August: 39 of 91 days were used."""
    plan = subscription("quarter", "2026-04-01", "2026-07-01", billed=billing)
    ledger = bill_months("2026-03", "2026-07", lambda _: plan)
    late = replace(plan, ended_at=at("2026-05-10"))
    assert {name: to_correct(ledger, name, late) for name in corrected} == corrected


def test_a_cancellation_recorded_during_the_interval_corrects_no_closed_month() -> None:
    """Until 10 April, recorded in June: June's invoice refunds 820.00; April and May do not change."""
    plan = in_advance("quarter", "2026-04-01")
    ledger = bill_months("2026-03", "2026-05", lambda _: plan)
    late = replace(plan, ended_at=at("2026-04-10"))
    assert [to_correct(ledger, name, late) for name in ("2026-03", "2026-04", "2026-05")] == [[], [], []]
    assert ledger.bill(month("2026-06"), late) == [-820]
    assert [to_correct(ledger, name, late) for name in ("2026-03", "2026-04", "2026-05", "2026-06")] == [[]] * 4


# --- Refused input ---------------------------------------------------------------------------------------------------


def test_versions_of_a_fee_with_different_intervals_are_refused_by_name() -> None:
    later = replace(OF_KEY["quarter"], interval="month", effective_from=at("2026-05-01"))
    with pytest.raises(BillingError, match="the versions of price 'quarter' are by the month and by the quarter") as no:
        billed("2026-06", "2026-06", subscription("quarter", "2026-04-01"), prices=[OF_KEY["quarter"], later])
    assert no.value.code == "mixed_intervals"


def test_time_charged_under_other_intervals_is_not_charged_again() -> None:
    """The organization moved to a book with a monthly plan during a paid quarter."""
    charged = FeeCharged(at("2026-04-01"), at("2026-07-01"), Decimal(910), month("2026-03"))
    plan = in_advance("month", "2026-04-01", charged=(charged,))
    with pytest.raises(BillingError, match="'month' was charged for 2026-04-01 to 2026-07-01") as no:
        bill_alone(plan, "2026-05")
    assert str(no.value) == (
        "interval_changed: the fee 'month' was charged for 2026-04-01 to 2026-07-01, which is not one of its intervals"
        " any more: end the subscription, start a new one, and refund the unused time with a one-off item"
    )
    # It ended in time: there is nothing to charge.
    assert bill_alone(replace(plan, ended_at=at("2026-05-01")), "2026-05") == []
    # Refunded already: it may be charged.
    assert bill_alone(replace(plan, charged=(replace(charged, amount=Decimal(0)),)), "2026-05") == [30, 30]
    assert bill_alone(replace(plan, charged=(fee_charged("30", month("2026-05")),)), "2026-05") == [30]


def test_intervals_may_be_counted_from_the_first_moment() -> None:
    plan = subscription("month", "2026-04-10", anchor="start", anchored_at=at("2026-04-10"))
    assert billed("2026-04", "2026-05", plan) == {"2026-05": 30}


def test_a_fee_paid_in_another_currency_is_neither_charged_again_nor_refunded() -> None:
    """920.00 dollars were paid; in euros the quarter costs 910.00. After an early end a person has to
    refund the rest.
    """
    charged = FeeCharged(at("2026-04-01"), at("2026-07-01"), Decimal(920), month("2026-03"), currency="EUR")
    plan = in_advance("quarter", "2026-04-01", charged=(charged,))
    for name, expected in (("2026-04", []), ("2026-05", []), ("2026-06", [910])):  # and the next quarter
        assert bill_alone(plan, name) == expected
    assert bill_alone(replace(plan, ended_at=at("2026-07-01")), "2026-05") == []
    with pytest.raises(BillingError, match="was charged in EUR for 2026-04-01 to 2026-07-01 and ends earlier") as no:
        bill_alone(replace(plan, ended_at=at("2026-05-10")), "2026-05")
    assert str(no.value) == (
        "fee_in_another_currency: the fee 'quarter' was charged in EUR for 2026-04-01 to 2026-07-01 and ends earlier:"
        " refund the unused time with a one-off item in USD, and set ended_at to the end of that interval"
    )
    # Refunded in its own currency before: the present currency charges the full fee.
    own = replace(charged, amount=Decimal(910), currency="USD")
    both = (replace(charged, amount=Decimal(0)), own)
    assert bill_alone(replace(plan, charged=both), "2026-05") == []
    assert bill_alone(replace(plan, charged=both, ended_at=at("2026-05-10")), "2026-05") == [-520]


def bill_alone(plan: Subscription, name: str) -> list[Decimal]:
    member = Member("acme", PriceBook(PRICES), subscriptions=[plan])
    return [item.amount for item in assemble_invoice(InvoiceInputs("acme", "USD", month(name), [member])).items]


# --- Any course of events: an independent calculation --------------------------------------------------------------

MONTHS_OF = {"month": 1, "quarter": 3, "half-year": 6, "year": 12}
DAY = 86_400
BEGIN = at("2023-12-01")
MOMENTS = st.integers(0, 500 * DAY).map(lambda seconds: BEGIN + timedelta(seconds=seconds))
# Until the last end is known: 900 days after BEGIN, and up to 12 months later.
LIFE = months_between(month("2023-11"), month("2027-06"))


def begins(anchor: datetime, number: int) -> datetime:
    """Return the anchor's day this many months later, or the last day of a shorter month, stepping back day by day."""
    year, zero = divmod(anchor.year * 12 + anchor.month - 1 + number, 12)
    for day in range(anchor.day, 0, -1):
        try:
            found = date(year, zero + 1, day)
        except ValueError:
            continue
        return datetime(found.year, found.month, found.day, anchor.hour, anchor.minute, anchor.second, tzinfo=UTC)
    raise AssertionError("a month has a first day")


def owed(plan: Subscription, end: datetime | None) -> dict[tuple[datetime, datetime], Fraction]:
    """Return each interval's cost: the price times the used share, counted second by second (or by day)."""
    paid_from = (plan.trial_ends_at or plan.started_at).replace(microsecond=0)
    months = MONTHS_OF[plan.price_key]
    anchor = at("2020-01-01") if plan.anchor == "calendar" else paid_from
    whole = Fraction(str(OF_KEY[plan.price_key].model.to_data()["unit_amount"])) * Fraction(plan.quantity)
    found = {}
    for number in range(200):
        start, stop = begins(anchor, number * months), begins(anchor, (number + 1) * months)
        first, last = max(start, paid_from), min(stop, end or stop)
        if last <= first:
            continue
        if plan.proration == "none":
            share = Fraction(1)
        elif plan.proration == "day":
            share = Fraction((last.date() - first.date()).days, (stop.date() - start.date()).days)
        else:
            share = Fraction(int((last - first).total_seconds()), int((stop - start).total_seconds()))
        found[start, stop] = whole * share
    return found


@st.composite
def plans(draw: st.DrawFn) -> Subscription:
    started = draw(MOMENTS)
    return Subscription(
        id_of("plan"),
        draw(st.sampled_from(list(MONTHS_OF))),
        started,
        None,
        draw(st.sampled_from([Decimal(1), Decimal("2.5")])),
        draw(st.sampled_from(["in_arrears", "in_advance"])),
        draw(st.sampled_from(["second", "day", "none"])),
        draw(st.sampled_from(["calendar", "start"])),
        draw(st.none() | st.integers(0, 90 * DAY).map(lambda seconds: started + timedelta(seconds=seconds))),
    )


@settings(deadline=None)
@given(plans(), st.integers(0, 400 * DAY), st.integers(0, 12))
@example(Subscription(id_of("plan"), "year", at("2025-04-14"), None, anchor="start"), 400 * DAY, 12)
def test_each_interval_of_a_subscription_costs_its_price_times_the_used_share(
    plan: Subscription, ran: int, told_after: int
) -> None:
    """The end becomes known this many months after it, but before the end of its interval."""
    ended = plan.started_at + timedelta(seconds=ran)
    expected = owed(plan, ended)
    last = max((stop for _, stop in expected), default=ended)
    settled = month_of_end(last) if expected else BillingMonth.containing(ended)
    known_in = min(BillingMonth.containing(ended).plus(told_after), settled)
    ledger = FeeLedger(PRICES)
    for period in LIFE:
        if plan.started_at < period.end + timedelta(hours=72):
            ledger.bill(period, replace(plan, ended_at=ended) if period >= known_in else plan)
    for interval, amount in expected.items():
        charged = [item.amount for item in ledger.all_fees() if (item.interval_start, item.interval_end) == interval]
        assert abs(sum(map(Fraction, charged), Fraction(0)) - amount) < Fraction(1, 10**18)
    assert abs(Fraction(ledger.total()) - sum(expected.values(), Fraction(0))) < Fraction(1, 10**17)


def month_of_end(moment: datetime) -> BillingMonth:
    return BillingMonth.containing(moment - timedelta(microseconds=1))


@settings(deadline=None)
@given(plans(), st.integers(0, 400 * DAY))
def test_each_interval_is_charged_only_on_the_invoice_on_which_it_is_due(plan: Subscription, ran: int) -> None:
    """The end is known from the beginning: each interval is on one invoice. In arrears that is the month of its end, in
    advance the month before its beginning, or the first one that knows of it and comes after the trial.
    """
    whole = replace(plan, ended_at=plan.started_at + timedelta(seconds=ran))
    ledger = FeeLedger(PRICES)
    for period in LIFE:
        ledger.bill(period, whole)
    for (start, stop), amount in owed(whole, whole.ended_at).items():
        if not amount:
            continue
        begun = max(start, whole.paid_from)
        if whole.billed == "in_arrears":
            due = month_of_end(min(stop, whole.ended_at or stop))
        else:
            due = BillingMonth.containing(begun).plus(-1)
            if whole.trial_ends_at and whole.trial_ends_at > due.end:
                due = due.plus(1)
        on = [
            str(period)
            for period in ledger.invoices
            for item in ledger.invoices[period].items
            if item.interval_start == start
        ]
        assert on == [str(due)]


@settings(deadline=None)
@given(
    plans(),
    st.integers(0, 11),
    st.sampled_from([0, 10, 50, 100]),
    st.sampled_from([Decimal(0), Decimal(40), Decimal(5000)]),
    st.sampled_from(["net", "gross"]),
    st.sampled_from([Decimal(0), Decimal(19)]),
)
def test_a_full_cancellation_nets_charge_tax_and_credit_to_zero(
    plan: Subscription, after: int, percent: int, available: Decimal, pays: str, tax: Decimal
) -> None:
    """The cancellation arrives during the first interval and covers all of it; rates and coupons have changed by then.
    The amounts make each tax whole cents: two fees charged apart and refunded together would round differently.
    """
    plan = replace(plan, billed="in_advance", proration="none", quantity=Decimal(2))
    first = BillingMonth.containing(plan.paid_from)
    _, stop = next(iter(owed(plan, None)))
    known_in = min(first.plus(after), month_of_end(stop))
    grant = CreditGrant(id_of("grant"), "prepaid", available, at("2020-01-01"), pays=pays)
    early = months_between(month("2023-11"), known_in.plus(-1))
    ledger = FeeLedger(
        PRICES,
        taxes={period: [vat(str(tax))] for period in early} | {known_in: [vat("7")]},
        discounts={period: [percent_off(str(percent))] for period in early if percent} | {known_in: [amount_off("5")]},
        grants=[grant] if available else [],
    )
    for period in months_between(first.plus(-1), known_in.plus(2)):
        ledger.bill(period, replace(plan, ended_at=plan.started_at) if period >= known_in else plan)
    assert ledger.total() == 0
    assert ledger.cents() == 0
    assert sum(tax.tax_cents for invoice in ledger.invoices.values() for tax in invoice.taxes) == 0
    assert ledger.available(grant) == available
