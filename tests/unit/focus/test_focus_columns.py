"""A FOCUS file whose header has a column twice is refused by the column's name, because its value is ambiguous."""

import csv
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from fly_billing.focus.imports.rows import FocusImportError, read_focus_rows

SAMPLE = Path(__file__).parents[2] / "data" / "focus_1.0_sample.csv"
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def write(folder: Path, *again: tuple[str, str]) -> Path:
    """Write the sample's first row at 4 x 0.50 for sub-account 1, and these columns (name, value) after its own."""
    with SAMPLE.open(newline="", encoding="utf-8") as text:
        first = next(csv.DictReader(text)) | {"SubAccountId": "1", "ListUnitPrice": "0.5", "PricingQuantity": "4"}
    file = folder / "bill.csv"
    with file.open("w", newline="", encoding="utf-8") as text:
        writer = csv.writer(text)
        writer.writerow([*first, *(name for name, _ in again)])
        writer.writerow([*first.values(), *(value for _, value in again)])
    return file


@pytest.mark.parametrize(
    ("again", "named"),
    [
        ([("ListUnitPrice", "5")], "'ListUnitPrice'"),
        ([("PricingQuantity", "400")], "'PricingQuantity'"),
        ([("PricingQuantity", "4")], "'PricingQuantity'"),  # also if both have the same value
        ([("SubAccountId", "2")], "'SubAccountId'"),
        ([("BillingCurrency", "EUR")], "'BillingCurrency'"),
        ([("x_Team", "a"), ("x_Team", "b")], "'x_Team'"),
        ([("", "a"), ("", "b")], "''"),
        ([("SubAccountId", "2"), ("ListUnitPrice", "5")], "'ListUnitPrice', 'SubAccountId'"),
    ],
)
def test_a_column_that_a_focus_file_has_twice_is_refused_by_name(
    tmp_path: Path, again: list[tuple[str, str]], named: str
) -> None:
    with pytest.raises(FocusImportError) as refused:
        read_focus_rows([write(tmp_path, *again)], NOW)
    message = str(refused.value)
    assert message.startswith("bill.csv can't be imported: its header has ")
    assert message.endswith("more than once: keep one")
    assert all(name in message for name in named.split(", "))


@pytest.mark.parametrize("again", [[], [("x_Team", "a")], [("listunitprice", "5")]])
def test_a_custom_column_is_ignored(tmp_path: Path, again: list[tuple[str, str]]) -> None:
    (row,), rejected = read_focus_rows([write(tmp_path, *again)], NOW)
    assert (row.sub_account_id, row.amount, rejected) == ("1", Decimal("2.0"), [])
