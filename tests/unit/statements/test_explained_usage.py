"""The sum that explains a quantity equals the billed quantity, for any split of the month."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.invoicing.rules.inputs import UsageRollup
from fly_billing.pricing.rules.aggregations import Aggregation, UsageOfMonth
from fly_billing.statements.rules.quantities import (
    DecidingEvents,
    EventLine,
    LandedMeasurement,
    Stretch,
    explain_quantity,
)
from fly_billing.statements.rules.sums import Sum
from tests.support.builders import SEPTEMBER, at, id_of

MICROSECONDS = SEPTEMBER.seconds * 1_000_000
TIMES = (st.sampled_from([0, 1, 86_400_000_000, MICROSECONDS - 1]) | st.integers(0, MICROSECONDS - 1)).map(
    lambda microseconds: SEPTEMBER.start + timedelta(microseconds=microseconds)
)
LEVELS = st.integers(0, 3).map(Decimal) | st.decimals(0, Decimal("1e12"), places=15)
REPORTED = st.lists(
    st.builds(LandedMeasurement, TIMES, st.just("app"), st.integers(0, 99).map(str), LEVELS, st.sampled_from("uv")),
    max_size=8,
    unique_by=lambda measurement: measurement.id,
)
BEFORE = st.dictionaries(st.sampled_from("uw"), st.decimals(Decimal("1e-15"), Decimal("1e12"), places=15))
AS_OF = st.just(SEPTEMBER.end) | TIMES


def landed(name: str, quantity: str, time: str, value: str = "vol-1") -> LandedMeasurement:
    return LandedMeasurement(at(time), "app", name, Decimal(quantity), value, f"{time[:10]}/usage.jsonl:1")


def explained(
    how: Aggregation,
    events: Sequence[LandedMeasurement],
    quantity: str,
    start: datetime = SEPTEMBER.start,
    end: datetime = SEPTEMBER.end,
    before: Sequence[LandedMeasurement] = (),
) -> Sum:
    """Explain a rollup without dimensions of exactly these events, billed as `quantity`."""
    rollup = UsageRollup(id_of("rollup"), "volume", {}, start, end, Decimal(quantity))
    deciding = DecidingEvents(how, SEPTEMBER, SEPTEMBER.end, events, before)
    return explain_quantity(rollup, len(events), "unit", deciding)


@given(st.sampled_from([1, 7, 3600, 2_592_000]), REPORTED, BEFORE, st.lists(TIMES, max_size=3, unique=True), AS_OF)
def test_intervals_of_a_level_add_up_to_the_billed_quantity_in_every_part_of_the_month(
    unit: int, events: list[LandedMeasurement], levels: dict[str, Decimal], cuts: list[datetime], as_of: datetime
) -> None:
    how = Aggregation("time_weighted", series="volume", time_unit=unit)
    events.sort(key=lambda level: level.order)
    before = [LandedMeasurement(at("2026-08-01"), "app", name, level, name) for name, level in levels.items()]
    inside = sorted(cut for cut in cuts if cut > SEPTEMBER.start)
    here, elsewhere = ([added for added in events if (int(added.id) % 3 == 0) is moved] for moved in (False, True))
    for segment in UsageOfMonth(how, SEPTEMBER, here, as_of, levels, elsewhere).segments(inside):
        rollup = UsageRollup(id_of("rollup"), "volume", {}, segment.start, segment.end, segment.quantity)
        deciding = DecidingEvents(how, SEPTEMBER, as_of, here, before, elsewhere)
        explanation = explain_quantity(rollup, segment.events, "unit", deciding)
        assert explanation.problems() == []
        assert all(line.product for line in explanation.lines[:-1])


def test_a_level_ends_when_its_series_is_reported_under_other_dimensions() -> None:
    """10 GB from the 1st, moved on the 16th: 10 x 15 days of 24 hours."""
    events, moved = landed("1", "10", "2026-09-01"), landed("2", "10", "2026-09-16")
    rollup = UsageRollup(id_of("rollup"), "volume", {}, SEPTEMBER.start, SEPTEMBER.end, Decimal(3600))
    explanation = explain_quantity(
        rollup, 1, "GB-hour", DecidingEvents(GB_HOURS, SEPTEMBER, SEPTEMBER.end, [events], [], [moved])
    )
    assert [line.label for line in explanation.lines] == ["volume vol-1, 2026-09-01 to 2026-09-16, reported by app 1"]
    assert explanation.problems() == []


def test_a_level_that_moved_away_is_rounded_at_the_time_of_the_move() -> None:
    """1 GB for 20 minutes: a third of a GB-hour, 0.333333333333333 as billed."""
    events, moved = landed("1", "1", "2026-09-02"), landed("2", "1", "2026-09-02T00:20:00")
    rollup = UsageRollup(id_of("rollup"), "volume", {}, SEPTEMBER.start, SEPTEMBER.end, Decimal("0.333333333333333"))
    deciding = DecidingEvents(GB_HOURS, SEPTEMBER, SEPTEMBER.end, [events], [], [moved])
    explanation = explain_quantity(rollup, 1, "GB-hour", deciding)
    assert shown_lines(explanation) == [
        (
            "volume vol-1, 2026-09-02 to 2026-09-02 00:20:00, reported by app 1",
            "1 x 1,200 / 3,600",
            Decimal("0.33333333333333333333"),
        ),
        ("rounded to 15 decimal places from the month's start", "", Decimal("-0.00000000000000033333")),
    ]
    assert explanation.problems() == []


def test_only_the_last_of_simultaneous_levels_counts() -> None:
    """From the 30th at midnight: 5 x 86,400 seconds."""
    seconds = Aggregation("time_weighted", series="volume", time_unit=1)
    events = [landed("1", "9", "2026-09-30"), landed("2", "5", "2026-09-30")]
    explanation = explained(seconds, events, "432000")
    assert [(line.label, line.working) for line in explanation.lines] == [
        ("volume vol-1, 2026-09-30 to 2026-10-01, reported by app 2", "5 x 86,400")
    ]
    assert explanation.problems() == []


def test_a_level_that_ended_before_a_price_change_is_not_billed_after_it() -> None:
    seconds = Aggregation("time_weighted", series="volume", time_unit=1)
    events = [landed("1", "9", "2026-09-02"), landed("2", "0", "2026-09-03")]
    explanation = explained(seconds, events, "0", start=at("2026-09-15"))
    assert (explanation.lines, explanation.problems()) == ((), [])


def test_rounding_never_hides_a_quantity_that_differs_from_its_intervals() -> None:
    """A third of a GB-hour is billed as 0.333333333333333; one more in the last place is a difference."""
    gb_hours = Aggregation("time_weighted", series="volume", time_unit=3600)
    events = [landed("1", "1", "2026-09-02"), landed("2", "0", "2026-09-02T00:20:00")]
    explanation = explained(gb_hours, events, "0.333333333333333")
    assert [line.amount for line in explanation.lines] == [
        Decimal("0.33333333333333333333"),
        Decimal("-0.00000000000000033333"),
    ]
    assert explanation.problems() == []
    (problem,) = explained(gb_hours, events, "0.333333333333334").problems()
    assert problem.endswith("the lines add up to 0.333333333333333 units, not to 0.333333333333334")


def test_a_peak_reached_before_a_price_change_bills_nothing_after_it() -> None:
    """6 on the 3rd, and the 4 of the 20th is no peak: 6 - 6."""
    explanation = explained(Aggregation("max"), [landed("1", "6", "2026-09-03")], "0", start=at("2026-09-15"))
    assert [(line.label, line.amount) for line in explanation.lines] == [
        ("the month's peak so far: app 1 on 2026-09-03", Decimal(6)),
        ("already billed up to 2026-09-15: app 1 on 2026-09-03", Decimal(-6)),
    ]
    assert explanation.problems() == []


def test_a_sum_of_quantities_is_explained_by_its_events() -> None:
    with pytest.raises(ValueError, match="the aggregation sum needs no explanation"):
        explained(Aggregation("sum"), [landed("1", "6", "2026-09-03")], "6")


def named(explanation: Sum) -> list[str]:
    """Return the ids of the events in its lines."""
    return [line.event.id for line in explanation.lines if isinstance(line, EventLine | Stretch)]


def shown_lines(explanation: Sum) -> list[tuple[str, str, Decimal]]:
    return [(line.label, line.working, line.amount) for line in explanation.lines]


def test_a_peak_is_explained_by_the_first_of_its_highest_events() -> None:
    events = [
        landed("1", "4", "2026-09-02"),
        landed("2", "6", "2026-09-03"),
        landed("3", "6", "2026-09-04"),
        landed("4", "9", "2026-09-20"),
    ]
    explanation = explained(Aggregation("max"), events, "6", end=at("2026-09-20"))
    assert (explanation.title, explanation.unit) == ("Peak: volume; 2026-09-01 to 2026-09-20", "unit")
    assert shown_lines(explanation) == [("the month's peak so far: app 2 on 2026-09-03", "", Decimal(6))]
    after = explained(Aggregation("max"), events, "3", start=at("2026-09-20"))
    assert shown_lines(after) == [
        ("the month's peak so far: app 4 on 2026-09-20", "", Decimal(9)),
        ("already billed up to 2026-09-20: app 2 on 2026-09-03", "", Decimal(-6)),
    ]
    assert (named(after), after.problems()) == (["4", "2"], [])
    assert explained(Aggregation("max"), [], "0").lines == ()


FIRST_OF_EACH = [
    landed("1", "1", "2026-09-03", "ada"),
    landed("2", "1", "2026-09-15", "bob"),
    landed("3", "1", "2026-09-20", "cleo"),
]


def users(quantity: str, events: int, start: str = "2026-09-01", end: str = "2026-10-01") -> Sum:
    rollup = UsageRollup(id_of("rollup"), "logins", {"app": "web"}, at(start), at(end), Decimal(quantity))
    how = Aggregation("unique", unique_of="user")
    return explain_quantity(rollup, events, "user", DecidingEvents(how, SEPTEMBER, SEPTEMBER.end, FIRST_OF_EACH))


def test_each_value_is_counted_at_its_first_event_and_repeats_are_listed() -> None:
    explanation = users("3", events=5)
    assert (explanation.title, explanation.unit) == ("Unique values of user: app web; 2026-09-01 to 2026-10-01", "user")
    assert shown_lines(explanation) == [
        ("ada: first in app 1 on 2026-09-03", "", Decimal(1)),
        ("bob: first in app 2 on 2026-09-15", "", Decimal(1)),
        ("cleo: first in app 3 on 2026-09-20", "", Decimal(1)),
        ("2 more events with a value that was already counted", "", Decimal(0)),
    ]
    assert (named(explanation), explanation.problems()) == (["1", "2", "3"], [])
    assert [line.label for line in users("3", events=4).lines][3:] == [
        "1 more event with a value that was already counted"
    ]
    assert len(users("3", events=3).lines) == 3


def test_a_value_first_seen_before_a_price_change_is_not_counted_after_it() -> None:
    """Bob's event is exactly at the moment of the change: he is counted after it."""
    before, after = users("1", 1, end="2026-09-15"), users("1", 1, start="2026-09-15", end="2026-09-20")
    assert [line.label for line in before.lines] == ["ada: first in app 1 on 2026-09-03"]
    assert [line.label for line in after.lines] == ["bob: first in app 2 on 2026-09-15"]


def test_the_latest_value_is_billed_in_its_segment_and_nothing_before_it() -> None:
    events, change = [landed("7", "8", "2026-09-15")], at("2026-09-15")
    after = explained(Aggregation("latest"), events, "8", start=change)
    assert after.title == "Latest value: volume; 2026-09-15 to 2026-10-01"
    assert shown_lines(after) == [("the month's last event: app 7 on 2026-09-15", "", Decimal(8))]
    before = explained(Aggregation("latest"), events, "0", end=change)
    assert shown_lines(before) == [("the month's last event is later: app 7 on 2026-09-15", "", Decimal(0))]
    assert (named(before), before.problems(), named(after), after.problems()) == (["7"], [], ["7"], [])
    two = [landed("6", "5", "2026-09-14"), *events]
    assert [line.amount for line in explained(Aggregation("latest"), two, "8").lines] == [Decimal(8)]


GB_HOURS = Aggregation("time_weighted", series="volume", time_unit=3600)
CARRIED = landed("1", "10", "2026-08-20", "vol-2")


def test_a_level_from_before_the_month_names_the_event_that_reported_it() -> None:
    """10 GB until the 2nd: 24 hours. 4 GB of another volume for the half second before that."""
    events = [
        landed("3", "4", "2026-09-01T23:59:59.500000", "vol-1"),
        landed("2", "0", "2026-09-02", "vol-2"),
        landed("4", "0", "2026-09-02", "vol-1"),
    ]
    explanation = explained(GB_HOURS, events, "240.000555555555556", before=[CARRIED])
    assert explanation.title == "Level over time: volume; 2026-09-01 to 2026-10-01"
    assert shown_lines(explanation) == [
        (
            "volume vol-1, 2026-09-01 23:59:59.500000 to 2026-09-02, reported by app 3",
            "4 x 0.5 / 3,600",
            Decimal("0.00055555555555555556"),
        ),
        (
            "volume vol-2, 2026-09-01 to 2026-09-02, reported by app 1 on 2026-08-20 (2026-08-20/usage.jsonl:1)",
            "10 x 86,400 / 3,600",
            Decimal(240),
        ),
        (
            "rounded to 15 decimal places from the month's start",
            "",
            Decimal("0.00000000000000044444"),
        ),
    ]
    assert explanation.problems() == []


def test_a_level_that_is_reported_as_the_month_begins_belongs_to_the_month() -> None:
    explanation = explained(GB_HOURS, [landed("1", "1", "2026-09-01")], "720")
    assert shown_lines(explanation) == [
        ("volume vol-1, 2026-09-01 to 2026-10-01, reported by app 1", "1 x 2,592,000 / 3,600", Decimal(720))
    ]


def test_a_level_of_an_open_month_is_counted_up_to_now() -> None:
    """10 GB for 36 hours; a level that is reported for later does not count yet."""
    rollup = UsageRollup(id_of("rollup"), "volume", {}, SEPTEMBER.start, SEPTEMBER.end, Decimal(360))
    events = [landed("5", "1", "2026-09-20")]
    deciding = DecidingEvents(GB_HOURS, SEPTEMBER, at("2026-09-02T12:00:00"), events, [CARRIED])
    explanation = explain_quantity(rollup, 1, "GB-hour", deciding)
    assert [(line.working, line.amount) for line in explanation.lines] == [("10 x 129,600 / 3,600", Decimal(360))]
    assert explanation.problems() == []


def test_an_event_as_data_has_its_file_and_line() -> None:
    (line,) = explained(Aggregation("max"), [landed("1", "2.50", "2026-09-03")], "2.5").lines
    assert line.as_data() == {
        "label": "the month's peak so far: app 1 on 2026-09-03",
        "amount": "2.5",
        "event": {
            "time": "2026-09-03T00:00:00+00:00",
            "source": "app",
            "id": "1",
            "quantity": "2.5",
            "value": "vol-1",
            "place": "2026-09-03/usage.jsonl:1",
        },
    }


def test_an_interval_as_data_has_its_level_and_its_seconds() -> None:
    events = [landed("2", "0", "2026-09-02", "vol-2"), landed("3", "1", "2026-09-30", "vol-2")]
    carried, own = explained(GB_HOURS, events, "264", before=[CARRIED]).lines
    assert carried.as_data() == {
        "label": "volume vol-2, 2026-09-01 to 2026-09-02, reported by app 1 on 2026-08-20 (2026-08-20/usage.jsonl:1)",
        "amount": "240",
        "series": "vol-2",
        "start": "2026-09-01T00:00:00+00:00",
        "end": "2026-09-02T00:00:00+00:00",
        "level": "10",
        "seconds": "86400",
        "time_unit": "3600",
        "is_carried": True,
        "event": {
            "time": "2026-08-20T00:00:00+00:00",
            "source": "app",
            "id": "1",
            "quantity": "10",
            "value": "vol-2",
            "place": "2026-08-20/usage.jsonl:1",
        },
    }
    assert (own.as_data()["is_carried"], own.as_data()["seconds"], own.amount) == (False, "86400", Decimal(24))


@pytest.mark.parametrize(
    ("measured", "events"), [(None, None), ("66", None), ("61", "61"), ("61.50", "61.5"), ("0", "0")]
)
def test_a_rounded_event_as_data_has_its_landed_quantity(measured: str | None, events: str | None) -> None:
    landed = LandedMeasurement(
        at("2026-09-15"), "app", "1", Decimal(66), place="2026-09-15/usage.jsonl:3",
        measured=None if measured is None else Decimal(measured),
    )  # fmt: skip
    assert landed.as_data() == {
        "time": "2026-09-15T00:00:00+00:00", "source": "app", "id": "1", "quantity": "66", "value": "",
        "place": "2026-09-15/usage.jsonl:3", **({"measured": events} if events else {}),
    }  # fmt: skip


def covered_by_one_price(
    how: Aggregation, here: Sequence[LandedMeasurement], elsewhere: Sequence[LandedMeasurement], quantity: str,
    start: datetime = SEPTEMBER.start, end: datetime = SEPTEMBER.end,
) -> Sum:  # fmt: skip
    rollup = UsageRollup(id_of("rollup"), "volume", {"region": "ams"}, start, end, Decimal(quantity))
    return explain_quantity(
        rollup, len(here), "unit", DecidingEvents(how, SEPTEMBER, SEPTEMBER.end, here, elsewhere=elsewhere)
    )


def test_each_region_of_one_price_bills_its_increase_of_the_peak() -> None:
    """ams 4, fra 6, ams 9, fra 10: ams has 4 + (9 - 6), fra (6 - 4) + (10 - 9), in total 10."""
    ams = [landed("1", "4", "2026-09-02"), landed("3", "9", "2026-09-10")]
    fra = [landed("2", "6", "2026-09-05"), landed("4", "10", "2026-09-20")]
    explanation = covered_by_one_price(Aggregation("max"), ams, fra, "7")
    assert explanation.title == "Peak of everything that this price covers: region ams; 2026-09-01 to 2026-10-01"
    assert shown_lines(explanation) == [
        ("new peak: app 1 on 2026-09-02", "", Decimal(4)),
        ("new peak: app 3 on 2026-09-10", "", Decimal(9)),
        ("previous peak: app 2 on 2026-09-05, under other dimensions", "", Decimal(-6)),
    ]
    assert (named(explanation), explanation.problems()) == (["1", "3", "2"], [])
    other = covered_by_one_price(Aggregation("max"), fra, ams, "3")
    assert (sum(line.amount for line in other.lines), other.problems()) == (3, [])


def test_an_event_at_the_moment_of_a_price_change_is_billed_at_the_new_price() -> None:
    """ams 4 on the 2nd, 9 on the 10th at midnight, when the price changes."""
    ams = [landed("1", "4", "2026-09-02"), landed("3", "9", "2026-09-10")]
    fra = [landed("0", "1", "2026-09-01")]
    after = covered_by_one_price(Aggregation("max"), ams, fra, "5", start=at("2026-09-10"))
    assert shown_lines(after) == [
        ("new peak: app 3 on 2026-09-10", "", Decimal(9)),
        ("previous peak: app 1 on 2026-09-02", "", Decimal(-4)),
    ]
    before = covered_by_one_price(Aggregation("max"), ams, fra, "3", end=at("2026-09-10"))
    assert [line.amount for line in before.lines] == [4, -1]


def test_a_region_that_never_set_a_peak_is_explained() -> None:
    explanation = covered_by_one_price(Aggregation("max"), [], [landed("2", "6", "2026-09-05")], "0")
    assert shown_lines(explanation) == [("no event under these dimensions set a new peak", "", Decimal(0))]
    last = covered_by_one_price(Aggregation("latest"), [], [landed("2", "6", "2026-09-05")], "0")
    assert shown_lines(last) == [
        ("the month's last event is under other dimensions: app 2 on 2026-09-05", "", Decimal(0))
    ]
    assert (named(last), last.problems()) == (["2"], [])


def test_a_rounded_peak_shows_its_landed_quantity() -> None:
    event = replace(landed("1", "66", "2026-09-02"), measured=Decimal("61.0"))
    (line,) = shown_lines(explained(Aggregation("max"), [event], "66"))
    assert line[0] == "the month's peak so far: app 1 on 2026-09-02 (61, rounded)"
