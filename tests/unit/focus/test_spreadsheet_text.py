"""A text in a CSV file is a text in a spreadsheet too, and the importer reads back the exported text."""

from __future__ import annotations

import csv
import io
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.focus.exports.columns import columns_of
from fly_billing.focus.exports.files import new_file
from fly_billing.focus.imports.rows import _text as imported_text
from fly_billing.focus.spreadsheet_text import as_cell, from_cell


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "=HYPERLINK(\"http://evil.example\"; \"pay\")",
        "+1",
        "-2+3",
        "@SUM(A1)",
        " =1",
        "\u00a0=1",
        "\ufeff=1",
        "\u200b=1",
        "\x00=1",
        "\uff1d1+1",
        "\uff0b1",
        "\uff0d1",
        "\uff20A1",
        "'=1",
        "''=1",
        "' =1",
        "' '=1",
        "NULL",
        "'NULL",
        " padded",
        "padded\t",
        "\x1cpadded",
    ],
)  # fmt: skip
def test_a_text_that_a_spreadsheet_would_misread_gets_an_apostrophe(text: str) -> None:
    assert as_cell(text) == "'" + text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "acme",
        "'acme'",
        "a=1",
        "1-2",
        "null",
        "Łódź & Søns",
        "shared-cpu-1x",
        "'",
        "O'Neill",
        "{}",
        "a; b",
        "a;b=1",
        "x\n1",
    ],
)
def test_any_other_text_does_not_change(text: str) -> None:
    assert as_cell(text) == text
    assert from_cell(text) is None


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("Acme;=1+1", "Acme;'=1+1"),
        ("Acme; @SUM(A1)", "Acme;' @SUM(A1)"),
        ("Acme\t-1", "Acme\t'-1"),
        ("x\n=1", "x\n'=1"),
        ("x\r\n+1", "x\r\n'+1"),
        ('Acme";"=1', 'Acme";\'"=1'),
        ("Acme;'=1", "Acme;''=1"),
        ("Acme;\uff1d1", "Acme;'\uff1d1"),
        ("=1;=2", "'=1;'=2"),
        ("\t=1", "'\t'=1"),
        ("\n=1", "'\n'=1"),
        ("\r=1", "'\r'=1"),
    ],
)
def test_a_part_that_another_locale_reads_as_a_cell_gets_an_apostrophe(text: str, cell: str) -> None:
    assert as_cell(text) == cell
    assert from_cell(cell) == text


# Mostly what matters to a spreadsheet, and anything else.
TEXTS = st.text(st.sampled_from("'=+-@ \t\r\n\u00a0\ufeff\uff1dNULa1\",;") | st.characters(exclude_categories=["Cs"]))


@given(TEXTS)
def test_an_exported_text_is_imported_unchanged(text: str) -> None:
    restored = from_cell(as_cell(text))
    assert (as_cell(text) if restored is None else restored) == text


@given(TEXTS)
def test_no_cell_begins_like_a_formula(text: str) -> None:
    assert as_cell(text)[:1] not in tuple("=+-@\t\r\uff1d\uff0b\uff0d\uff20")


@given(st.lists(TEXTS, min_size=1), st.sampled_from(";\t"))
def test_no_cell_begins_like_a_formula_if_lines_are_split_elsewhere(texts: list[str], separator: str) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\r\n").writerow(["INV-1", *map(as_cell, texts)])
    # The text behind the separator, read with quotes as quotes and as plain characters.
    for cell in re.split(f"[{separator}\r\n]", file.getvalue()):
        assert cell.lstrip('" ')[:1] not in tuple("=+-@\uff1d\uff0b\uff0d\uff20")


NAMES = st.lists(TEXTS.filter(lambda text: text != ""), min_size=1, max_size=5)


@given(NAMES)
def test_every_text_of_a_focus_file_is_read_back_and_its_numbers_stay_numbers(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    path = tmp_path_factory.mktemp("focus") / "month.csv"
    columns = columns_of("1.2")
    empty = dict.fromkeys(columns, None)
    with new_file(path, "csv", "1.2") as write:
        write([{**empty, "SubAccountName": name, "BilledCost": Decimal("-1.50")} for name in names])
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, strict=True))
    assert [imported_text(row, "SubAccountName") for row in rows] == names
    assert {row["BilledCost"] for row in rows} == {"-1.5"}
