"""A posted text is split into its events without changing a digit."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.usage_intake.rules.posted_text import (
    MOST_EVENTS,
    NotEvents,
    TooManyEvents,
    event_of_headers,
    split_events,
)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(JSON_VALUES, max_size=5), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_an_array_of_any_values_gives_each_of_them_on_one_line(values: list[Any], indent: Any, ascii: bool) -> None:
    found = split_events(json.dumps(values, indent=indent, ensure_ascii=ascii))
    assert [json.loads(text) for text, _ in found] == values
    assert not any("\n" in text or "\r" in text for text, _ in found)


def test_digits_stay_as_they_were_written() -> None:
    texts = ['{"data": {"quantity": 1.50}}', '{"data": {"quantity": 12345678901234567890.000000000000001}}']
    assert [text for text, _ in split_events(f" [ {texts[0]} ,\r\n{texts[1]}] ")] == texts
    assert [text for text, _ in split_events(f"\n{texts[0]}\n")] == texts[:1]
    assert split_events("[]") == split_events(" [ ] ") == []


@pytest.mark.parametrize(
    "text",
    ["", "5", '"a"', "[{}", "[{},]", "[,{}]", "[{} {}]", "{}{}", "{} ]", "[]]", '[{"a": "\n"}]', "[" * 100_000, "[NaN"],
    ids=lambda text: text[:12],
)
def test_a_text_that_is_not_json_or_holds_no_events_is_refused_as_a_whole(text: str) -> None:
    with pytest.raises(NotEvents):
        split_events(text)


def test_a_request_has_a_bounded_number_of_events() -> None:
    assert len(split_events(f"[{','.join(['{}'] * MOST_EVENTS)}]")) == MOST_EVENTS
    with pytest.raises(TooManyEvents):
        split_events(f"[{','.join(['{}'] * (MOST_EVENTS + 1))}]")


@given(
    st.dictionaries(st.sampled_from(["id", "source", "type", "x"]), st.text()), st.dictionaries(st.text(), st.text())
)
def test_an_event_of_headers_has_their_values_and_the_body_as_data(attributes: dict[str, str], data: Any) -> None:
    assert json.loads(event_of_headers(attributes, json.dumps(data, indent=1))) == attributes | {"data": data}


@pytest.mark.parametrize("body", ['{}, "source": "other"', "", "{", "{} }"])
def test_a_body_can_not_add_attributes_to_the_event_of_its_headers(body: str) -> None:
    with pytest.raises(NotEvents):
        event_of_headers({"id": "a"}, body)


def test_the_data_of_an_event_of_headers_is_its_body_only() -> None:
    with pytest.raises(NotEvents, match="ce-data"):
        event_of_headers({"data": "{}"}, "{}")
