"""Quarters and trials through Postgres: earlier charges are read from invoice items, and closed months don't change.

Support is 920.00 a quarter, 10.00 a day of October to December 2026 (92 days). Rules without a database are in
tests/unit/invoicing/steps/test_billing_intervals.py.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from fly_billing.corrections.correction import Actor
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.rules.guard import OFF
from fly_billing.focus.exports import export_focus
from fly_billing.periods import BillingMonth
from fly_billing.pricing.price_books import PriceBookFiles
from fly_billing.statements.explanation_reader import list_items, read_explanation
from tests.support.builders import OCTOBER, SEPTEMBER, Platform, at, id_of, price

NOVEMBER = OCTOBER.next()
DECEMBER = NOVEMBER.next()
JANUARY = DECEMBER.next()
QUARTER = price("quarter", "920", interval="quarter")


@pytest.fixture
def subscribed(platform: Platform) -> Platform:
    platform.load(QUARTER)
    platform.add_subscription("acme", "quarter", at("2026-10-01"), billed="in_advance")
    return platform


def correct(platform: Platform, *months: BillingMonth) -> list[Decimal]:
    """Book the differences of each of these months now; return their sums."""
    found = []
    for month in months:
        done = correct_month(
            platform.database, month, platform.organizations(), platform.usage_table, Actor("ann", at("2027-03-01")),
            guard=OFF, with_terms=True,
        )  # fmt: skip
        assert done.failures == []
        found.append(sum((correction.amount for correction in done.found), Decimal(0)))
    return found


def test_a_cancelled_quarter_is_refunded_to_the_credit_and_money_that_paid_it_and_closed_months_do_not_change(
    subscribed: Platform, tmp_path: Path
) -> None:
    """920.00 at half price: 460.00, of it 300.00 by credit; 160.00 + 19 % are money. Until 10 November 40 days of 92
    are used: 200.00 are kept, all of them from the credit. 100.00 of credit and 160.00 + 30.40 go back."""
    subscribed.insert("coupons", code="half", description="half price", percent=50)
    subscribed.redeem("acme", "half", SEPTEMBER, SEPTEMBER)
    subscribed.grant("acme", "prepaid", "300")
    subscribed.add_tax("acme", "VAT", "19")
    subscribed.close()
    subscribed.close(OCTOBER)
    assert subscribed.totals() == [19040, 0]
    subscribed.execute("update subscriptions set ended_at = '2026-11-10'")
    assert subscribed.query("select * from term_changes") == []  # its quarter is not closed
    subscribed.close(NOVEMBER)
    subscribed.close(DECEMBER)
    assert subscribed.totals() == [19040, 0, -19040, 0]
    assert correct(subscribed, SEPTEMBER, OCTOBER, NOVEMBER, DECEMBER) == [0, 0, 0, 0]
    (credit,) = subscribed.query("select sum(amount) as left from credit_entries")
    assert credit["left"] == 100
    with export_focus(subscribed.database, NOVEMBER, tmp_path / "november.csv").file.open(encoding="utf-8") as file:
        purchases = [row for row in csv.DictReader(file) if row["ChargeCategory"] == "Purchase"]
    assert {(row["ChargePeriodStart"], row["ChargePeriodEnd"]) for row in purchases} == {
        ("2026-10-01T00:00:00Z", "2026-11-10T00:00:00Z")
    }
    assert [row["ChargeDescription"] for row in purchases] == [
        "quarter as used, 2026-10-01 to 2026-11-10",
        "quarter as used, 2026-10-01 to 2026-11-10: already charged",
    ]


def test_a_cancellation_recorded_after_its_quarter_is_closed_waits_for_approval_and_is_booked_once(
    subscribed: Platform,
) -> None:
    """Ended on 10 October, recorded in February: December's invoice settles the quarter, 830.00 go back once."""
    for month in (SEPTEMBER, OCTOBER, NOVEMBER, DECEMBER):
        subscribed.close(month)
    assert subscribed.totals() == [92000, 0, 0, 92000]
    subscribed.execute("update subscriptions set ended_at = '2026-10-10'")
    (change,) = subscribed.query("select first_month, last_month, what from term_changes")
    assert change["what"] == "subscription quarter was changed"
    assert change["first_month"] == OCTOBER.first_day
    assert change["last_month"] is None
    assert correct(subscribed, SEPTEMBER, OCTOBER, NOVEMBER, DECEMBER) == [0, 0, 0, -830]
    assert correct(subscribed, SEPTEMBER, OCTOBER, NOVEMBER, DECEMBER) == [0, 0, 0, 0]
    subscribed.close(JANUARY)
    # The quarter from January on was charged by December's invoice and never began.
    assert subscribed.totals() == [92000, 0, 0, 92000, -175000]


def test_an_end_that_moves_inside_a_quarter_is_noted_for_the_month_that_settles_it(subscribed: Platform) -> None:
    subscribed.execute("update subscriptions set ended_at = '2026-10-20'")
    for month in (SEPTEMBER, OCTOBER, NOVEMBER, DECEMBER):
        subscribed.close(month)
    subscribed.execute("update subscriptions set ended_at = '2026-10-10'")
    (change,) = subscribed.query("select first_month, last_month from term_changes")
    assert (change["first_month"], change["last_month"]) == (OCTOBER.first_day, DECEMBER.first_day)
    assert correct(subscribed, DECEMBER) == [-100]


def test_a_negotiated_price_of_a_quarter_is_noted_for_the_month_that_settles_it(subscribed: Platform) -> None:
    """Agreed for October only, recorded in January: the quarter from October on has it, which December settles."""
    for month in (SEPTEMBER, OCTOBER, NOVEMBER, DECEMBER):
        subscribed.close(month)
    subscribed.insert(
        "negotiated_prices", id=id_of("agreed"), book="fly", key="quarter", organization_id="acme",
        effective_from=at("2026-10-01"), effective_until=at("2026-11-01"), charges='{"percent_off": "50"}',
    )  # fmt: skip
    (change,) = subscribed.query("select first_month, last_month from term_changes")
    assert (change["first_month"], change["last_month"]) == (OCTOBER.first_day, DECEMBER.first_day)
    assert correct(subscribed, OCTOBER, NOVEMBER, DECEMBER) == [0, 0, -460]


def test_a_trial_can_be_moved_until_its_fee_is_charged(subscribed: Platform) -> None:
    """Free until 16 November: 46 of 92 days are charged by November's invoice."""
    subscribed.execute("update subscriptions set trial_ends_at = '2026-10-31'")
    subscribed.close()
    subscribed.execute("update subscriptions set trial_ends_at = '2026-11-16'")
    subscribed.close(OCTOBER)
    subscribed.close(NOVEMBER)
    assert subscribed.totals() == [0, 0, 46000]
    with pytest.raises(IntegrityError, match=r"subscription quarter .*: trial_ends_at can not be changed"):
        subscribed.execute("update subscriptions set trial_ends_at = '2026-12-01'")
    with pytest.raises(IntegrityError, match=r"subscription quarter .*: anchor can not be changed"):
        subscribed.execute("update subscriptions set anchor = 'start'")


def test_a_fee_with_months_from_its_start_date_is_charged_and_corrected_by_those_months(platform: Platform) -> None:
    """29.00 from the 16th to the 15th, in arrears: until 1 November, 16 of 31 days of the second are charged. The
    explanation states how the intervals are counted, and recalculates the amount."""
    platform.add_subscription(
        "acme",
        "support",
        at("2026-09-16"),
        anchor="start",
        anchored_at=at("2026-08-16"),
        trial_ends_at=at("2026-09-16"),
    )
    platform.close()
    platform.close(OCTOBER)
    platform.execute("update subscriptions set ended_at = '2026-11-01'")
    platform.close(NOVEMBER)
    assert platform.totals() == [0, 2900, 1497]
    (item,) = list_items(platform.database, "acme", NOVEMBER)
    explained = read_explanation(platform.database, item.id).explanation
    assert explained.problems == ()
    facts = dict(explained.facts)
    assert facts["Interval"] == "month 2026-10-16 to 2026-11-16: 16 of 31 days"
    assert facts["Subscription"] == (
        "from 2026-09-16 00:00:00 to 2026-11-01 00:00:00 UTC, billed in arrears, prorated by second,"
        " intervals counted from 2026-08-16 00:00:00 UTC, free until 2026-09-16 00:00:00 UTC"
    )
    assert correct(platform, SEPTEMBER, OCTOBER, NOVEMBER) == [0, 0, 0]


def test_a_book_in_which_a_fee_changes_its_interval_is_refused_by_name(platform: Platform) -> None:
    monthly = replace(QUARTER, interval="month", effective_from=at("2026-11-01"))
    with pytest.raises(
        ValueError, match="price book fly: the versions of price 'quarter' are by the month and by the q"
    ):
        PriceBookFiles("fly", (), (QUARTER, monthly))
    platform.load(QUARTER)
    with pytest.raises(
        ValueError, match="price book fly: the versions of price 'quarter' are by the month and by the q"
    ):
        platform.load(monthly)
