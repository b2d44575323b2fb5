"""A minimum over several months counts late usage of each: its top-up is returned in the same run."""

from datetime import timedelta
from decimal import Decimal

import pytest

from fly_billing.corrections.correction import Actor
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.rules.guard import CorrectionGuard
from fly_billing.periods import BillingMonth
from tests.support.builders import OCTOBER, SEPTEMBER, Platform, at, event, write_jsonl

NOVEMBER, DECEMBER = BillingMonth(2026, 11), BillingMonth(2026, 12)
LATER = at("2027-03-10")
GUARD = CorrectionGuard(5, 50, Decimal(1))


def use(platform: Platform, month: BillingMonth, dollars: int, organization: str = "acme") -> None:
    """Use this many dollars of requests at 0.10, on the 15th, in place of earlier usage."""
    day = month.first_day + timedelta(days=14)
    used = event(f"{organization} {month}", str(10 * dollars), subject=organization, time=f"{day}T12:00:00Z")
    write_jsonl(platform.landing_dir, [used], day, organization)


def close(platform: Platform, *months: tuple[BillingMonth, int]) -> None:
    for month, dollars in months:
        use(platform, month, dollars)
        platform.close(month)


def late(platform: Platform, month: BillingMonth, dollars: int, organization: str = "acme") -> dict[str, Decimal]:
    """Correct the month to this many dollars; return the corrections of one run, by month."""
    use(platform, month, dollars, organization)
    platform.land(month.first_day + timedelta(days=14), now=LATER)
    platform.roll_up(month, LATER)
    return correct(platform, month)


def correct(platform: Platform, month: BillingMonth) -> dict[str, Decimal]:
    names = platform.organizations()
    done = correct_month(platform.database, month, names, platform.usage_table, Actor("ann", LATER), guard=GUARD)
    assert not done.failures
    assert not done.holds
    return {str(correction.month): correction.amount for correction in done.found if correction.amount}


@pytest.mark.parametrize(
    ("september", "booked"),
    [
        (30, {"2026-09": 10, "2026-10": -10}),  # covered by October's top-up: it costs nothing
        (70, {"2026-09": 50, "2026-10": -50}),
        (90, {"2026-09": 70, "2026-10": -50}),  # 20 more than the minimum
        (19, {"2026-09": -1, "2026-10": 1}),  # less usage: the minimum is still owed
    ],
)
def test_a_corrected_total_counts_towards_the_minimum_at_once(
    platform: Platform, september: int, booked: dict[str, int]
) -> None:
    """At least 100 over two months: 20 + 30 + a top-up of 50."""
    platform.commit("acme", "minimum", "100", months=2)
    close(platform, (SEPTEMBER, 20), (OCTOBER, 30))
    assert platform.totals() == [2000, 8000]
    assert late(platform, SEPTEMBER, september) == booked
    assert correct(platform, SEPTEMBER) == correct(platform, OCTOBER) == {}
    platform.close(NOVEMBER)
    assert sum(platform.totals()) == max(10000, 100 * (september + 30))


def test_late_usage_of_two_months_of_three_is_covered_by_the_third(platform: Platform) -> None:
    """100 over three months: 20 + 20 + 20 + 40. Ten more in each of the first two."""
    platform.commit("acme", "minimum", "100", months=3)
    close(platform, (SEPTEMBER, 20), (OCTOBER, 20), (NOVEMBER, 20))
    assert late(platform, OCTOBER, 30) == {"2026-10": 10, "2026-11": -10}
    assert late(platform, SEPTEMBER, 30) == {"2026-09": 10, "2026-11": -10}
    platform.close(DECEMBER)
    assert (platform.totals()[-1], sum(platform.totals())) == (0, 10000)


def test_a_month_of_the_next_term_does_not_change(platform: Platform) -> None:
    """100 over two months, twice: October's late 10 are covered in October, December's top-up stays."""
    platform.commit("acme", "minimum", "100", months=2)
    close(platform, (SEPTEMBER, 20), (OCTOBER, 30), (NOVEMBER, 20), (DECEMBER, 30))
    assert late(platform, OCTOBER, 40) == {}
    assert late(platform, NOVEMBER, 40) == {"2026-11": 20, "2026-12": -20}


def test_a_term_that_was_cut_short_is_topped_up_in_its_last_month(platform: Platform) -> None:
    platform.commit("acme", "minimum", "100", months=12, last_month=OCTOBER.first_day)
    close(platform, (SEPTEMBER, 20), (OCTOBER, 30))
    assert late(platform, SEPTEMBER, 30) == {"2026-09": 10, "2026-10": -10}


def test_late_usage_before_the_last_month_is_final_is_counted_when_it_is(platform: Platform) -> None:
    platform.commit("acme", "minimum", "100", months=2)
    close(platform, (SEPTEMBER, 20))
    assert late(platform, SEPTEMBER, 30) == {"2026-09": 10}
    close(platform, (OCTOBER, 30))
    assert platform.amounts("minimum", OCTOBER) == [40]
    assert sum(platform.totals()) == 10000


def test_a_month_finalized_after_the_last_one_also_counts(platform: Platform) -> None:
    """October was closed first and topped up 70. September's 20 were part of it."""
    platform.commit("acme", "minimum", "100", months=2)
    close(platform, (OCTOBER, 30), (SEPTEMBER, 20))
    assert platform.amounts("minimum", OCTOBER) == [70]
    assert correct(platform, SEPTEMBER) == {"2026-10": -20}


def test_usage_of_a_linked_organization_counts_towards_the_payers_minimum(platform: Platform) -> None:
    platform.add_organization("labs")
    platform.link("labs", "acme")
    platform.commit("acme", "minimum", "100", months=2)
    close(platform, (SEPTEMBER, 20), (OCTOBER, 30))
    assert late(platform, SEPTEMBER, 10, "labs") == {"2026-09": 10, "2026-10": -10}


def test_a_credit_that_paid_a_true_up_gets_back_the_part_that_late_usage_covers(platform: Platform) -> None:
    """October: 80 by credit, 50 of them topped up. Ten more in September: ten go back to the credit, and pay those."""
    platform.commit("acme", "minimum", "100", months=2)
    close(platform, (SEPTEMBER, 20))
    platform.grant("acme", "Welcome", "80", granted_at=OCTOBER.start)
    close(platform, (OCTOBER, 30))
    assert platform.totals() == [2000, 0]
    assert late(platform, SEPTEMBER, 30) == {"2026-09": 10}
    platform.close(NOVEMBER)
    assert platform.totals() == [2000, 0, 0]
