"""A commitment for a part of a month: from the records to the invoice, its explanation and its recalculation."""

import pytest
from sqlalchemy.exc import IntegrityError

from fly_billing.periods import BillingMonth
from tests.integration.corrections.test_credits_given_back import all_is_explained, correct
from tests.support.builders import OCTOBER, SEPTEMBER, Platform, at, event, write_jsonl


def test_a_minimum_of_ten_days_is_a_third_and_recalculates_to_the_same_amount(platform: Platform) -> None:
    """At least 100.00 from the 21st on: 33.33 in September, 100.00 in October. 20.00 of usage, then 30.00: no more."""
    platform.commit("acme", "minimum", "100", runs_from=at("2026-09-21"))
    platform.use(event("e1", "200"))
    assert platform.close().failures == []
    assert platform.totals() == [3333]
    assert all_is_explained(platform)
    correct(platform, "300")
    assert platform.close(OCTOBER).failures == []
    assert platform.totals() == [3333, 10000]
    assert all_is_explained(platform)


def test_a_quarter_that_ends_early_is_prorated_and_counts_earlier_usage(platform: Platform) -> None:
    """At least 92.00 for 92 days of October to December, until 1 December: 61.00, less 20.00 of October."""
    december = BillingMonth(2026, 12)
    platform.commit(
        "acme", "minimum", "92", months=3, first_month=OCTOBER.first_day, last_month=december.first_day,
        runs_until=at("2026-12-01"),
    )  # fmt: skip
    write_jsonl(platform.landing_dir, [event("o", "200", time="2026-10-15T12:00:00Z")], at("2026-10-15").date())
    for month in (SEPTEMBER, OCTOBER, OCTOBER.next(), december):
        assert platform.close(month).failures == []
    assert platform.totals() == [0, 2000, 0, 4100]


@pytest.mark.parametrize(
    "times",
    [
        {"runs_from": at("2026-08-31")},
        {"runs_until": at("2026-09-01")},
        {"runs_from": at("2026-09-20"), "runs_until": at("2026-09-20")},
        {"runs_from": at("2026-11-01"), "last_month": OCTOBER.first_day},
        {"runs_from": at("2300-01-01")},
    ],
)
def test_a_commitment_that_ends_outside_of_its_months_is_refused(platform: Platform, times: dict[str, object]) -> None:
    with pytest.raises(IntegrityError, match="check"):
        platform.commit("acme", "minimum", "100", **times)
    assert platform.query("select amount from commitments") == []
