"""A JSON array is cut into its elements without reading them, for any elements and any pieces of input."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.usage.readers.json_arrays import PIECE, MalformedArray, TruncatedElement, read_elements
from fly_billing.usage.readers.staged_rows import LONGEST_LINE


def cut(text: str) -> list[str]:
    return list(read_elements(io.StringIO(text)))


VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('ab"\\[]{},:é\n')),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(VALUES, max_size=5), st.sampled_from([None, 1]), st.booleans())
def test_elements_are_those_of_a_json_parser(values: list[Any], indent: int | None, is_ascii: bool) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=is_ascii)
    assert [json.loads(part) for part in cut(f" \n{text}\r\n")] == values


@pytest.mark.parametrize("before", [PIECE - 3, PIECE - 2, PIECE - 1, PIECE])
def test_an_element_is_complete_for_any_end_of_a_piece(before: int) -> None:
    """Quotes, escapes and brackets on both sides of the edge."""
    values = ["x" * (before - 4), 'a\\"]', {"b": "\\"}, [1]]
    text = json.dumps(values)
    assert [json.loads(part) for part in cut(text)] == values


def test_one_object_is_one_element() -> None:
    assert cut('{"id": "a", "data": [1, 2]}\n') == ['{"id": "a", "data": [1, 2]}']


def test_an_element_that_is_not_json_loses_only_itself() -> None:
    assert cut('[{"a": 1}, {"b": tru}, , {"c": 3}]') == ['{"a": 1}', '{"b": tru}', "", '{"c": 3}']


@pytest.mark.parametrize(
    ("text", "whole", "says"),
    [
        ('[{"a": 1}, {"b": 2', ['{"a": 1}'], "ends inside an element"),
        ('[{"a": 1}, "b', ['{"a": 1}'], "ends inside an element"),
        ('[{"a": 1}, "b\\', ['{"a": 1}'], "ends inside an element"),
        ('[{"a": 1}]]', ['{"a": 1}'], "text follows the end"),
        ('[{"a": 1}][', ['{"a": 1}'], "text follows the end"),
        ('[{"a": 1}}, 2]', [], "unmatched }"),
        ("[", [], "ends inside an element"),
        ("", [], "one event, or an array"),
        ('"text"', [], "one event, or an array"),
    ],
)
def test_elements_before_the_torn_end_of_an_array_are_complete(text: str, whole: list[str], says: str) -> None:
    found: list[str] = []
    elements = read_elements(io.StringIO(text))
    with pytest.raises(MalformedArray, match=says):
        while True:
            found.append(next(elements))
    assert found == whole


def test_an_element_that_is_too_long_is_never_in_memory_in_full() -> None:
    text = f'[1, "{"x" * (LONGEST_LINE + 1)}", 2]'
    first, second, third = cut(text)
    assert (first, third) == ("1", "2")
    assert isinstance(second, TruncatedElement)
    assert len(second) <= 200
