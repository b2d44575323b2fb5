"""The rules for a time, a quantity and a JSON document of an event, without files.

The tables of cases also compare all readers of files with each other.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fly_billing.usage.rules.cells import (
    InvalidDocument,
    NonFiniteNumber,
    NumberWithPoint,
    exact_object,
    exact_quantity,
    json_cell,
    json_name,
    object_problem,
    plain_quantity,
    read_document,
    read_time,
)
from tests.integration.usage.test_three_readers import QUANTITIES, TIMES

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@pytest.mark.parametrize("text", TIMES)
def test_a_time_is_a_moment_in_utc_to_the_microsecond_or_invalid(text: str) -> None:
    """Times too early or in the future are valid times: another rule decides if they can be billed."""
    expected = TIMES[text]
    moment = read_time(text)
    if isinstance(expected, int):
        assert moment is not None
        assert (moment - EPOCH) // MICROSECOND == expected
    else:
        assert (moment is None) == (expected in ("bad_time", "missing_field"))


@pytest.mark.parametrize("text", QUANTITIES)
def test_a_quantity_is_normalized_without_exponent_and_superfluous_zeros_or_invalid(text: str) -> None:
    expected = QUANTITIES[text]
    written = plain_quantity(text)
    if isinstance(expected, str) and expected != "negative_quantity":
        assert written is None
    else:
        assert written is not None
        assert "e" not in written.lower()
        assert isinstance(expected, str) or float(written) == float(expected)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("1.50", "1.50"),  # as nearly all are written, and left as it is
        ("15e-1", "1.5"),
        ("1.5e3", "1500"),
        ("150e-2", "1.5"),
        ("1e-15", "0.000000000000001"),
        ("-1.0e0", "-1"),
        ("-12345678901234567890", "-12345678901234567890"),
        ("1e19", "10000000000000000000"),
        ("1e20", None),
        ("-1e20", None),
        ("1e-16", None),
        ("123456789012345678901", None),
        ("0e40", "0"),
        ("0e41", None),
        ("0e-41", None),
        ("1." + "0" * 998, "1"),  # 1,000 characters
        ("1." + "0" * 999, None),
        (None, None),
    ],
)
def test_a_quantity_has_twenty_digits_before_the_point_and_fifteen_behind_it(
    text: str | None, written: str | None
) -> None:
    assert exact_quantity(text) == written


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ('{"a": 1.50, "b": -0, "c": 1e3, "d": 12345678901234567890}',
         {"a": "1.50", "b": "0", "c": "1e3", "d": "12345678901234567890"}),
        ('[-0.0, -7, true, null, "x"]', ["-0.0", "-7", True, None, "x"]),
        ('{"data": {"quantity": NaN}}', {"data": {"quantity": "NaN"}}),
        ('{"data": {"quantity": -Infinity, "region": "ams"}}', {"data": {"quantity": "-Infinity", "region": "ams"}}),
        ('{"data": {"quantity": NaN, "x": 1.50, "y": 7}}', {"data": {"quantity": "NaN", "x": "1.50", "y": "7"}}),
        ('"\\ud83d\\ude80"', "🚀"),
    ],
)  # fmt: skip
def test_json_is_read_with_every_number_as_written(text: str, document: Any) -> None:
    assert read_document(text) == document


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1, "b": 2, "a": 1}', 'the key "a" occurs twice in one object'),
        ('{"b": 1, "a": 2, "a": 3}', 'the key "a" occurs twice in one object'),
        ('{"data": {"quantity": NaN, "x": 1, "x": 2}}', 'the key "x" occurs twice in one object'),
        ('{"x": {"é": 1, "\\u00e9": 2}}', 'the key "\\u00e9" occurs twice in one object'),
        ('{"data": {"quantity": 1, "region": NaN}}', "NaN is not JSON"),
        ('{"data": {"quantity": NaN, "region": Infinity}}', "NaN is not JSON"),
        ('{"quantity": Infinity}', "Infinity is not JSON"),
        ("NaN", "NaN is not JSON"),
        ('[{"data": {"quantity": NaN}}]', "NaN is not JSON"),
        ('{"data": [NaN]}', "NaN is not JSON"),
        ("{} {}", "Extra data: line 1 column 4 (char 3)"),
    ],
)
def test_ambiguous_json_is_refused_with_the_reason(text: str, problem: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        read_document(text)
    assert str(refused.value) == problem
    assert object_problem(text) == f"not a JSON document: {problem}"
    assert exact_object(text) is None


@pytest.mark.parametrize("text", ['"\\ud800"', "[" * 100_000, '{"' + "k" * 400 + '": 1, "' + "k" * 400 + '": 2}'])
def test_a_refusal_is_one_short_line_for_any_text(text: str) -> None:
    problem = object_problem(text)
    assert problem is not None
    assert problem.startswith("not a JSON document: ")
    assert len(problem) <= 300
    with pytest.raises(InvalidDocument) as refused:
        read_document(text)
    assert len(str(refused.value)) <= 300


def test_only_an_object_is_data() -> None:
    assert object_problem(None) is None
    assert object_problem('{"a": 1}') is None
    assert object_problem("[1]") == object_problem('"a"') == object_problem("7") == "not a JSON object"
    assert exact_object(None) is None
    assert exact_object("[1]") is None
    assert json.loads(exact_object('{"a": 1.50, "é": [2]}') or "") == {"a": "1.50", "é": ["2"]}
    assert exact_object('{"é": 1}') == '{"é": "1"}'


@pytest.mark.parametrize(
    ("value", "name", "cell"),
    [
        ("acme", "acme", "acme"),
        ("7", "7", "7"),
        (NumberWithPoint("1.0"), None, "1.0"),
        (NonFiniteNumber("NaN"), None, "NaN"),
        (True, None, "true"),
        (None, None, None),
        ([1], None, "[1]"),
        ({}, None, "{}"),
    ],
)
def test_a_name_is_a_text_or_whole_digits_and_a_cell_is_unchanged(
    value: Any, name: str | None, cell: str | None
) -> None:
    assert json_name(value) == name
    assert json_cell(value) == cell
