"""The sum that explains a quantity comes to just what the domain bills, wherever the month is cut."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.domain.account import UsageRollup
from fly_billing.domain.aggregations import Aggregation, UsageOfMonth
from fly_billing.domain.explained_usage import DecidingEvents, LandedMeasurement, explain_quantity
from fly_billing.domain.explanation import Sum
from tests.builders import SEPTEMBER, at, id_of

MICROSECONDS = SEPTEMBER.seconds * 1_000_000
TIMES = (st.sampled_from([0, 1, 86_400_000_000, MICROSECONDS - 1]) | st.integers(0, MICROSECONDS - 1)).map(
    lambda microseconds: SEPTEMBER.start + timedelta(microseconds=microseconds)
)
LEVELS = st.integers(0, 3).map(Decimal) | st.decimals(0, Decimal("1e12"), places=15)
TOLD = st.lists(
    st.builds(LandedMeasurement, TIMES, st.just("app"), st.integers(0, 99).map(str), LEVELS, st.sampled_from("uv")),
    max_size=8,
    unique_by=lambda one: one.id,
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
    """Explain a rollup of no dimensions, of these events (all of them in it), billed as `quantity`."""
    rollup = UsageRollup(id_of("rollup"), "volume", {}, start, end, Decimal(quantity))
    deciding = DecidingEvents(how, SEPTEMBER, SEPTEMBER.end, events, before)
    return explain_quantity(rollup, len(events), "unit", deciding)


@given(st.sampled_from([1, 7, 3600, 2_592_000]), TOLD, BEFORE, st.lists(TIMES, max_size=3, unique=True), AS_OF)
def test_stretches_add_up_to_what_is_billed_in_every_part_of_the_month(
    unit: int, told: list[LandedMeasurement], levels: dict[str, Decimal], cuts: list[datetime], as_of: datetime
) -> None:
    how = Aggregation("time_weighted", series="volume", time_unit=unit)
    told.sort(key=lambda one: one.order)
    before = [LandedMeasurement(at("2026-08-01"), "app", name, level, name) for name, level in levels.items()]
    inside = sorted(cut for cut in cuts if cut > SEPTEMBER.start)
    for segment in UsageOfMonth(how, SEPTEMBER, told, as_of, levels).segments(inside):
        rollup = UsageRollup(id_of("rollup"), "volume", {}, segment.start, segment.end, segment.quantity)
        one = explain_quantity(rollup, segment.events, "unit", DecidingEvents(how, SEPTEMBER, as_of, told, before))
        assert one.problems() == []
        assert all(line.product for line in one.lines[:-1])


def test_of_levels_at_one_time_only_the_last_is_held() -> None:
    """From the 30th at midnight: 5 x 86,400 seconds."""
    seconds = Aggregation("time_weighted", series="volume", time_unit=1)
    told = [landed("1", "9", "2026-09-30"), landed("2", "5", "2026-09-30")]
    one = explained(seconds, told, "432000")
    assert [(line.label, line.working) for line in one.lines] == [
        ("volume vol-1, 2026-09-30 to 2026-10-01, told by app 2", "5 x 86,400")
    ]
    assert one.problems() == []


def test_what_was_held_and_let_go_before_a_price_change_bills_nothing_after_it() -> None:
    seconds = Aggregation("time_weighted", series="volume", time_unit=1)
    told = [landed("1", "9", "2026-09-02"), landed("2", "0", "2026-09-03")]
    one = explained(seconds, told, "0", start=at("2026-09-15"))
    assert (one.lines, one.problems()) == ((), [])


def test_no_rounding_hides_a_quantity_that_stretches_do_not_come_to() -> None:
    """A third of a GB-hour is billed as 0.333333333333333; one more in the last place is not what was held."""
    gb_hours = Aggregation("time_weighted", series="volume", time_unit=3600)
    told = [landed("1", "1", "2026-09-02"), landed("2", "0", "2026-09-02T00:20:00")]
    one = explained(gb_hours, told, "0.333333333333333")
    assert [line.amount for line in one.lines] == [
        Decimal("0.33333333333333333333"),
        Decimal("-0.00000000000000033333"),
    ]
    assert one.problems() == []
    (problem,) = explained(gb_hours, told, "0.333333333333334").problems()
    assert problem.endswith("the lines add up to 0.333333333333333 unit, not to 0.333333333333334")


def test_a_peak_that_was_reached_before_a_price_change_bills_nothing_after_it() -> None:
    """6 on the 3rd, and the 4 of the 20th is no peak: 6 - 6."""
    one = explained(Aggregation("max"), [landed("1", "6", "2026-09-03")], "0", start=at("2026-09-15"))
    assert [(line.label, line.amount) for line in one.lines] == [
        ("the month's highest by then: app 1 on 2026-09-03", Decimal(6)),
        ("billed up to 2026-09-15: app 1 on 2026-09-03", Decimal(-6)),
    ]
    assert one.problems() == []


def test_a_quantity_that_is_just_added_up_is_explained_by_its_events() -> None:
    with pytest.raises(ValueError, match="added up by sum need no such explanation"):
        explained(Aggregation("sum"), [landed("1", "6", "2026-09-03")], "6")
