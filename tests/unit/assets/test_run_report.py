"""A run that covers fewer partitions than requested fails and names the missing ones."""

from __future__ import annotations

from fly_billing.assets.run_report import PartitionOutcomes

REQUESTED = ["2026-10-01|acme", "2026-10-01|beta", "2026-10-01|corp"]


def test_a_run_that_covered_or_failed_each_requested_partition_has_no_difference() -> None:
    outcomes = PartitionOutcomes(REQUESTED, {"2026-10-01|acme": {}, "2026-10-01|beta": {}})
    outcomes.fail("2026-10-01|corp", {"what to do": "add its price"})
    assert outcomes.differences() == []


def test_a_requested_partition_that_was_not_covered_is_named() -> None:
    outcomes = PartitionOutcomes(REQUESTED, {"2026-10-01|beta": {}})
    (row,) = outcomes.differences()
    assert row["what to do"] == (
        "the run did not cover 2 partitions: 2026-10-01|acme, 2026-10-01|corp. Launch these partitions again"
    )


def test_an_unrequested_partition_is_named() -> None:
    outcomes = PartitionOutcomes(REQUESTED[:1], {key: {} for key in REQUESTED[:2]})
    assert outcomes.differences() == [
        {"what to do": "the run covered 1 partition: 2026-10-01|beta, which it was not asked for: a bug"}
    ]


def test_the_first_three_of_many_missing_partitions_are_named_and_the_rest_counted() -> None:
    outcomes = PartitionOutcomes([f"2026-10-{day:02}" for day in range(1, 31)])
    (row,) = outcomes.differences()
    assert "30 partitions: 2026-10-01, 2026-10-02, 2026-10-03 and 27 more" in row["what to do"]
