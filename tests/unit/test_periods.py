"""Billing months are half-open UTC calendar months: every moment is in exactly one of them."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.periods import BillingMonth, months_between, overlap_days, overlap_seconds, stretches

SEPTEMBER = BillingMonth(2026, 9)
GRACE = timedelta(hours=72)
# Hypothesis takes its bounds without offset.
FIRST, LAST = datetime(2, 1, 1), datetime(9998, 11, 30)  # noqa: DTZ001


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@given(st.datetimes(FIRST, LAST, timezones=st.timezones()))
def test_every_moment_is_in_exactly_one_month(moment: datetime) -> None:
    month = BillingMonth.containing(moment)
    assert month.start <= moment < month.end
    assert not month.plus(-1).start <= moment < month.plus(-1).end
    assert not month.plus(1).start <= moment < month.plus(1).end


@given(st.integers(1, 9998), st.integers(1, 12))
def test_a_month_ends_where_the_next_one_starts(year: int, month: int) -> None:
    billing_month = BillingMonth(year, month)
    assert billing_month.start < billing_month.end
    if (year, month) != (9998, 12):
        assert billing_month.end == billing_month.next().start


def test_midnight_at_the_months_end_belongs_to_the_next_month() -> None:
    assert BillingMonth.containing(utc("2026-09-30T23:59:59.999999")) == SEPTEMBER
    assert BillingMonth.containing(utc("2026-10-01T00:00:00")) == BillingMonth(2026, 10)


def test_a_month_is_in_utc_for_any_offset_of_the_sender() -> None:
    tokyo, honolulu = timezone(timedelta(hours=9)), timezone(timedelta(hours=-10))
    assert BillingMonth.containing(datetime(2026, 10, 1, 8, 59, tzinfo=tokyo)) == SEPTEMBER
    assert BillingMonth.containing(datetime(2026, 9, 30, 14, 0, tzinfo=honolulu)) == BillingMonth(2026, 10)


@pytest.mark.usefixtures("machine_in_honolulu")
def test_a_month_and_its_days_are_in_utc_in_every_time_zone() -> None:
    """05:00 in UTC is still the day before in Honolulu."""
    assert BillingMonth.containing(utc("2026-09-01T05:00:00")) == SEPTEMBER
    assert overlap_days(SEPTEMBER, utc("2026-09-16T05:00:00"), None) == 15
    assert overlap_days(SEPTEMBER, utc("2026-01-01"), utc("2026-09-16T05:00:00")) == 15


def test_months_are_in_the_years_1_to_9998() -> None:
    assert BillingMonth(1, 1).start == utc("0001-01-01")
    assert BillingMonth(9998, 12).end == utc("9999-01-01")
    with pytest.raises(ValueError, match="no such month: 0-12"):
        BillingMonth(0, 12)


def test_the_last_year_has_no_months() -> None:
    with pytest.raises(ValueError, match="no such month: 9999-1"):
        BillingMonth(9999, 1)


def test_a_time_without_offset_belongs_to_no_month() -> None:
    with pytest.raises(ValueError, match="no UTC offset"):
        BillingMonth.containing(datetime(2026, 9, 15))  # noqa: DTZ001 the naive time is the point


@pytest.mark.parametrize(
    ("month", "seconds"),
    [
        (BillingMonth(2026, 9), 2_592_000),
        (BillingMonth(2026, 10), 2_678_400),
        (BillingMonth(2026, 2), 2_419_200),
        (BillingMonth(2028, 2), 2_505_600),
        (BillingMonth(2100, 2), 2_419_200),
        (BillingMonth(2000, 2), 2_505_600),
    ],
    ids=str,
)
def test_a_month_has_86400_seconds_per_day(month: BillingMonth, seconds: int) -> None:
    assert month.seconds == seconds


def test_december_ends_in_the_next_year() -> None:
    assert BillingMonth(2026, 12).end == utc("2027-01-01")
    assert BillingMonth(2026, 12).next() == BillingMonth(2027, 1)
    assert BillingMonth(2027, 1).plus(-1) == BillingMonth(2026, 12)
    assert BillingMonth(2026, 11).plus(14) == BillingMonth(2028, 1)


def test_months_are_listed_with_both_ends() -> None:
    listed = months_between(BillingMonth(2026, 11), BillingMonth(2027, 2))
    assert [str(month) for month in listed] == ["2026-11", "2026-12", "2027-01", "2027-02"]
    assert months_between(SEPTEMBER, BillingMonth(2026, 8)) == []


def test_a_month_is_read_from_its_name_or_its_first_day() -> None:
    assert BillingMonth.parse("2026-09") == BillingMonth.parse("2026-09-01") == SEPTEMBER
    for text in ("2026-9", "2026-09-02", "September", "2026-13", ""):
        with pytest.raises(ValueError, match="month"):
            BillingMonth.parse(text)


def test_a_month_closes_72_hours_after_its_end() -> None:
    assert not SEPTEMBER.is_closed(utc("2026-10-03T23:59:59.999999"), GRACE)
    assert SEPTEMBER.is_closed(utc("2026-10-04T00:00:00"), GRACE)


@pytest.mark.parametrize(
    ("grace", "last"),
    [
        (GRACE, date(2026, 10, 3)),
        (timedelta(hours=73), date(2026, 10, 4)),
        (timedelta(0), date(2026, 9, 30)),
        (timedelta(microseconds=1), date(2026, 10, 1)),
    ],
)
def test_the_last_landing_day_is_the_last_day_that_begins_before_the_month_closes(grace: timedelta, last: date) -> None:
    assert SEPTEMBER.last_landing_day(grace) == last


@pytest.mark.parametrize(
    ("started", "ended", "seconds"),
    [
        ("2026-01-01", None, 2_592_000),
        ("2026-09-01", "2026-10-01", 2_592_000),
        ("2026-09-16", None, 1_296_000),
        ("2026-01-01", "2026-09-02T00:00:01", 86_401),
        ("2026-09-30T23:59:59", None, 1),
        ("2026-10-01", None, 0),
        ("2026-01-01", "2026-09-01", 0),
        ("2026-09-15", "2026-09-15", 0),
        ("2026-09-15T00:00:00.900000", "2026-09-15T00:00:01.100000", 1),
        ("2026-09-30T23:59:59.999999", None, 1),
    ],
)
def test_a_subscription_runs_in_a_month_for_the_seconds_it_shares_with_it(
    started: str, ended: str | None, seconds: int
) -> None:
    assert overlap_seconds(SEPTEMBER, utc(started), utc(ended) if ended else None) == seconds


@pytest.mark.parametrize(
    ("started", "ended", "days"),
    [
        ("2026-01-01", None, 30),
        ("2026-09-01", "2026-10-01", 30),
        ("2026-09-16T23:59:59", None, 15),  # the day on which it begins counts
        ("2026-01-01", "2026-09-16T23:59:59", 15),  # the day on which it ends does not
        ("2026-09-30T23:59:59.999999", None, 1),
        ("2026-01-01", "2026-09-30T23:59:59", 29),
        ("2026-09-15T01:00:00", "2026-09-15T23:00:00", 0),
        ("2026-09-15T23:00:00", "2026-09-16T01:00:00", 1),
        ("2026-10-01", None, 0),
        ("2026-01-01", "2026-09-01T12:00:00", 0),
        ("2026-01-01", "2026-08-01", 0),
    ],
)
def test_a_subscription_charged_by_the_day_runs_on_utc_days_except_its_last(
    started: str, ended: str | None, days: int
) -> None:
    assert overlap_days(SEPTEMBER, utc(started), utc(ended) if ended else None) == days


def test_a_day_is_the_utc_day_and_not_the_subscribers() -> None:
    tokyo = timezone(timedelta(hours=9))
    assert overlap_days(SEPTEMBER, datetime(2026, 9, 16, 8, tzinfo=tokyo), None) == 16


@given(st.lists(st.integers(0, 30 * 86_400 * 1_000_000), max_size=6))
def test_consecutive_parts_split_the_seconds_and_days_of_a_month(cuts: list[int]) -> None:
    moments = [SEPTEMBER.start + timedelta(microseconds=cut) for cut in sorted(cuts)]
    parts = list(zip([SEPTEMBER.start, *moments], [*moments, None], strict=True))
    assert sum(overlap_seconds(SEPTEMBER, start, end) for start, end in parts) == 2_592_000
    assert sum(overlap_days(SEPTEMBER, start, end) for start, end in parts) == 30


SEVENTH, EIGHTH, TENTH, FIRST_OF_OCTOBER = date(2026, 9, 7), date(2026, 9, 8), date(2026, 9, 10), date(2026, 10, 1)


@pytest.mark.parametrize(
    ("days", "grouped"),
    [
        ([], []),
        ([TENTH], [(TENTH, TENTH)]),
        ([EIGHTH, SEVENTH, TENTH], [(SEVENTH, EIGHTH), (TENTH, TENTH)]),
        ([TENTH, date(2026, 9, 9), SEVENTH, EIGHTH], [(SEVENTH, TENTH)]),
        ([FIRST_OF_OCTOBER, TENTH, date(2026, 9, 30)], [(TENTH, TENTH), (date(2026, 9, 30), FIRST_OF_OCTOBER)]),
        (
            [SEVENTH, date(2026, 9, 9), date(2026, 9, 11)],
            [(day, day) for day in (SEVENTH, date(2026, 9, 9), date(2026, 9, 11))],
        ),
    ],
)
def test_landing_days_are_named_as_unbroken_ranges(days: list[date], grouped: list[tuple[date, date]]) -> None:
    assert stretches(days) == grouped
