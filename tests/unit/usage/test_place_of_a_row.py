"""`fly-billing waive --row` reads the place of a row as `rejected --list` shows it."""

from datetime import date

import pytest

from fly_billing.usage.rejections import RowPlace

DAY = date(2026, 9, 15)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("2026-09-15/usage.jsonl:3", RowPlace(DAY, "usage.jsonl", 3)),
        ("2026-09-15/proxy/usage.csv:0", RowPlace(DAY, "proxy/usage.csv", 0)),
        ("2026-09-15/a:b.jsonl:12", RowPlace(DAY, "a:b.jsonl", 12)),
    ],
)
def test_a_place_is_a_day_a_file_and_a_line(text: str, place: RowPlace) -> None:
    assert RowPlace.parse(text) == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "usage.jsonl:3",
        "2026-09-15/usage.jsonl",
        "2026-09-15/:3",
        "2026-09-15/usage.jsonl:",
        "2026-09-15/usage.jsonl:-3",
        "2026-09-15/usage.jsonl:\u0663",  # a digit of another script
        "2026-09-15/usage.jsonl:99999999999999999999",  # neither a line of a file nor a bigint
        "2026-02-30/usage.jsonl:3",
        "20260915/usage.jsonl:3",
    ],
)
def test_anything_else_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="is not the place of a row: write DAY/FILE:LINE"):
        RowPlace.parse(text)
