"""A number with a comma in braces is refused with the number to write: YAML splits it into two fields."""

from __future__ import annotations

from pathlib import Path

import pytest

from fly_billing.pricing.rules.decimal_commas import decimal_commas
from fly_billing.pricing.rules.partly_read import read_partly
from fly_billing.pricing.rules.prices import Price
from fly_billing.pricing.yaml_documents import read_yaml_document


def commas(folder: Path, entry: str) -> list[str]:
    (folder / "entry.yaml").write_text(entry, encoding="utf-8")
    return list(map(str, decimal_commas(read_yaml_document(folder / "entry.yaml"))))


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ("{unit_amount: 0,0005}", ["unit_amount 0,0005: write a decimal point: 0.0005"]),
        ("{unit_amount: 0,125}", ["unit_amount 0,125: write a decimal point: 0.125"]),
        ("{minimum: 1,000}", ["minimum 1,000: write 1000 or, with a decimal point, 1.000"]),
        ("{minimum: 1,000.50}", ["minimum 1,000.50: write it without commas: 1000.50"]),
        ("{minimum: 1,234,567}", ["minimum 1,234,567: write it without commas: 1234567"]),
        (
            "{unit_amount: 0,5, minimum: 2,50}",
            ["unit_amount 0,5: write a decimal point: 0.5", "minimum 2,50: write a decimal point: 2.50"],
        ),
        ("{unit_amount: 5, note, 7: seven, per: , key: a, 12}", []),
        ("unit_amount: 0,0005", []),
    ],
)
def test_the_number_to_write_is_shown(tmp_path: Path, entry: str, found: list[str]) -> None:
    assert commas(tmp_path, entry) == found


def test_every_comma_of_an_entry_is_one_mistake_beside_the_misspelt_field() -> None:
    price = {
        "key": "addon", "product": "Add-ons", "description": "Add-on", "unit": "month", "unit_amount": "0", "5": None,
        "minimum": "2", "50": None, "prise": "1", "effective_from": "2026-01-01",
    }  # fmt: skip
    known = {*price, "model"} - {"5", "50", "prise"}
    found = read_partly(lambda data: Price.from_data("main", data), price, {"unit_amount": "1"}, known)
    assert [problem.reason.partition(" (")[0].partition(" in ")[0] for problem in found.problems] == [
        "unit_amount 0,5: write a decimal point: 0.5",
        "minimum 2,50: write a decimal point: 2.50",
        "unknown field 'prise'",
    ]
    assert found.unread >= {"unit_amount", "minimum"}


def test_a_comma_in_a_tier_is_refused() -> None:
    price = {
        "key": "addon", "product": "Add-ons", "description": "Add-on", "unit": "GB", "meter": "egress",
        "model": "graduated", "tiers": [{"up_to": "10", "unit_amount": "0", "02": None}],
        "effective_from": "2026-01-01",
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"price main/addon: unit_amount 0,02: write a decimal point: 0\.02"):
        Price.from_data("main", price)
