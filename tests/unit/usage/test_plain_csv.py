"""A plain CSV file is read without a Python object per row, and to the same rows as by the exact reader."""

from __future__ import annotations

import csv
import io
from typing import Any, Literal

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fly_billing.usage.readers.csv_blocks import read_plain_csv
from fly_billing.usage.readers.csv_rows import read_csv
from fly_billing.usage.readers.staged_rows import STAGED
from fly_billing.usage.readers.text_files import UnusableFile

HEADER = "id,source,type,subject,time,quantity,data"
ROW = 'e1,/collectors/machines,machine_seconds,acme,2026-09-15T12:00:00Z,3540.000000,"{""app"":""a,b""}"'


def plain_rows(content: str) -> list[dict[str, Any]] | None:
    """Return the rows in the order of their lines; None if the file is not plain."""
    tables = read_plain_csv(content.encode())
    return None if tables is None else in_order(tables)


def exact_rows(content: str) -> list[dict[str, Any]]:
    return in_order(list(read_csv(io.BytesIO(content.encode()))))


def in_order(tables: list[pa.Table]) -> list[dict[str, Any]]:
    rows = pa.concat_tables([STAGED.empty_table(), *tables]).to_pylist()
    return sorted(rows, key=lambda row: row["line"])


def test_a_quoted_field_loses_its_quotes_and_a_quantity_keeps_its_digits() -> None:
    (row,) = plain_rows(f"{HEADER}\n{ROW}\n") or []
    assert (row["line"], row["raw"], row["quantity"]) == (2, ROW, "3540.000000")
    assert row["data"] == '{"app":"a,b"}'


def test_columns_besides_the_six_become_the_data() -> None:
    content = 'region,id,source,type,subject,time,quantity,app\nams,e1,s,t,acme,2026-09-15T12:00:00Z,1,"a""b"\r\n'
    (row,) = plain_rows(content) or []
    assert row["data"] == '{"region": "ams", "app": "a\\"b"}'


def test_a_comma_between_quoted_fields_separates_and_one_inside_does_not() -> None:
    content = 'id,source,type,subject,time,quantity,region,app\ne1,s,t,acme,2026-09-15T12:00:00Z,1,"ams","a,b"\n'
    (row,) = plain_rows(content) or []
    assert row["data"] == '{"region": "ams", "app": "a,b"}'
    assert [row] == exact_rows(content)


TORN = {
    "a field too few": ROW.replace(",acme", ""),
    "a field too many": ROW + ",x",
    "a time without offset": ROW.replace("00Z", "00"),
    "a date that does not exist": ROW.replace("09-15", "02-30"),
    "an exponent": ROW.replace("3540.000000", "3.54e3"),
    "no quantity": ROW.replace("3540.000000", ""),
    "only spaces": "   ",
}


@pytest.mark.parametrize("case", TORN)
def test_an_unusual_row_is_read_exactly_and_the_others_at_once(case: str) -> None:
    content = f"{HEADER}\n{ROW}\n{TORN[case]}\n\n{ROW}"
    assert plain_rows(content) == exact_rows(content)


NOT_PLAIN = {
    "a field of two lines": f"{HEADER}\n{ROW}\n{ROW.replace('acme', chr(34) + 'ac' + chr(10) + 'me' + chr(34))}\n",
    "a quote that never closes": f"{HEADER}\n{ROW.replace('acme', chr(34) + 'acme')}\n{ROW}\n",
    "quotes inside of a field": f"{HEADER}\n{ROW.replace('acme', 'ac' + chr(34) + chr(34) + 'me')}\n",
    "text behind a quoted field": f"{HEADER}\n{ROW} \n",
    "a carriage return inside of a line": f"{HEADER}\n{ROW}\r{ROW}\n",
    "no header": f"{ROW}\n",
    "a line of Excel first": f"sep=,\n{HEADER}\n{ROW}\n",
    "a column twice": f"{HEADER},id\n{ROW},e1\n",
    "the quantity in data": f"{HEADER.replace('quantity,', '')}\n{ROW.replace('3540.000000,', '')}\n",
    "an empty line first": f"\n{HEADER}\n{ROW}\n",
    "a long line": f"{HEADER}\n{ROW.replace('acme', 'a' * 140_000)}\n",
    "nothing": "",
}


@pytest.mark.parametrize("case", NOT_PLAIN)
def test_a_file_that_is_not_plain_is_left_to_the_exact_reader(case: str) -> None:
    assert plain_rows(NOT_PLAIN[case]) is None


@pytest.mark.parametrize("row", [b"\xff", b"\xed\xa0\x80"])
def test_a_file_that_is_not_utf8_is_left_to_the_exact_reader(row: bytes) -> None:
    assert read_plain_csv(f"{HEADER}\n{ROW}\n".encode() + row) is None


# --- The same rows as by the exact reader --------------------------------------------------------------------------

FIELDS = st.one_of(
    st.sampled_from(
        ["", "acme", "a,b", 'a"b', '"', '{"app": "x", "n": 1.50}', "{}", " ", "\\", "\0", "two\nlines", "x\ry"]
    ),
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=15),
)
TIMES = st.sampled_from(
    [
        "2026-09-15T12:00:00Z",
        "2026-09-15 12:00:00.123456+05:30",
        "2026-02-30T12:00:00Z",
        "2026-09-14T23:59:60Z",
        "",
        "x",
    ]
)
QUANTITIES = st.sampled_from(["0", "7", "1.50", "15e-1", "-1", "-0", "1e-16", "01", "", "x", "12345678901234567890.5"])
DAMAGE = ["", '"', '""', ",", "\r", "\r\n", "\n", "\t", "\0", "\u2028", "\x0b", "\x85", " "]


@st.composite
def contents(draw: st.DrawFn) -> str:
    """A file with some of the columns. Some of its lines are damaged, or quoted where they need not be."""
    names = ["id", "source", "type", "subject", "time", "quantity"]
    names += draw(st.lists(st.sampled_from(["data", "app", "région", "app"]), max_size=2))
    names = draw(st.permutations(names))[: draw(st.sampled_from([8, 8, 8, 5]))]
    known = {"time": TIMES, "quantity": QUANTITIES}
    text = io.StringIO(newline="")
    quoting: Literal[0, 1] = csv.QUOTE_ALL if draw(st.booleans()) else csv.QUOTE_MINIMAL
    writer = csv.writer(text, lineterminator=draw(st.sampled_from(["\n", "\r\n"])), quoting=quoting)
    writer.writerow(names)
    for _ in range(draw(st.integers(0, 8))):
        writer.writerow([draw(known.get(name, FIELDS)) for name in names])
    content = text.getvalue()
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        place = draw(st.integers(0, len(content)))
        content = content[:place] + draw(st.sampled_from(DAMAGE)) + content[place + draw(st.integers(0, 1)) :]
    return draw(st.sampled_from(["", "\ufeff"])) + content.removesuffix(draw(st.sampled_from(["", "\n"])))


def test_a_file_with_many_unusual_rows_is_left_to_the_exact_reader_which_takes_it_in_parts() -> None:
    torn = "x\n" * 20_000
    assert len(plain_rows(f"{HEADER}\n{ROW}\n{torn}") or []) == 20_001
    assert plain_rows(f"{HEADER}\n{ROW}\n{torn}x\n") is None


@given(content=contents())
@example(content=f"{HEADER}\n{ROW}\n")
@settings(max_examples=500, deadline=None)
def test_a_file_has_the_same_rows_as_by_the_exact_reader(content: str) -> None:
    found = plain_rows(content)
    if found is None:
        return
    try:
        assert found == exact_rows(content)
    except UnusableFile as problem:
        pytest.fail(f"read although {problem}")
