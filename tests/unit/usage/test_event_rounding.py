"""A meter may round the quantity of each event before the events are added."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.pricing.rules.aggregations import Aggregation, Measurement, UsageOfMonth
from fly_billing.pricing.rules.meters import Meter
from fly_billing.pricing.rules.transformed_quantity import EventRounding
from tests.support.builders import SEPTEMBER, at


def month_of(quantities: Sequence[str], step: str, rounding: str = "up", name: str = "sum") -> Decimal:
    """Return September's quantity of events of these quantities, an hour apart from the 3rd on."""
    how = Aggregation(name, round_each_event=EventRounding(Decimal(step), rounding))
    events = [
        Measurement(at("2026-09-03") + timedelta(hours=n), "phone", f"c{n}", Decimal(quantity))
        for n, quantity in enumerate(quantities)
    ]
    return UsageOfMonth(how, SEPTEMBER, events, SEPTEMBER.end).until(SEPTEMBER.end)


@pytest.mark.parametrize(
    ("quantities", "step", "rounding", "expected"),
    [
        (["61", "61"], "6", "up", "132"),
        (["61", "61"], "6", "down", "120"),
        (["61", "61"], "60", "up", "240"),  # 2:02 together would be three minutes
        (["59", "59"], "60", "down", "0"),
        (["60", "60"], "60", "up", "120"),
        (["60.000000000000001"], "60", "up", "120"),
        (["0", "0.1"], "1", "up", "1"),
        (["0.13", "0.13"], "0.05", "up", "0.30"),
        (["1", "2", "3"], "2.5", "up", "10.0"),
        ([], "6", "up", "0"),
    ],
)
def test_each_event_is_rounded_before_the_events_are_added(
    quantities: list[str], step: str, rounding: str, expected: str
) -> None:
    assert month_of(quantities, step, rounding) == Decimal(expected)


def test_the_highest_and_the_latest_event_are_rounded_too() -> None:
    assert month_of(["61", "65", "4"], "6", name="max") == 66
    assert month_of(["61", "65", "4"], "6", name="latest") == 6


@given(st.lists(st.integers(0, 10**6), max_size=8), st.integers(1, 3600))
def test_rounding_up_adds_less_than_a_step_an_event_and_down_takes_less(quantities: list[int], step: int) -> None:
    texts = [str(quantity) for quantity in quantities]
    up, down = month_of(texts, str(step)), month_of(texts, str(step), "down")
    assert up % step == down % step == 0
    assert 0 <= up - sum(quantities) <= len(texts) * (step - 1)
    assert 0 <= sum(quantities) - down <= len(texts) * (step - 1)


def meter(**fields: Any) -> Meter:
    return Meter.from_data({"key": "call_seconds", "name": "Calls", "unit": "second", **fields})


def test_a_meter_of_a_price_book_names_the_step() -> None:
    assert meter(round_each_event={"step": 6}).aggregation.round_each_event == EventRounding(Decimal(6), "up")
    assert meter(round_each_event={"step": "0.5", "round": "down"}).as_row()[8:10] == (Decimal("0.5"), "down")
    assert meter().as_row()[8:10] == (None, None)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"round_each_event": {}}, "needs a step"),
        ({"round_each_event": 6}, "needs a step"),
        ({"round_each_event": {"step": 0}}, "step must be above 0"),
        ({"round_each_event": {"step": -6}}, "at least 0"),
        ({"round_each_event": {"step": "1e-16"}}, "at most 15 decimals"),
        ({"round_each_event": {"step": "1e12"}}, "below 10\\^12"),
        ({"round_each_event": {"step": 6, "round": "half"}}, "known are up, down"),
        ({"round_each_event": {"step": 6, "divide_by": 60}}, "divide_by"),
        ({"round_each_event": {"step": 6}, "aggregation": "count"}, "not for count"),
        ({"round_each_event": {"step": 6}, "aggregation": "unique", "unique_of": "user"}, "not for unique"),
        (
            {"round_each_event": {"step": 6}, "aggregation": "time_weighted", "series": "v", "time_unit": 1},
            "not for time_weighted",
        ),
    ],
)
def test_an_unsupported_step_is_refused_by_name(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=f"meter call_seconds: .*{says}"):
        meter(**fields)
