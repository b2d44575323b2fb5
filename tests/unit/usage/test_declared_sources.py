"""A declared source is late when its last event is older than it may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fly_billing.usage.rules.declared_sources import DeclaredSource, in_words, late_sources

NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)
PROXY = DeclaredSource("proxy", ("requests",), "hourly", timedelta(hours=3))


def late(age: timedelta) -> list[str]:
    return [each.sentence for each in late_sources([PROXY], {"proxy": NOON - age}, NOON)]


def test_a_source_is_late_once_its_last_event_is_older_than_it_may_be() -> None:
    assert late(timedelta(hours=3)) == []
    assert late(timedelta(hours=3, seconds=1)) == [
        "proxy: no usage since 2026-11-05 08:59 UTC; it sends hourly, and is late after 3 hours"
    ]


def test_a_source_that_never_sent_usage_is_new_and_not_late() -> None:
    assert late_sources([PROXY], {}, NOON) == []


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(days=1), "1 day"),
        (timedelta(days=35), "35 days"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(minutes=90), "90 minutes"),
    ],
)
def test_a_period_is_written_in_its_largest_whole_unit(age: timedelta, text: str) -> None:
    assert in_words(age) == text
