"""The statistics of a data file in the Delta log: readers skip the file by them, so a bound never cuts off a row."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fly_billing.usage.new_data_files import BOUNDED, LONGEST_BOUND, describe_content

NOTHING = {"null_count": "2"}


def described(**columns: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(describe_content(2, dict.fromkeys(BOUNDED, NOTHING) | columns))
    return found


def test_rows_and_missing_values_are_counted() -> None:
    found = described(data={"null_count": "1", "min": "{}", "max": "{}"})
    assert found["numRecords"] == 2
    assert found["nullCount"]["data"] == 1
    assert found["minValues"] == found["maxValues"] == {"data": "{}"}


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2026-09-01 01:02:03.456789+00", "2026-09-01 01:02:03.456789+00", ("03.456Z", "03.457Z")),
        ("2026-09-01 01:02:03+00", "2026-09-01 01:02:03.999001+00", ("03.000Z", "04.000Z")),
        ("2026-09-01 01:02:03.4+00", "2026-09-01 01:02:03.4+00", ("03.400Z", "03.400Z")),
    ],
)
def test_times_are_bounded_by_whole_milliseconds(first: str, last: str, expected: tuple[str, str]) -> None:
    found = described(time={"null_count": "0", "min": first, "max": last})
    assert (found["minValues"]["time"], found["maxValues"]["time"]) == tuple(
        f"2026-09-01T01:02:{second}" for second in expected
    )


def test_a_long_text_is_bounded_by_its_beginning_below_and_not_above() -> None:
    found = described(dimensions={"null_count": "0", "min": "[" + "a" * 99, "max": "{" + "a" * 99})
    assert found["minValues"] == {"dimensions": "[" + "a" * (LONGEST_BOUND - 1)}
    assert found["maxValues"] == {}


def test_lines_are_numbers() -> None:
    found = described(line={"null_count": "0", "min": "9", "max": "10"})
    assert (found["minValues"]["line"], found["maxValues"]["line"]) == (9, 10)
