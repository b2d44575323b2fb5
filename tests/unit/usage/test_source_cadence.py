"""A usage source is silent once it missed two of its usual intervals."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from fly_billing.usage.rules.source_cadence import SilentSource, SourceDays, cadence, silent_sources
from tests.support.builders import days_of

DAILY = days_of(date(2026, 9, 1), date(2026, 9, 20))
# Monday 7 September to Friday 25 September 2026, without weekends.
WORKDAYS = [day for day in days_of(date(2026, 9, 7), date(2026, 9, 25)) if day.weekday() < 5]
MONTHLY = [date(2026, 6, 1), date(2026, 7, 1), date(2026, 8, 1), date(2026, 9, 1)]


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (DAILY, 1),
        # 19 gaps of one day; after an outage of four days two gaps in twenty would be needed to change it.
        ([*DAILY, date(2026, 9, 25), date(2026, 9, 26)], 1),
        (WORKDAYS, 3),  # two gaps of fourteen are weekends
        (MONTHLY, 31),
        (DAILY[:3], 1),
        (DAILY[:2], None),  # one gap shows no cadence
        ([], None),
    ],
)
def test_the_cadence_is_the_gap_that_nine_of_ten_gaps_do_not_exceed(days: list[date], expected: int | None) -> None:
    assert cadence(days) == expected


def silent(days: list[date], last_landed: date) -> list[SilentSource]:
    return silent_sources([SourceDays("proxy-#.jsonl", days)], last_landed)


def test_a_daily_source_is_silent_after_two_landed_days_without_a_file() -> None:
    assert silent(DAILY, date(2026, 9, 21)) == []
    assert silent(DAILY, date(2026, 9, 22)) == [SilentSource("proxy-#.jsonl", date(2026, 9, 20), 1)]


def test_a_source_that_rests_at_weekends_is_not_silent_on_monday() -> None:
    friday = WORKDAYS[-1]
    assert silent(WORKDAYS, friday + timedelta(days=5)) == []
    (found,) = silent(WORKDAYS, friday + timedelta(days=6))
    assert found.sentence == "no file since landing day 2026-09-25; it usually delivers at least every 3 days"


def test_a_source_with_two_landing_days_is_never_silent() -> None:
    assert silent(DAILY[:2], date(2026, 9, 20)) == []


def test_a_source_counts_as_retired_after_thirty_missed_cadences() -> None:
    assert len(silent(DAILY, date(2026, 10, 19))) == 1
    assert silent(DAILY, date(2026, 10, 20)) == []
