"""Revenue is recognized in the months that supply it: worked by hand, and every broken variant fails the check.

An annual fee of 365.00 from 1 September 2026 on is a dollar a day. Charged in advance, it is on August's invoice.
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy.exc import IntegrityError

from fly_billing.accounting.recognition import defer_revenue, recognition_problems, revenue_sums
from fly_billing.invoicing.reservation_sales import reserve
from fly_billing.periods import BillingMonth, months_between
from fly_billing.pricing.rules.reservations import Reservation, ReservationBlock
from tests.support.builders import OCTOBER, SEPTEMBER, Platform, at, price
from tests.support.unguarded import damage

AUGUST, NOVEMBER, DECEMBER = BillingMonth(2026, 8), BillingMonth(2026, 11), BillingMonth(2026, 12)
YEARLY = price("yearly", "365", unit="year", interval="year")


def sell_year(platform: Platform, organization: str = "acme") -> None:
    """Sell the annual fee from 1 September on, charged in advance: on August's invoice."""
    platform.load(YEARLY)
    platform.add_subscription(
        organization, "yearly", at("2026-09-01"), billed="in_advance", anchor="start", proration="day"
    )


def close(platform: Platform, *months: BillingMonth) -> None:
    for month in months:
        assert platform.close(month).failures == []
    assert defer_revenue(platform.database).failed == []


def recognized(platform: Platform, account: str = "revenue", organization: str = "acme") -> dict[str, int]:
    """Return what each accounting month credits to the account, in cents."""
    rows = platform.query(
        "select month, cast(-sum(amount_cents) as bigint) as cents from finance_journal"
        " where account = :account and organization_id = :organization group by month having sum(amount_cents) <> 0"
        " order by month",
        account=account, organization=organization,
    )  # fmt: skip
    return {f"{row['month']:%Y-%m}": row["cents"] for row in rows}


def problems(platform: Platform, *months: BillingMonth) -> list[tuple[str, str, str, str]]:
    return [
        (row["organization_id"], row["what"], row["is"], row["should be"])
        for month in months
        for row in recognition_problems(platform.database, month)
    ]


A_DOLLAR_A_DAY = {
    "2026-09": 3000, "2026-10": 3100, "2026-11": 3000, "2026-12": 3100, "2027-01": 3100, "2027-02": 2800,
    "2027-03": 3100, "2027-04": 3000, "2027-05": 3100, "2027-06": 3000, "2027-07": 3100, "2027-08": 3100,
}  # fmt: skip


def test_a_year_charged_in_advance_is_recognized_by_day(platform: Platform) -> None:
    """August's invoice charges 365.00: nothing is August's, 30.00 September's, 31.00 October's."""
    sell_year(platform)
    close(platform, AUGUST)
    assert platform.totals() == [36500]
    assert recognized(platform) == A_DOLLAR_A_DAY
    assert recognized(platform, "deferred_revenue") == {"2026-08": 36500} | {
        month: -cents for month, cents in A_DOLLAR_A_DAY.items()
    }
    assert problems(platform, AUGUST, SEPTEMBER, OCTOBER) == []
    (sums,) = revenue_sums(platform.database, SEPTEMBER)
    assert (sums.billed_cents, sums.recognized_cents, sums.deferred_cents) == (36500, 3000, 33500)


def test_deferring_twice_stores_nothing_more(platform: Platform) -> None:
    sell_year(platform)
    close(platform, AUGUST)
    assert defer_revenue(platform.database).deferred == 0
    assert recognized(platform) == A_DOLLAR_A_DAY


def test_a_discount_follows_the_fee_that_it_reduces(platform: Platform) -> None:
    """Half off: 182.50 for 365 days. After 30 days 15.00; after 61 days 30.50; after 91 days 45.50."""
    platform.insert("coupons", code="HALF", description="Half off", percent=Decimal(50))
    platform.redeem("acme", "HALF", AUGUST)
    sell_year(platform)
    close(platform, AUGUST)
    assert platform.totals() == [18250]
    months = recognized(platform)
    assert [months[month] for month in ("2026-09", "2026-10", "2026-11")] == [1500, 1550, 1500]
    assert sum(months.values()) == 18250
    assert problems(platform, AUGUST) == []


def test_a_cancelled_year_gives_back_what_was_deferred(platform: Platform) -> None:
    """Cancelled on 1 December, after 91 days: November's invoice gives back 274.00, and 91.00 stay recognized."""
    sell_year(platform)
    close(platform, AUGUST, SEPTEMBER, OCTOBER)
    platform.execute("update subscriptions set ended_at = '2026-12-01Z'")
    close(platform, NOVEMBER)
    assert platform.totals() == [36500, 0, 0, -27400]
    assert recognized(platform) == {"2026-09": 3000, "2026-10": 3100, "2026-11": 3000}
    assert recognized(platform, "deferred_revenue") == {
        "2026-08": 36500, "2026-09": -3000, "2026-10": -3100, "2026-11": -3000 - 27400,
    }  # fmt: skip
    assert problems(platform, AUGUST, SEPTEMBER, OCTOBER, NOVEMBER) == []


def test_a_void_invoice_has_no_revenue_in_the_end(platform: Platform) -> None:
    """August's invoice becomes void in this month, long after or before its months: everything adds up to nothing."""
    sell_year(platform)
    close(platform, AUGUST)
    platform.execute("update invoices set status = 'void'")
    close(platform)
    assert sum(recognized(platform).values()) == 0
    assert sum(recognized(platform, "deferred_revenue").values()) == 0
    assert problems(platform, *months_between(AUGUST, DECEMBER)) == []


def test_a_reservation_is_recognized_over_its_months(platform: Platform) -> None:
    """36.50 for a year of credits: 30/365 of it, 3.00, is September's."""
    sizes = price("sizes", "1", "egress_gb", match={"region": ("ams",)}, unit="GB")
    platform.load(sizes)
    block = ReservationBlock(
        "fly", "egress", "Egress", "USD", Decimal("36.50"), Decimal(5), 12, "egress_gb", {}, "region", at("2026-01-01")
    )
    assert reserve(platform.database, Reservation(block, "acme", "ams", SEPTEMBER))
    close(platform, SEPTEMBER)
    assert recognized(platform) == {month: cents // 10 for month, cents in A_DOLLAR_A_DAY.items()}
    assert problems(platform, SEPTEMBER) == []


def test_a_tax_contained_in_the_fee_is_not_recognized(platform: Platform) -> None:
    """365.00 contain 19 %: 58.28 of tax and 306.72 of revenue. After 30 days: 25.2099 is 25.21."""
    platform.add_tax("acme", "VAT", "19", is_inclusive=True, first_month=AUGUST.first_day)
    sell_year(platform)
    close(platform, AUGUST)
    months = recognized(platform)
    assert months["2026-09"] == 2521
    assert sum(months.values()) == 30672
    assert problems(platform, AUGUST) == []


def test_amounts_are_exact_in_currencies_without_cents(platform: Platform) -> None:
    """1,000 yen over 365 days: after 30 days 82.19 is 82, after 61 days 167.12 is 167, so October has 85."""
    platform.add_organization("kyoto", "JPY")
    platform.load(price("jahr", "1000", unit="year", interval="year", currency="JPY"))
    platform.add_subscription("kyoto", "jahr", at("2026-09-01"), billed="in_advance", anchor="start")
    close(platform, AUGUST)
    months = recognized(platform, organization="kyoto")
    assert (months["2026-09"], months["2026-10"], sum(months.values())) == (82, 85, 1000)


def test_an_invoice_of_nothing_still_moves_its_fee(platform: Platform) -> None:
    """A goodwill of 365.00 makes August's total 0; the fee is recognized by day, and the goodwill in August."""
    platform.add_one_off("acme", "Goodwill", "-365", at("2026-08-20"))
    sell_year(platform)
    close(platform, AUGUST)
    assert platform.totals() == [0]
    assert recognized(platform) == {"2026-08": -36500} | A_DOLLAR_A_DAY
    assert problems(platform, AUGUST) == []


# The check -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "what", "found", "should_be"),
    [
        (
            "delete from revenue_deferrals where month = '2026-10-01'",
            "revenue moved to 2026-10", "nothing", "$31.00",
        ),
        (
            "update revenue_deferrals set amount_cents = amount_cents + 1 where month = '2026-10-01'",
            "revenue moved to 2026-10", "$31.01", "$31.00",
        ),
        (
            "update revenue_deferrals set month = '2028-10-01' where month = '2026-10-01'",
            "revenue moved to 2028-10", "$31.00", "nothing",
        ),
    ],
)  # fmt: skip
def test_a_dropped_or_changed_deferral_fails_the_check(
    platform: Platform, statement: str, what: str, found: str, should_be: str
) -> None:
    sell_year(platform)
    close(platform, AUGUST)
    damage(platform.database, statement)
    assert ("acme", what, found, should_be) in problems(platform, AUGUST)


def test_revenue_that_is_lost_between_the_months_fails_the_sum(platform: Platform) -> None:
    """October's 31.00 is dropped: at the end of September, 30.00 + 304.00 are not 365.00."""
    sell_year(platform)
    close(platform, AUGUST)
    damage(platform.database, "delete from revenue_deferrals where month = '2026-10-01'")
    assert problems(platform, SEPTEMBER) == [("acme", "recognized + deferred + breakage", "$334.00", "$365.00")]


def test_an_invoice_that_was_never_deferred_fails_the_check_until_it_is(platform: Platform) -> None:
    sell_year(platform)
    assert platform.close(AUGUST).failures == []
    assert ("acme", "revenue moved to 2026-08", "nothing", "-$365.00") in problems(platform, AUGUST)
    close(platform)
    assert problems(platform, AUGUST) == []


def test_an_item_that_can_not_be_read_fails_for_its_organization_only(platform: Platform) -> None:
    platform.add_organization("beta")
    sell_year(platform)
    sell_year(platform, "beta")
    platform.insert("coupons", code="HALF", description="Half off", percent=Decimal(50))
    platform.redeem("beta", "HALF", AUGUST)
    assert platform.close(AUGUST).failures == []
    damage(platform.database, """update invoice_items set detail = '{"applied_to": [{}]}' where kind = 'discount'""")
    report = defer_revenue(platform.database)
    assert report.deferred == 1
    assert [each.organization_id for each in report.failed] == ["beta"]
    assert [row[0] for row in problems(platform, AUGUST)] == ["beta"]
    assert recognized(platform) == A_DOLLAR_A_DAY


def test_the_database_refuses_deferrals_that_do_not_sum_to_zero(platform: Platform) -> None:
    sell_year(platform)
    assert platform.close(AUGUST).failures == []
    with pytest.raises(IntegrityError, match="of acme sum to 5 instead of 0"):
        platform.execute(
            "insert into revenue_deferrals (month, invoice_change_id, organization_id, currency, amount_cents)"
            " select '2026-10-01', id, 'acme', 'USD', 5 from invoice_changes where to_status = 'finalized'"
        )


def test_everything_that_needs_no_later_month_has_no_deferral(platform: Platform) -> None:
    platform.add_subscription("acme", "support", at("2026-09-01"))
    platform.add_one_off("acme", "Setup", "10.00", at("2026-09-03"))
    close(platform, SEPTEMBER)
    assert platform.query("select count(*) as n from revenue_deferrals") == [{"n": 0}]
    assert recognized(platform) == {"2026-09": 3900}
