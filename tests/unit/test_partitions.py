"""A run's tags name its partitions: a range replaces leftover tags beside it, and contradictions are refused."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from fly_billing.partitions import (
    BillingPartition,
    WrongPartitions,
    named_billing_partitions,
    named_days,
    named_months,
    named_range,
)
from fly_billing.periods import BillingMonth

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
ONE, MONTH, ORG = "dagster/partition", "dagster/partition/month", "dagster/partition/org"
# In the order in which they were added.
GROUPS = ["zeta", "acme", "tail-00"]


def months(first: tuple[int, int], *others: tuple[int, int]) -> list[BillingMonth]:
    return [BillingMonth(*first), *(BillingMonth(*month) for month in others)]


@pytest.mark.parametrize(
    ("tags", "named"),
    [
        ({START: "2026-08-01|zeta", END: "2026-10-01|acme"}, ("2026-08-01|zeta", "2026-10-01|acme")),
        ({ONE: "2026-10-01|acme"}, ("2026-10-01|acme", "2026-10-01|acme")),
        ({ONE: "2026-10-01|acme", MONTH: "2026-10-01", ORG: "acme"}, ("2026-10-01|acme", "2026-10-01|acme")),
        ({ORG: "acme", MONTH: "2026-10-01"}, ("2026-10-01|acme", "2026-10-01|acme")),
        ({ONE: "2026-10-14"}, ("2026-10-14", "2026-10-14")),
        ({ONE: "2026-10-14", START: "2026-10-14", END: "2026-10-14"}, ("2026-10-14", "2026-10-14")),
        # A job's page leaves the backfill's first partition in each of its runs.
        (
            {START: "2026-09-01|zeta", END: "2026-09-01|tail-00", MONTH: "2026-08-01", ORG: "zeta"},
            ("2026-09-01|zeta", "2026-09-01|tail-00"),
        ),
    ],
)
def test_a_run_covers_the_partitions_of_its_tags(tags: dict[str, str], named: tuple[str, str]) -> None:
    assert named_range({"fly_billing/month": "2026-10", "dagster/partition_set": "x", **tags}) == named


@pytest.mark.parametrize(
    ("tags", "problem"),
    [
        ({}, "the run names no partition"),
        ({START: "2026-10-01|acme"}, "only one of the tags"),
        ({END: "2026-10-01|acme", ONE: "2026-10-01|acme"}, "only one of the tags"),
        ({START: "2026-08-01", END: "2026-10-01", ONE: "2026-09-01"}, "is 2026-09-01, but the range is 2026-08-01 to"),
        ({ONE: "2026-10-01|acme", MONTH: "2026-09-01", ORG: "acme"}, "tags of its dimensions are 2026-09-01|acme"),
    ],
)
def test_tags_with_no_partition_or_two_different_ones_are_refused(tags: dict[str, str], problem: str) -> None:
    with pytest.raises(WrongPartitions) as raised:
        named_range(tags)
    assert problem in str(raised.value)
    assert "Launch the partitions again" in str(raised.value)


def test_a_range_covers_each_of_its_groups_in_each_of_its_months() -> None:
    tags = {START: "2026-08-01|zeta", END: "2026-10-01|acme"}
    assert named_billing_partitions(tags, GROUPS, NOW) == [
        BillingPartition(month, ["zeta", "acme"]) for month in months((2026, 8), (2026, 9), (2026, 10))
    ]


def test_the_partitions_of_a_month_have_a_key_per_group() -> None:
    part = BillingPartition(BillingMonth(2026, 10), ["zeta", "acme"])
    assert part.keys == ["2026-10-01|zeta", "2026-10-01|acme"]


@pytest.mark.parametrize(
    ("first", "last", "problem"),
    [
        ("2026-10-01|acme", "2026-10-01|zeta", "reversed: zeta was added before acme"),
        ("2026-10-01|nobody", "2026-10-01|acme", "there is no partition 2026-10-01|nobody"),
        ("2026-10-01|acme", "2026-10-01|nobody", "there is no partition 2026-10-01|nobody"),
        ("2026-10-01", "2026-10-01", "there is no partition 2026-10-01: the billing group (none) has none"),
        ("2026-10-02|acme", "2026-10-02|acme", "there is no partition 2026-10-02"),
        ("october|acme", "october|acme", "'october' is not a day"),
    ],
)
def test_partitions_that_do_not_exist_and_reversed_groups_are_refused(first: str, last: str, problem: str) -> None:
    with pytest.raises(WrongPartitions) as raised:
        named_billing_partitions({START: first, END: last}, GROUPS, NOW)
    assert problem in str(raised.value)


def test_months_run_from_the_first_key_to_the_last() -> None:
    assert named_months("2025-12-01", "2026-01-01", NOW) == months((2025, 12), (2026, 1))
    assert named_months("2026-11-01", "2026-11-01", NOW) == months((2026, 11))


@pytest.mark.parametrize(
    ("first", "last", "problem"),
    [
        ("2026-12-01", "2026-12-01", "2026-12 has not begun. The last month that can be billed is 2026-11"),
        ("2026-10-01", "2027-05-01", "2027-05 has not begun. The last month that can be billed is 2026-11"),
        ("2022-12-01", "2023-01-01", "2022-12 is before 2023-01, the first month that can be billed"),
        ("2026-10-01", "2026-09-01", "the range 2026-10 to 2026-09 is reversed"),
    ],
)
def test_months_that_cannot_be_billed_are_refused(first: str, last: str, problem: str) -> None:
    with pytest.raises(WrongPartitions, match=problem):
        named_months(first, last, NOW)


def test_a_month_begins_at_midnight_utc() -> None:
    midnight = datetime(2026, 12, 1, tzinfo=UTC)
    assert named_months("2026-12-01", "2026-12-01", midnight) == months((2026, 12))
    with pytest.raises(WrongPartitions):
        named_months("2026-12-01", "2026-12-01", midnight.replace(month=11, day=30, hour=23, minute=59))


def test_landing_days_run_from_the_first_key_to_the_last() -> None:
    assert named_days("2026-10-31", "2026-11-01", NOW) == [date(2026, 10, 31), date(2026, 11, 1)]


@pytest.mark.parametrize(
    ("first", "last", "problem"),
    [
        ("2026-11-29", "2026-11-30", "2026-11-30 has not begun. The last day that can be landed is 2026-11-29"),
        ("2022-12-31", "2023-01-01", "2022-12-31 is before 2023-01-01"),
        ("2026-10-02", "2026-10-01", "the range 2026-10-02 to 2026-10-01 is reversed"),
        ("20261001", "20261001", "'20261001' is not a day"),
        ("2026-10-01|acme", "2026-10-01|acme", "'2026-10-01.acme' is not a day"),
    ],
)
def test_landing_days_that_cannot_be_landed_are_refused(first: str, last: str, problem: str) -> None:
    with pytest.raises(WrongPartitions, match=problem):
        named_days(first, last, NOW)
