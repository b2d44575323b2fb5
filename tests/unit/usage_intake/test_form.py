"""An event is refused for its form at once, with landing's reason and a sentence for its sender."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from fly_billing.usage_intake.reading import PostedEvent, key_of_line, read_posted
from fly_billing.usage_intake.rules.form import Refusal
from tests.support.usage_sender import cloud_event

TODAY = date(2026, 9, 15)


def read(event: Any) -> PostedEvent:
    (found,) = read_posted(json.dumps(event), "proxy", TODAY)
    return found


def refusal(**changes: Any) -> tuple[str, str] | None:
    found = read(cloud_event("a") | changes).refusal
    return (found.reason, found.message) if found else None


@pytest.mark.parametrize(
    ("changes", "reason", "message"),
    [
        ({"subject": ""}, "missing_field", "id, source, type, subject and time must all be there"),
        ({"time": None}, "missing_field", "id, source, type, subject and time must all be there"),
        ({"specversion": "0.3"}, "unknown_specversion", "specversion must be 1.0"),
        (
            {"source": "machines"},
            "not_your_source",
            "the token is of another source: an event's source must be the token's",
        ),
        (
            {"time": "soon"},
            "bad_time",
            "soon is not an RFC 3339 time with an offset, such as 2026-10-01T12:00:00Z",
        ),
        (
            {"time": "2022-12-31T23:59:59Z"},
            "time_too_early",
            "2022-12-31T23:59:59+00:00 lies before the first month that is billed",
        ),
        (
            {"time": "2026-09-17T00:00:00Z"},
            "time_in_future",
            "2026-09-17T00:00:00+00:00 lies more than a day after today, 2026-09-15 in UTC",
        ),
        (
            {"data": {"quantity": "1,5"}},
            "bad_quantity",
            "1,5 is not a JSON number with at most 20 digits before the point and 15 after it",
        ),
        (
            {"data": {"quantity": "-0.1"}},
            "negative_quantity",
            "-0.1 is below zero: send a credit as a one-off item",
        ),
        ({"id": "a\0"}, "bad_text", "id or source has a NUL character in it"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_event_of_the_wrong_form_is_refused_with_its_reason(
    changes: dict[str, Any], reason: str, message: str
) -> None:
    assert refusal(**changes) == (reason, message)


def test_the_first_and_the_last_moment_that_can_be_billed_are_accepted() -> None:
    for time in ("2023-01-01T00:00:00Z", "2026-09-16T23:59:59.999999Z"):
        assert refusal(time=time) is None


def test_an_event_without_a_quantity_may_be_one_that_is_counted() -> None:
    assert refusal(data={}) is None
    assert refusal(data={"quantity": 0}) is None


def test_the_same_key_has_the_same_number_and_another_content_another() -> None:
    plain = read(cloud_event("a"))
    assert read(cloud_event("a")) == plain
    assert key_of_line(plain.line.decode()) == (plain.key, plain.content)
    for changes in (
        {"type": "egress"},
        {"subject": "labs"},
        {"time": "2026-09-15T12:00:01Z"},
        {"data": {"quantity": 2}},
    ):
        changed = read(cloud_event("a") | changes)
        assert changed.key == plain.key
        assert changed.content != plain.content
    assert read(cloud_event("b")).key != plain.key


def test_an_event_that_is_written_otherwise_is_the_same_event() -> None:
    """Landing compares values, too: a sender may write its events anew when it repeats them."""
    data = {"quantity": "2.500", "region": "ams", "app": {"name": "web", "size": 2}}
    plain = read(cloud_event("a") | {"data": data})
    same = cloud_event("a") | {
        "time": "2026-09-15T14:00:00.000+02:00",
        "data": {"app": {"size": "2", "name": "web"}, "region": "ams", "quantity": 2.5},
        "extension": "x",
    }
    assert (read(same).key, read(same).content) == (plain.key, plain.content)
    whole = [read(cloud_event("a", quantity)).content for quantity in (100, "100.0", "1e2", "10")]
    assert whole[0] == whole[1] == whole[2] != whole[3]


def test_a_source_and_an_id_can_not_be_cut_in_two_ways() -> None:
    (first,) = read_posted(json.dumps(cloud_event("b c", source="a")), "a", TODAY)
    (second,) = read_posted(json.dumps(cloud_event("c", source="a b")), "a b", TODAY)
    assert first.key != second.key


@pytest.mark.parametrize("line", ["", "{", "null", '{"id": "a"}', json.dumps(cloud_event("a", time=None))])
def test_a_line_that_the_intake_did_not_write_has_no_key(line: str) -> None:
    assert key_of_line(line) is None


def test_a_refused_event_is_not_stored() -> None:
    assert read({"id": "a"}) == PostedEvent(
        "a", Refusal("bad_shape", "an event is a JSON object whose `data` is an object with a `quantity`")
    )
