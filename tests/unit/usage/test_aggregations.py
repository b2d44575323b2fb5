"""Each aggregation gives the quantity of a month's events, worked out by example; and invalid meters are refused."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.aggregations import Aggregation, Measurement, SegmentUsage, UsageOfMonth
from fly_billing.pricing.rules.meters import Meter
from fly_billing.pricing.rules.transformed_quantity import EventRounding
from tests.support.builders import SEPTEMBER, at

GB_HOURS = Aggregation("time_weighted", series="volume", time_unit=3600)
SECONDS = Aggregation("time_weighted", series="machine", time_unit=1)
# Two users, a peak of 5 on the 10th, the latest event on the 20th.
EVENTS = (
    Measurement(at("2026-09-03"), "app", "1", Decimal("2.5"), "ada"),
    Measurement(at("2026-09-10"), "app", "2", Decimal(5), "bob"),
    Measurement(at("2026-09-20"), "app", "3", Decimal(3), "ada"),
)
CUT = at("2026-09-15")


def used(
    how: Aggregation,
    events: Sequence[Measurement] = EVENTS,
    cuts: Sequence[datetime] = (),
    month: BillingMonth = SEPTEMBER,
    as_of: datetime | None = None,
    carried: Mapping[str, Decimal] | None = None,
    elsewhere: Sequence[Measurement] = (),
) -> list[SegmentUsage]:
    return UsageOfMonth(how, month, events, as_of or month.end, carried or {}, elsewhere).segments(cuts)


def quantities(segments: Sequence[SegmentUsage]) -> list[Decimal]:
    return [segment.quantity for segment in segments]


def by_day(segment: SegmentUsage) -> dict[int, Decimal]:
    return {day: added for day, added in enumerate(segment.daily, start=1) if added}


def level(time: str, quantity: str, value: str = "one", name: str = "1") -> Measurement:
    return Measurement(at(time), "app", name, Decimal(quantity), value)


@pytest.mark.parametrize(
    ("how", "whole", "halves", "days"),
    [
        (Aggregation("sum"), "10.5", ["7.5", "3"], {3: "2.5", 10: "5", 20: "3"}),
        (Aggregation("count"), "3", ["2", "1"], {3: "1", 10: "1", 20: "1"}),
        (Aggregation("max"), "5", ["5", "0"], {3: "2.5", 10: "2.5"}),
        (Aggregation("unique", unique_of="user"), "2", ["2", "0"], {3: "1", 10: "1"}),
        (Aggregation("latest"), "3", ["0", "3"], {20: "3"}),
    ],
    ids=lambda value: value.name if isinstance(value, Aggregation) else "",
)
def test_the_parts_of_a_month_add_up_to_its_quantity_for_any_split(
    how: Aggregation, whole: str, halves: list[str], days: dict[int, str]
) -> None:
    (month,) = used(how)
    assert (month.quantity, month.events) == (Decimal(whole), 3)
    assert by_day(month) == {day: Decimal(added) for day, added in days.items()}
    assert quantities(used(how, cuts=[CUT])) == [Decimal(half) for half in halves]


def test_the_greatest_source_and_id_is_the_latest_of_simultaneous_events() -> None:
    same = [
        Measurement(CUT, "b", "1", Decimal(7)),
        Measurement(CUT, "a", "9", Decimal(8)),
        Measurement(CUT, "b", "0", Decimal(9)),
    ]
    assert quantities(used(Aggregation("latest"), same)) == [Decimal(7)]
    assert quantities(used(SECONDS, [*same, level("2026-09-15T00:00:10", "0", "")])) == [Decimal(70)]


def test_a_month_without_events_has_only_the_quantity_of_its_levels() -> None:
    for kind in ("sum", "count", "max", "latest"):
        assert used(Aggregation(kind), [], carried={"one": Decimal(5)}) == []
    (month,) = used(SECONDS, [], carried={"one": Decimal(1)})
    assert (month.quantity, month.events) == (Decimal(2_592_000), 0)


def test_10_gb_held_for_30_hours_are_300_gb_hours() -> None:
    """20 hours on the 3rd, 10 on the 4th."""
    (month,) = used(GB_HOURS, [level("2026-09-03T04:00:00", "10"), level("2026-09-04T10:00:00", "0")])
    assert (month.quantity, month.events) == (Decimal(300), 2)
    assert by_day(month) == {3: Decimal(200), 4: Decimal(100)}


def test_levels_of_several_series_are_added_and_do_not_end_each_other() -> None:
    events = [level("2026-09-29", "10", "a"), level("2026-09-29T12:00:00", "4", "b"), level("2026-09-30", "0", "a")]
    # a: 24 hours of 10; b: 36 hours of 4, to the month's end.
    assert quantities(used(GB_HOURS, events)) == [Decimal(384)]


TEN = {"one": Decimal(10)}  # 10 GB when September begins: 7,200 GB-hours without a change


@pytest.mark.parametrize(
    ("here", "elsewhere", "carried", "hours"),
    [
        # On ssd until the 16th, on nvme from then on: 15 days of 24 hours each.
        ([], [level("2026-09-16", "10")], TEN, "3600"),
        ([level("2026-09-16", "10")], [], {}, "3600"),
        # Away on the 11th and back on the 21st: 10 + 10 days here, 10 days there.
        ([level("2026-09-21", "10", name="2")], [level("2026-09-11", "10")], TEN, "4800"),
        ([level("2026-09-11", "10")], [level("2026-09-21", "10", name="2")], {}, "2400"),
        # Deleted under other dimensions than those of its report.
        ([], [level("2026-09-16", "0")], TEN, "3600"),
        # It grows while it moves: 10 until the 16th here, 20 there.
        ([level("2026-09-16", "20")], [], {}, "7200"),
        # Another volume elsewhere, and one that is smaller elsewhere: only the same series ends.
        ([], [level("2026-09-16", "10", "two")], TEN, "7200"),
        ([level("2026-09-11", "4", "two")], [level("2026-09-16", "10")], TEN, "5520"),  # 10 x 360 + 4 x 480
        # Reported again elsewhere after it had left: it is subtracted only once.
        ([], [level("2026-09-16", "10"), level("2026-09-20", "12", name="2")], TEN, "3600"),
        # The greater id is the latest of two at one moment.
        ([level("2026-09-16", "10", name="1")], [level("2026-09-16", "10", name="2")], TEN, "3600"),
        ([level("2026-09-16", "10", name="2")], [level("2026-09-16", "10", name="1")], TEN, "7200"),
    ],
)
def test_a_level_ends_when_its_series_is_reported_under_other_dimensions(
    here: list[Measurement], elsewhere: list[Measurement], carried: dict[str, Decimal], hours: str
) -> None:
    (month,) = used(GB_HOURS, here, carried=carried, elsewhere=elsewhere)
    assert (month.quantity, month.events) == (Decimal(hours), len(here))


def test_a_series_that_left_before_a_price_change_bills_nothing_after_it() -> None:
    (before,) = used(GB_HOURS, [], cuts=[CUT], carried=TEN, elsewhere=[level("2026-09-11", "10")])
    assert (before.end, before.quantity) == (CUT, Decimal(2400))


def test_a_volume_that_moves_is_counted_once() -> None:
    """10 GB in three places by turns: 7,200 GB-hours of September in total."""
    moves = {"ssd": ["2026-09-01", "2026-09-19"], "nvme": ["2026-09-05"], "hdd": ["2026-09-12T06:30:00", "2026-09-27"]}
    moved = {place: [level(time, "10", name=time) for time in times] for place, times in moves.items()}
    held = Decimal(0)
    for place, events in moved.items():
        others = [event for other, events_elsewhere in moved.items() if other != place for event in events_elsewhere]
        held += sum(quantities(used(GB_HOURS, events, elsewhere=others)))
    assert held == Decimal(7200)


def test_a_price_change_inside_a_level_splits_its_time() -> None:
    halves = used(SECONDS, [level("2026-09-14", "1"), level("2026-09-17", "0")], cuts=[CUT])
    assert quantities(halves) == [Decimal(86_400), Decimal(172_800)]
    assert [by_day(half) for half in halves] == [
        {14: Decimal(86_400)},
        {15: Decimal(86_400), 16: Decimal(86_400)},
    ]


def test_an_event_at_the_moment_of_a_price_change_belongs_to_the_later_segment() -> None:
    """Segments are half-open: the event is in exactly one."""
    events = [
        Measurement(SEPTEMBER.start, "app", "1", Decimal(2)),
        Measurement(CUT, "app", "2", Decimal(5)),
    ]
    halves = used(Aggregation("sum"), events, cuts=[CUT])
    assert [(half.quantity, half.events) for half in halves] == [(Decimal(2), 1), (Decimal(5), 1)]


def test_a_month_begins_at_zero_and_is_rounded_half_up() -> None:
    """3e-15 for 0.5 seconds."""
    events = [level("2026-09-14", "0.000000000000003"), level("2026-09-14T00:00:00.500000", "0")]
    usage = UsageOfMonth(SECONDS, SEPTEMBER, events, SEPTEMBER.end)
    assert (usage.until(SEPTEMBER.start), usage.until(SEPTEMBER.end)) == (Decimal(0), Decimal("0.000000000000002"))
    assert UsageOfMonth(SECONDS, SEPTEMBER, [], SEPTEMBER.end).until(SEPTEMBER.end) == 0


def test_the_29th_of_february_has_its_own_day() -> None:
    february = BillingMonth(2028, 2)
    (month,) = used(GB_HOURS, [level("2028-02-28T12:00:00", "2")], month=february)
    # 12 hours of the 28th and 24 of the 29th, 2 GB each.
    assert (month.quantity, len(month.daily), by_day(month)) == (Decimal(72), 29, {28: Decimal(24), 29: Decimal(48)})


def test_an_open_month_is_counted_only_up_to_now() -> None:
    events = [level("2026-09-14", "1"), level("2026-09-16", "3"), level("2026-09-18", "0")]
    (month,) = used(SECONDS, events, as_of=at("2026-09-15T00:00:01"))
    assert (month.quantity, month.events) == (Decimal(86_401), 3)
    assert used(SECONDS, [], carried={"one": Decimal(1)}, as_of=at("2026-08-31")) == []


def test_a_quantity_with_endless_decimals_is_rounded_once_and_its_parts_add_up_to_it() -> None:
    """A microsecond is a 3,600,000,000th of an hour: 2.777...e-10."""
    events = [level("2026-09-14T23:59:59.999999", "1"), level("2026-09-15T00:00:00.000002", "0")]
    assert quantities(used(GB_HOURS, events)) == [Decimal("0.000000000833333")]
    assert quantities(used(GB_HOURS, events, cuts=[CUT])) == [
        Decimal("0.000000000277778"),
        Decimal("0.000000000555555"),
    ]


def test_half_a_unit_of_the_last_place_is_rounded_up() -> None:
    """0.000000003 for 0.5 seconds."""
    events = [level("2026-09-14", "0.000000000000003"), level("2026-09-14T00:00:00.500000", "0")]
    assert quantities(used(SECONDS, events)) == [Decimal("0.000000000000002")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"aggregation": "mean"}, "aggregation 'mean' is none of sum, count, max, unique, latest, time_weighted"),
        ({"aggregation": "unique"}, "aggregation unique needs unique_of"),
        ({"unique_of": "user"}, "unique_of is for the aggregation unique, not for sum"),
        ({"aggregation": "max", "series": "volume"}, "series is for the aggregation time_weighted, not for max"),
        ({"aggregation": "time_weighted", "time_unit": 1}, "aggregation time_weighted needs series"),
        ({"aggregation": "time_weighted", "series": "volume"}, "aggregation time_weighted needs time_unit"),
        ({"aggregation": "time_weighted", "series": "volume", "time_unit": 0}, "time_unit 0 is not a whole number"),
        (
            {"aggregation": "time_weighted", "series": "volume", "time_unit": "1h"},
            "time_unit '1h' is not a whole number",
        ),
        (
            {"aggregation": "time_weighted", "series": "volume", "time_unit": True},
            "time_unit True is not a whole number",
        ),
        (
            {"aggregation": "time_weighted", "series": 'a"b', "time_unit": 1},
            "is not the name of a property of an event's data",
        ),
        ({"aggregation": "unique", "unique_of": ["user"]}, r"\['user'\] is not the name of a property"),
        ({"agregation": "max"}, r"unknown field 'agregation' in a meter"),
        ({"name": None}, "name is missing"),
        ({"dimensions": "region"}, "dimensions 'region' is not a list of texts"),
    ],
)
def test_a_meter_that_can_not_be_aggregated_is_refused_with_the_fix(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"meter gb: .*{message}"):
        Meter.from_data({"key": "gb", "name": "Volumes", "unit": "GB-hour"} | data)


def test_a_meter_is_read_with_its_settings() -> None:
    data = {
        "key": "gb", "name": "Volumes", "unit": "GB-hour", "dimensions": ["region"],
        "aggregation": "time_weighted", "series": "volume", "time_unit": 3600,
    }  # fmt: skip
    assert Meter.from_data(data) == Meter("gb", "Volumes", "GB-hour", GB_HOURS, ("region",))


@pytest.mark.parametrize("unit", [True, False, 1.5, Decimal(60), "60", 0, -1])
def test_a_unit_of_time_that_is_not_a_whole_number_of_seconds_is_refused(unit: Any) -> None:
    with pytest.raises(ValueError, match="is not a whole number of seconds above 0: write 3600 for hours"):
        Aggregation("time_weighted", series="volume", time_unit=unit)


def test_an_aggregation_that_can_not_round_events_names_those_that_can() -> None:
    with pytest.raises(ValueError, match=r"^round_each_event is for the aggregations sum, max, latest, not for count$"):
        Aggregation("count", round_each_event=EventRounding(Decimal(6)))


def test_a_level_of_twenty_digits_is_exact_to_the_last_digit() -> None:
    """12,345,678,901,234,567,890.123456789012345 GB for two seconds."""
    events = [level("2026-09-14", "12345678901234567890.123456789012345"), level("2026-09-14T00:00:02", "0")]
    assert quantities(used(SECONDS, events)) == [Decimal("24691357802469135780.246913578024690")]
