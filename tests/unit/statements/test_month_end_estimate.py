"""A month's total at its end is estimated from the days so far, and priced as an invoice.

acme is estimated in September 2026: 30 days, the 1st is a Tuesday. A request costs 0.10 unless a test says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from fly_billing.invoicing.rules.inputs import (
    Commitment,
    CreditGrant,
    Discount,
    InvoiceInputs,
    Member,
    OneOffItem,
    Subscription,
    UsageRollup,
)
from fly_billing.pricing.rules.models import PerUnit, Volume
from fly_billing.pricing.rules.models.tiers import Tier
from fly_billing.pricing.rules.prices import Price, PriceBook
from fly_billing.pricing.rules.tax_rates import TaxRate
from fly_billing.statements.rules.estimate import (
    EstimateInputs,
    MonthEndEstimate,
    NoEstimate,
    estimate_month_end,
    why_no_estimate,
)
from fly_billing.statements.rules.usage_forecast import KnownDays, UsageSeries
from tests.support.builders import SEPTEMBER, at, id_of, price

REQUESTS = price("requests", "0.10", "requests")
SUPPORT = price("support", "29.00")
AS_OF = at("2026-09-16T08:00:00")
Days = Sequence[int]


def days(*quantities: int) -> list[Decimal]:
    """Return a month's quantities: those of the first days, and none on the others."""
    return [*map(Decimal, quantities), *[Decimal(0)] * (30 - len(quantities))]


def series(now: Days, before: Days = (), meter: str = "requests", **dimensions: str) -> UsageSeries:
    return UsageSeries("acme", meter, dimensions, days(*now) if now else (), [*map(Decimal, before)])


def rollup(usage: UsageSeries, until: datetime) -> UsageRollup:
    name = id_of(f"{usage.meter} {usage.dimensions}")
    return UsageRollup(name, usage.meter, usage.dimensions, SEPTEMBER.start, until, sum(usage.now, Decimal(0)))


def estimate(
    *usage: UsageSeries,
    complete: int,
    prices: Sequence[Price] = (REQUESTS,),
    aggregations: Mapping[str, str] | None = None,
    subscriptions: Sequence[Subscription] = (),
    one_offs: Sequence[OneOffItem] = (),
    segment_end: datetime = SEPTEMBER.end,
    **terms: Any,
) -> MonthEndEstimate | NoEstimate:
    rollups = [rollup(each, segment_end) for each in usage if any(each.now)]
    member = Member("acme", PriceBook(prices), rollups, subscriptions, one_offs)
    before = 31 if any(each.before for each in usage) else 0
    return estimate_month_end(
        EstimateInputs(
            InvoiceInputs("acme", "USD", SEPTEMBER, [member], **terms),
            usage,
            aggregations or {},
            KnownDays(SEPTEMBER, complete, before),
            AS_OF,
        )
    )


def cents(found: MonthEndEstimate | NoEstimate) -> tuple[int, int, int]:
    assert isinstance(found, MonthEndEstimate), found
    return found.range_cents


def likely(found: MonthEndEstimate | NoEstimate) -> int:
    return cents(found)[1]


def reason(found: MonthEndEstimate | NoEstimate | None) -> str:
    assert isinstance(found, NoEstimate), found
    return found.code


def test_usage_that_is_the_same_every_day_has_no_range() -> None:
    # 15 days of 10 requests, and 15 more: 300 x 0.10.
    assert cents(estimate(series([10] * 15), complete=15)) == (3000, 3000, 3000)


def test_the_usage_of_a_day_that_is_not_over_counts_as_no_whole_day() -> None:
    # The 16th has 2 requests so far: it still becomes a day of 10.
    assert cents(estimate(series([10] * 15 + [2]), complete=15)) == (3000, 3000, 3000)


def test_usage_that_already_arrived_is_never_taken_off() -> None:
    # 15 days of 10, and 400 already on the 16th, more than the rest of the month was expected to have.
    assert cents(estimate(series([10] * 15 + [400]), complete=15)) == (5500, 5500, 5500)


def test_a_fee_is_charged_once_however_early_in_the_month() -> None:
    fee = Subscription(id_of("support"), "support", at("2026-01-01"), None)
    found = estimate(series([10] * 5), complete=5, prices=[REQUESTS, SUPPORT], subscriptions=[fee])
    # 300 x 0.10 + 29.00, not 29.00 for five days six times.
    assert cents(found) == (5900, 5900, 5900)


def test_a_one_off_charge_is_not_expected_again() -> None:
    setup = OneOffItem(id_of("setup"), "Setup", Decimal("100.00"), "USD")
    assert cents(estimate(series([10] * 15), complete=15, one_offs=[setup])) == (13000, 13000, 13000)


def test_a_month_of_fees_only_is_known() -> None:
    fee = Subscription(id_of("support"), "support", at("2026-01-01"), None)
    found = estimate(complete=0, prices=[REQUESTS, SUPPORT], subscriptions=[fee])
    assert cents(found) == (2900, 2900, 2900)
    assert isinstance(found, MonthEndEstimate)
    assert "no usage this month or last month" in " ".join(found.method)


def test_free_units_are_free_once_for_the_month() -> None:
    # 300 requests, 200 of them free. Twice the amount so far, which is 0.00 for 150, would be 0.00.
    free = replace(REQUESTS, free_allowance=Decimal(200))
    assert cents(estimate(series([10] * 15), complete=15, prices=[free])) == (1000, 1000, 1000)


def test_a_volume_tier_that_the_month_reaches_prices_all_of_it() -> None:
    # From 201 requests on, each costs 0.05: 300 x 0.05 is as much as the 150 so far.
    tiers = Volume((Tier(Decimal(200), Decimal("0.10")), Tier(None, Decimal("0.05"))))
    found = estimate(series([10] * 15), complete=15, prices=[replace(REQUESTS, model=tiers)])
    assert cents(found) == (1500, 1500, 1500)


def test_a_range_that_crosses_a_volume_tier_is_still_in_order() -> None:
    tiers = Volume((Tier(Decimal(200), Decimal("0.10")), Tier(None, Decimal("0.01"))))
    low, most_likely, high = cents(estimate(series([4, 16] * 5), complete=10, prices=[replace(REQUESTS, model=tiers)]))
    assert low <= most_likely <= high


def test_a_minimum_is_topped_up_once() -> None:
    least = replace(REQUESTS, minimum=Decimal("50.00"))
    assert cents(estimate(series([10] * 15), complete=15, prices=[least])) == (5000, 5000, 5000)


def test_a_discount_a_commitment_a_credit_and_a_tax_apply_as_on_an_invoice() -> None:
    # 300 x 0.10 = 30.00, less 50 %, topped up to 20.00, less 5.00 of credit: 15.00, and 19 % of that.
    found = estimate(
        series([10] * 15), complete=15,
        discounts=[Discount(id_of("half"), "HALF", "Half off", percent=Decimal(50))],
        commitments=[Commitment(id_of("least"), "minimum", "Commitment", Decimal("20.00"))],
        credits=[CreditGrant(id_of("credit"), "Promotion", Decimal("5.00"), at("2026-01-01"))],
        taxes=[TaxRate(id_of("vat"), "VAT", Decimal(19))],
    )  # fmt: skip
    assert cents(found) == (1785, 1785, 1785)
    assert isinstance(found, MonthEndEstimate) and "Taxes are included." in " ".join(found.method)


def test_work_on_weekdays_only_is_not_expected_at_weekends() -> None:
    # 1 September is a Tuesday: 14 days have 10 weekdays, the other 16 have 12: 22 x 100 x 0.10.
    worked = [100 if day % 7 not in (5, 6) else 0 for day in range(1, 15)]
    assert cents(estimate(series(worked), complete=14)) == (22000, 22000, 22000)


def test_early_in_the_month_the_days_of_last_month_count() -> None:
    # Nothing is complete: 31 days of 10 last month make 30 days of 10.
    assert cents(estimate(series([], [10] * 31), complete=0)) == (3000, 3000, 3000)


def test_usage_that_began_a_week_ago_is_expected_every_day() -> None:
    # 100 a day from the 9th on, nothing before: 7 + 15 days of 100.
    assert likely(estimate(series([0] * 8 + [100] * 7, [0] * 31), complete=15)) == 22000


def test_one_unusual_day_is_not_taken_for_every_day() -> None:
    # An app uses 10 a day: 300 x 0.10. Another used 700 once, yesterday: 70.00, and for the other 15 days more than 100
    # a day, the average of a week, because recent days count more, but less than 200 a day.
    usage = [series([10] * 15, app="shop"), series([0] * 14 + [700], app="report")]
    low, found, _ = cents(estimate(*usage, complete=15))
    assert 8500 <= low < found
    assert 10000 + 15000 < found < 10000 + 30000


def test_recent_days_count_more() -> None:
    # 10 a day, and 20 a day for the last week: more than the average of all days (14.7), less than 20.
    found = likely(estimate(series([10] * 8 + [20] * 7), complete=15))
    assert 2200 + 15 * 147 < found < 2200 + 15 * 200


def test_the_range_covers_what_the_last_week_and_the_whole_month_suggest() -> None:
    low, _, high = cents(estimate(series([10] * 8 + [20] * 7), complete=15))
    # 220 requests so far; 15 more days of 14.67 (the whole month) or 20 (the last week).
    assert low <= 2200 + 15 * 147
    assert high >= 2200 + 15 * 200


def test_usage_that_differs_between_days_has_a_wider_range_the_more_days_are_left() -> None:
    early = cents(estimate(series([4, 16] * 5), complete=10))
    late = cents(estimate(series([4, 16] * 10), complete=20))
    assert early[2] - early[0] > late[2] - late[0] > 0


def test_a_price_that_changes_later_in_the_month_applies_from_then_on() -> None:
    # 15 days so far and the 16th to the 20th at 0.10, ten days at 0.20: 200 x 0.10 + 100 x 0.20.
    until, dearer = at("2026-09-21"), replace(REQUESTS, model=PerUnit(Decimal("0.20")))
    prices = [replace(REQUESTS, effective_until=until), replace(dearer, effective_from=until)]
    found = estimate(series([10] * 15), complete=15, prices=prices, segment_end=until)
    assert cents(found) == (4000, 4000, 4000)


def test_an_address_that_is_counted_on_the_1st_is_not_counted_every_day() -> None:
    # 5 addresses on the 1st, now and last month, none expected after it: 5 x 0.10.
    assert cents(estimate(series([5], [5] + [0] * 30), complete=15)) == (50, 50, 50)


def test_a_bill_run_on_the_20th_of_last_month_is_expected_on_the_20th() -> None:
    # 70 on the 20th of last month, nothing this month: none at least, 7.00 likely.
    assert cents(estimate(series([], [0] * 19 + [70] + [0] * 11), complete=15)) == (0, 700, 700)


def test_a_single_day_of_use_in_a_first_month_may_come_once_more() -> None:
    assert cents(estimate(series([5]), complete=15)) == (50, 50, 100)


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        # The peak was 40 on the 10th of last month and 60 at its end: 20 grows to 30.
        pytest.param("max", 300, id="a peak grows as last month"),
        pytest.param("unique", 300, id="the number of different values grows as last month"),
        pytest.param("latest", 200, id="the last value stays"),
    ],
)
def test_quantities_that_do_not_add_up_by_day(aggregation: str, expected: int) -> None:
    usage = series([20] + [0] * 9, [40] + [0] * 19 + [20] + [0] * 10)
    assert likely(estimate(usage, complete=10, aggregations={"requests": aggregation})) == expected


def test_usage_of_last_month_under_a_price_that_ended_is_left_out() -> None:
    gone = series([], [10] * 31, "egress_gb")
    assert cents(estimate(series([10] * 15, [10] * 31), gone, complete=15)) == (3000, 3000, 3000)


def test_it_is_too_early_with_two_complete_days() -> None:
    found = estimate(series([10] * 3), complete=2)
    assert reason(found) == "too_early"
    assert found.in_words() == (
        "No estimate for the end of 2026-09: it is too early: there is usage of 2 complete days so far, and an estimate"
        " needs 3."
    )


def test_it_is_too_early_two_days_after_the_first_use() -> None:
    assert reason(estimate(series([0] * 10 + [10] * 2), complete=12)) == "too_early"


def test_usage_without_a_price_makes_no_estimate() -> None:
    assert reason(estimate(series([10] * 15, meter="gpu"), complete=15)) == "not_computable"


@pytest.mark.parametrize(
    ("now", "status", "code"),
    [
        ("2026-09-30T23:59:59", None, None),
        ("2026-09-30T23:59:59", "open", None),
        ("2026-10-01", "open", "month_is_over"),
        ("2026-10-04", "finalized", "month_is_final"),
        ("2026-10-04", "void", "month_is_final"),
        ("2026-08-31", None, "month_has_not_begun"),
    ],
)
def test_only_a_month_that_is_open_and_not_over_is_estimated(now: str, status: str | None, code: str | None) -> None:
    moment: datetime = at(now)
    found = why_no_estimate(SEPTEMBER, moment, status)
    assert (found and found.code) == code


def test_it_is_shown_as_an_estimate_with_its_range() -> None:
    found = estimate(series([4, 16] * 5), complete=10)
    assert isinstance(found, MonthEndEstimate)
    # About 10 a day: 300 x 0.10.
    assert re.fullmatch(r".* about \$30\.\d\d \(\$2\d\.\d\d to \$3\d\.\d\d\)\.", found.in_words())
    assert found.in_words().startswith("Estimate for the end of 2026-09, not owed: about ")
    assert found.method[0] == "This is an estimate. It is not owed, and it is in no other amount."
