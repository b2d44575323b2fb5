"""An entry with mistakes is read as far as it can be read; a mistake that another one may cause is not reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fly_billing.pricing.rules.fields import read_number, read_text, refuse_unknown
from fly_billing.pricing.rules.partly_read import PartlyRead, read_partly

STAND_INS = {"key": "unread", "least": "1", "most": "1"}
KNOWN = ("key", "least", "most", "note")


def entry(data: Mapping[str, Any]) -> tuple[str, int, int]:
    refuse_unknown(data, frozenset(KNOWN), "an entry")
    key, least, most = read_text(data, "key"), read_number(data, "least", "0"), read_number(data, "most", "9")
    if least > most:
        raise ValueError(f"least {least} is above most {most}")
    if len(key) > 6:
        raise ValueError(f"key {key} is too long")
    return key, int(least), int(most)


def read(**data: Any) -> PartlyRead:
    return read_partly(entry, data, STAND_INS, KNOWN)


def problems(**data: Any) -> list[str]:
    return list(map(str, read(**data).problems))


def test_an_entry_without_mistakes_is_read_as_it_stands() -> None:
    assert read(key="a", least="2", most="3") == PartlyRead(("a", 2, 3))


def test_every_field_with_a_mistake_is_reported_and_the_others_are_read() -> None:
    found = read(key="a", least="x", most="y")
    assert [problem.field for problem in found.problems] == ["least", "most"]
    assert (found.entry, found.unread) == (("a", 1, 1), frozenset({"least", "most"}))


def test_both_fields_of_a_mistake_between_two_are_unread() -> None:
    found = read(key="too long", least="5", most="2")
    assert list(map(str, found.problems)) == ["least 5 is above most 2", "key too long is too long"]
    assert found.unread == {"least", "most", "key"}


def test_a_field_that_can_not_be_read_is_no_mistake_beside_another_field() -> None:
    assert problems(key="a", least="x", most="0") == [
        "least 'x' is not a number: write digits, such as 0.15 or 2592000"
    ]


def test_a_misspelt_field_is_one_mistake_and_not_missing_as_well() -> None:
    (problem,) = problems(kye="a", least="1")
    assert problem.startswith("unknown field 'kye' in an entry (did you mean key?)")
    assert read(kye="a", least="1").unread == {"kye", "key"}


def test_a_misspelt_field_that_means_nothing_leaves_every_absent_field_uncertain() -> None:
    assert read(key="a", zzz="1").unread == {"zzz", "least", "most", "note"}


VALUES = st.sampled_from(["0", "1", "5", "9", "x", "too long", "", None, "٣"])


@given(st.dictionaries(st.sampled_from([*KNOWN, "kye", "zzz"]), VALUES))
def test_an_entry_has_a_problem_exactly_if_its_reader_refuses_it(data: dict[str, Any]) -> None:
    try:
        first, whole = None, entry(data)
    except ValueError as problem:
        first, whole = str(problem), None
    found = read_partly(entry, data, STAND_INS, KNOWN)
    assert (str(found.problems[0]) if found.problems else None) == first
    assert whole is None or found == PartlyRead(whole)
    assert found.entry is not None
