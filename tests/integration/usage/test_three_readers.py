"""JSONL, CSV and Parquet agree: a row in any form has the same verdict, time, quantity and name."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fly_billing.pricing.price_books import PriceBookFiles, load_price_book
from fly_billing.pricing.rules.meters import Meter
from fly_billing.usage.usage_table import open_duckdb
from tests.support.builders import DAY, Platform, event, write_csv, write_parquet, write_table, write_text

Verdict = list[Any]
COLUMNS = ("id", "source", "type", "subject", "time", "quantity")
# Two meters read one transfer, each its own property; only the sent quantity has the dimension region.
TRANSFER = (
    Meter("sent_gb", "Sent", "GB", dimensions=("region",), event_type="transfer"),
    Meter("received_gb", "Received", "GB", event_type="transfer", quantity_of="received"),
)


@pytest.fixture
def platform(platform: Platform) -> Platform:
    with platform.database.transaction() as connection:
        load_price_book(connection, PriceBookFiles("fly", TRANSFER, ()))
    return platform


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


# --- The same rows in each form -------------------------------------------------------------------------------------


def in_data(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event's data without its quantity: the fields without a column."""
    return {name: value for name, value in row.items() if name not in COLUMNS}


def json_texts(usage: Sequence[Mapping[str, Any]], *, escaped: bool) -> str:
    """Write the quantity as text. With an escape in every line, the exact reader reads all of them."""
    lines = []
    for row in usage:
        data = {"quantity": row["quantity"], **in_data(row)}
        envelope = {name: row[name] for name in COLUMNS if name != "quantity"}
        line = json.dumps(envelope | {"data": data}, ensure_ascii=False)
        lines.append(f'{line[:-1]}, "note": "\\u0061"}}' if escaped else line)
    return "\n".join(lines)


def plain_parquet(landing_dir: Path, usage: Sequence[Mapping[str, Any]]) -> None:
    """Write columns of text and a JSON text, as collectors do."""
    columns = {name: pa.array([row[name] for row in usage], pa.string()) for name in COLUMNS}
    data = pa.array([json.dumps(in_data(row), ensure_ascii=False) for row in usage], pa.string())
    write_table(landing_dir, pa.table(columns | {"data": data}), name="with-data")


def event_columns(usage: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the event's columns and its data."""
    names = ("id", "source", "type", "subject", "time")
    return [
        {name: row[name] for name in names} | {"data": {"quantity": row["quantity"], **in_data(row)}} for row in usage
    ]


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def event_csv(landing_dir: Path, usage: Sequence[Mapping[str, Any]]) -> None:
    """`data` with the quantity in it as JSON, and another attribute of CloudEvents."""
    rows = [
        {"specversion": "1.0"} | row | {"data": json.dumps(row["data"], ensure_ascii=False)}
        for row in event_columns(usage)
    ]
    write_text(landing_dir, DAY, "event.csv", csv_text(rows))


def row_csv(landing_dir: Path, usage: Sequence[Mapping[str, Any]]) -> None:
    """The quantity in a column, the rest as JSON in a column `data`."""
    rows = [
        {name: row[name] for name in COLUMNS} | {"data": json.dumps(in_data(row), ensure_ascii=False)} for row in usage
    ]
    write_text(landing_dir, DAY, "row.csv", csv_text(rows))


def struct_parquet(landing_dir: Path, usage: Sequence[Mapping[str, Any]]) -> None:
    """`data` as a struct with a field that only other rows have."""
    rows = event_columns(usage)
    table = pa.Table.from_pylist(rows)
    with_note = pa.array([row["data"] | {"note": None} for row in rows])
    write_table(landing_dir, table.set_column(table.column_names.index("data"), "data", with_note), name="struct")


def text_parquet(landing_dir: Path, usage: Sequence[Mapping[str, Any]]) -> None:
    rows = [row | {"data": json.dumps(row["data"], ensure_ascii=False)} for row in event_columns(usage)]
    write_table(landing_dir, pa.Table.from_pylist(rows), name="event-text")


def batch_json(landing_dir: Path, usage: Sequence[Mapping[str, Any]]) -> None:
    """A CloudEvents batch, on many lines."""
    write_text(landing_dir, DAY, "batch.json", json.dumps(event_columns(usage), ensure_ascii=False, indent=1))


def packed(
    write: Callable[[Path, Sequence[Mapping[str, Any]]], object], ending: str
) -> Callable[[Path, Sequence[Mapping[str, Any]]], object]:
    """Write the one file of the form elsewhere, and land it packed."""

    def write_packed(landing_dir: Path, usage: Sequence[Mapping[str, Any]]) -> None:
        with TemporaryDirectory() as elsewhere:
            write(Path(elsewhere), usage)
            (plain,) = (path for path in Path(elsewhere).rglob("*") if path.is_file())
            content = plain.read_bytes()
        (landing_dir / DAY.isoformat()).mkdir(parents=True, exist_ok=True)
        (landing_dir / DAY.isoformat() / f"packed-{plain.name}{ending}").write_bytes(pack(content, ending))

    return write_packed


def pack(content: bytes, ending: str) -> bytes:
    return gzip.compress(content) if ending == ".gz" else bytes(pa.Codec("zstd").compress(content))


FORMS: dict[str, Callable[[Path, Sequence[Mapping[str, Any]]], object]] = {
    "fast.jsonl": lambda folder, usage: write_text(folder, DAY, "fast.jsonl", json_texts(usage, escaped=False)),
    "exact.jsonl": lambda folder, usage: write_text(folder, DAY, "exact.jsonl", json_texts(usage, escaped=True)),
    "usage.csv": write_csv,
    "usage.parquet": write_parquet,
    "with-data.parquet": plain_parquet,
    "event.csv": event_csv,
    "row.csv": row_csv,
    "struct.parquet": struct_parquet,
    "event-text.parquet": text_parquet,
    "batch.json": batch_json,
}
FORMS |= {
    f"{form}{ending}": packed(FORMS[form], ending)
    for form, ending in [
        ("fast.jsonl", ".gz"), ("exact.jsonl", ".zst"), ("event.csv", ".gz"), ("usage.csv", ".zst"),
        ("usage.parquet", ".gz"), ("struct.parquet", ".zst"), ("batch.json", ".gz"), ("batch.json", ".zst"),
    ]
}  # fmt: skip


def verdicts(platform: Platform, usage: Sequence[dict[str, Any]]) -> dict[str, list[Verdict]]:
    """Land the rows in each form; return each row's verdict: a reason, or (microseconds, quantity, region)."""
    for form, write in FORMS.items():
        write(platform.landing_dir, [row | {"id": f"{form} {number}"} for number, row in enumerate(usage)])
    platform.land()
    return {form: found_of(platform, [f"{form} {number}" for number in range(len(usage))]) for form in FORMS}


def found_of(platform: Platform, ids: Sequence[str]) -> list[Verdict]:
    with open_duckdb() as duck:
        platform.table().open_view(duck, "events")
        found = duck.execute("select id, epoch_us(time), quantity, dimensions from events").fetchall()
    known: dict[str, Verdict] = {name: rest for name, *rest in found}
    known |= {row["event_id"]: [row["reason"]] for row in platform.rejected()}
    return [known[event_id] for event_id in ids]


def agree(platform: Platform, usage: Sequence[dict[str, Any]]) -> list[Verdict]:
    """Return the verdicts of the rows, after checking that all forms have the same ones."""
    found = verdicts(platform, usage)
    for form, ours in found.items():
        for row, verdict, expected in zip(usage, ours, found["exact.jsonl"], strict=True):
            assert verdict == expected, f"{form} and exact.jsonl differ about {row}"
    return found["exact.jsonl"]


def usage_of(time: str = "2026-09-15T12:00:00Z", quantity: str = "1", region: str = "ams") -> dict[str, Any]:
    return event("", quantity, time=time, type="egress_gb", region=region)


def transfer_of(sent: str, received: str, region: str = "ams") -> dict[str, Any]:
    """An event that several meters read."""
    return event("", sent, type="transfer", region=region, received=received)


# --- Times ----------------------------------------------------------------------------------------------------------

NOON = 1_789_473_600_000_000  # 2026-09-15T12:00:00Z in microseconds

TIMES: dict[str, int | str] = {
    "2026-09-15T12:00:00Z": NOON,
    "2026-09-15 12:00:00Z": NOON,
    "2026-09-15t12:00:00z": NOON,
    "2026-09-15T12:00:00-00:00": NOON,
    "2026-09-15T17:30:00+05:30": NOON,
    "2026-09-14T12:01:00-23:59": NOON,
    "2026-09-16T11:59:00+23:59": NOON,
    "2026-09-15T12:00:00.5Z": NOON + 500_000,
    "2026-09-15T12:00:00.0000019999Z": NOON + 1,
    f"2026-09-15T12:00:00.{'9' * 40}Z": NOON + 999_999,
    "2026-09-14T23:59:60Z": NOON - 43_200_000_001,
    "2026-09-15T05:29:60+05:30": NOON - 43_200_000_001,
    "2026-09-15T12:00:60Z": "bad_time",
    "2026-09-15T23:59:61Z": "bad_time",
    "2026-09-15T24:00:00Z": "bad_time",
    "2026-09-15T12:60:00Z": "bad_time",
    "2026-09-15T12:00:00+24:00": "bad_time",
    "2026-09-15T12:00:00+99:99": "bad_time",
    "2026-09-15T12:00:00+05:60": "bad_time",
    "2026-09-15T12:00:00+0530": "bad_time",
    "2026-09-15T12:00:00+05": "bad_time",
    "2026-09-15T12:00:00": "bad_time",
    "2026-09-15T12:00Z": "bad_time",
    "2026-09-15": "bad_time",
    "20260915T120000Z": "bad_time",
    "2026-W38-2T12:00:00Z": "bad_time",
    "2026-258T12:00:00Z": "bad_time",
    "2026-9-15T12:00:00Z": "bad_time",
    "2026-02-30T12:00:00Z": "bad_time",
    "2026-00-15T12:00:00Z": "bad_time",
    "0000-01-01T00:00:00Z": "bad_time",
    "0001-01-01T00:00:00+02:00": "bad_time",  # .NET's MinValue in Berlin
    "0001-01-01T00:00:00Z": "time_too_early",
    "9999-12-31T23:59:59.9999999Z": "time_in_future",
    "9999-12-31T23:59:59-00:01": "bad_time",
    "10000-01-01T00:00:00Z": "bad_time",
    "-2026-09-15T12:00:00Z": "bad_time",
    "+002026-09-15T12:00:00Z": "bad_time",
    "2026-09-15T12:00:00,5Z": "bad_time",
    "2026-09-15T12:00:00.Z": "bad_time",
    "2026-09-15T12:00:00 Z": "bad_time",
    "2026-09-15T12:00:00Z ": "bad_time",
    " 2026-09-15T12:00:00Z": "bad_time",
    "2026-09-15T12:00:00Z\n": "bad_time",
    "2026-09-15\u00a012:00:00Z": "bad_time",
    "2026-09-15_12:00:00Z": "bad_time",
    "2026-09-15T12:00:00\u221205:00": "bad_time",
    "٢٠٢٦-٠٩-١٥T١٢:٠٠:٠٠Z": "bad_time",
    "２０２６-09-15T12:00:00Z": "bad_time",
    "2026-09-15T12:00:00UTC": "bad_time",
    "2026-09-15T12:00:00 Europe/Berlin": "bad_time",
    "2026-09-15T12:00:00[Europe/Berlin]": "bad_time",
    "1789473600": "bad_time",
    "now": "bad_time",
    "infinity": "bad_time",
    "-infinity": "bad_time",
    "epoch": "bad_time",
    "": "missing_field",
}


def test_all_readers_accept_the_same_times(platform: Platform) -> None:
    found = agree(platform, [usage_of(time=time) for time in TIMES])
    assert dict(zip(TIMES, [verdict[0] for verdict in found], strict=True)) == TIMES


# --- Quantities -----------------------------------------------------------------------------------------------------

QUANTITIES: dict[str, Decimal | str] = {
    "1": Decimal(1),
    "0": Decimal(0),
    "-0": Decimal(0),
    "-0.0e5": Decimal(0),
    "1e3": Decimal(1000),
    "1E+3": Decimal(1000),
    "15e-1": Decimal("1.5"),
    "1e-15": Decimal("0.000000000000001"),
    "100e-17": Decimal("0.000000000000001"),
    "0.00000000000000000001e10": Decimal("0.0000000001"),
    "0.1" + "0" * 60: Decimal("0.1"),
    "12345678901234567890.123456789012345": Decimal("12345678901234567890.123456789012345"),
    "1e19": Decimal(10**19),
    "-1": "negative_quantity",
    "-1e-15": "negative_quantity",
    "1e20": "bad_quantity",
    "1e-16": "bad_quantity",
    "0.0000000000000001": "bad_quantity",
    "0.1" + "0" * 2000: "bad_quantity",
    "0e41": "bad_quantity",
    "1e999999999": "bad_quantity",
    "1e+-5": "bad_quantity",
    "1e": "bad_quantity",
    "e5": "bad_quantity",
    "1e5.0": "bad_quantity",
    "+5": "bad_quantity",
    "--5": "bad_quantity",
    "- 5": "bad_quantity",
    "\u22125": "bad_quantity",
    "007": "bad_quantity",
    "-01": "bad_quantity",
    ".5": "bad_quantity",
    "5.": "bad_quantity",
    "1.2.3": "bad_quantity",
    "1,5": "bad_quantity",
    "1,000": "bad_quantity",
    "1 000": "bad_quantity",
    "1_000": "bad_quantity",
    "1'000": "bad_quantity",
    "0x10": "bad_quantity",
    "0b1": "bad_quantity",
    "1f": "bad_quantity",
    "1/2": "bad_quantity",
    "5%": "bad_quantity",
    "$5": "bad_quantity",
    "٥": "bad_quantity",
    "５": "bad_quantity",
    "²": "bad_quantity",
    " 5": "bad_quantity",
    "5 ": "bad_quantity",
    "5\t": "bad_quantity",
    "5\n": "bad_quantity",
    "5\u00a0": "bad_quantity",
    "\ufeff5": "bad_quantity",
    "5\0": "bad_quantity",
    '"5"': "bad_quantity",
    "NaN": "bad_quantity",
    "nan": "bad_quantity",
    "Infinity": "bad_quantity",
    "-Infinity": "bad_quantity",
    "inf": "bad_quantity",
    "true": "bad_quantity",
    "null": "bad_quantity",
    "None": "bad_quantity",
    "": "missing_field",
}


def test_all_readers_accept_the_same_quantities(platform: Platform) -> None:
    found = agree(platform, [usage_of(quantity=quantity) for quantity in QUANTITIES])
    assert (
        dict(zip(QUANTITIES, [verdict[1] if len(verdict) > 1 else verdict[0] for verdict in found], strict=True))
        == QUANTITIES
    )


# A space next to a JSON number is not part of it.
NUMBERS = [text for text in QUANTITIES if is_json(text) and text.strip() == text and '"' not in text]


@pytest.mark.parametrize("note", ["", "\\u0061"])
def test_a_json_number_is_the_same_quantity_as_its_text(platform: Platform, note: str) -> None:
    lines = [
        f'{{"id": "{n}", "source": "same", "type": "requests", "subject": "acme", "time": "2026-09-15T12:00:00Z",'
        f' "data": {{"quantity": {text}, "note": "{note}"}}}}'
        for n, text in enumerate(NUMBERS)
    ]
    write_text(platform.landing_dir, DAY, "usage.jsonl", "\n".join(lines))
    platform.land()
    found = found_of(platform, [str(n) for n in range(len(lines))])
    expected = {text: QUANTITIES[text] for text in NUMBERS} | {"true": "bad_quantity", "null": "missing_field"}
    assert {
        text: verdict[1] if len(verdict) > 1 else verdict[0] for text, verdict in zip(NUMBERS, found, strict=True)
    } == expected


# --- Events that several meters read ---------------------------------------------------------------------------------

# (sent, received, region) -> the quantity of each meter, or the reason of the rejection.
TRANSFERS: dict[tuple[str, str, str], dict[str, Decimal] | str] = {
    ("1.5", "2e3", "ams"): {"sent_gb": Decimal("1.5"), "received_gb": Decimal(2000)},
    ("0", "0.000000000000001", "ams"): {"sent_gb": Decimal(0), "received_gb": Decimal("1e-15")},
    ("12345678901234567890.5", "1", "fra"): {
        "sent_gb": Decimal("12345678901234567890.5"), "received_gb": Decimal(1),
    },
    ("7", "", "ams"): {"sent_gb": Decimal(7)},
    ("", "7", "ams"): {"received_gb": Decimal(7)},
    ("", "", "ams"): "missing_field",
    ("7", "1e-16", "ams"): "bad_quantity",
    ("007", "7", "ams"): "bad_quantity",
    ("7", " 7", "ams"): "bad_quantity",
    ("7", "7\u00a0", "ams"): "bad_quantity",
    ("7", "true", "ams"): "bad_quantity",
    ("7", "-7", "ams"): "negative_quantity",
    ("-7", "7", "ams"): "negative_quantity",
}  # fmt: skip


def test_all_readers_give_each_meter_its_property_of_a_shared_event(platform: Platform) -> None:
    agree(platform, [transfer_of(*transfer) for transfer in TRANSFERS])
    with open_duckdb() as duck:
        platform.table().open_view(duck, "by_meter", by_meter=True)
        rows = duck.execute("select id, meter, quantity from by_meter where starts_with(id, 'exact.jsonl ')").fetchall()
    measured: dict[str, dict[str, Decimal]] = {}
    for ident, meter, quantity in rows:
        measured.setdefault(ident, {})[meter] = quantity
    refused = {row["event_id"]: row["reason"] for row in platform.rejected()}
    for number, (transfer, expected) in enumerate(TRANSFERS.items()):
        ident = f"exact.jsonl {number}"
        assert measured.get(ident, refused.get(ident)) == expected, transfer


# --- Random values --------------------------------------------------------------------------------------------------

digits = st.text("0123456789", min_size=1, max_size=25)
quantities = st.one_of(
    st.builds(
        lambda sign, whole, fraction, exponent: f"{sign}{whole}{fraction}{exponent}",
        st.sampled_from(["", "-", "+"]),
        digits,
        st.one_of(st.just(""), digits.map(lambda found: f".{found}"), st.integers(1, 40).map(lambda n: "." + "1" * n)),
        st.one_of(st.just(""), st.integers(-45, 45).map(lambda n: f"e{n}"), st.sampled_from(["E+3", "e+-5", "e"])),
    ),
    st.text("0123456789.eE+-, _٥５\u00a0", max_size=8),
)
times = st.one_of(
    st.builds(
        "{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}{}{}".format,
        st.sampled_from([0, 1, 1969, 1970, 2026, 2026, 2026, 9999]),
        st.integers(0, 13),
        st.integers(0, 32),
        st.sampled_from("Tt _"),
        st.integers(0, 25),
        st.sampled_from([0, 30, 59, 60]),
        st.sampled_from([0, 30, 59, 60, 61]),
        st.one_of(st.just(""), st.integers(0, 40).map(lambda n: "." + "9" * n)),
        st.sampled_from(["Z", "z", "", "+00:00", "-00:00", "+05:30", "-23:59", "+24:00", "+14:60", "+0530", " Z"]),
    ),
    st.text("0123456789-:TZ+. \u00a0٢２", max_size=30),
)
# Python's CSV writer doesn't quote a CR, which ends the line.
regions = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=12)
usages = st.lists(
    st.builds(usage_of, time=times, quantity=st.just("1"))
    | st.builds(usage_of, quantity=quantities)
    | st.builds(
        transfer_of,
        st.sampled_from(["", "1", "2.5", "7x"]) | quantities,
        st.sampled_from(["", "1", "2.5", "-7"]) | quantities,
        st.sampled_from(["ams", ""]),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(usage=usages)
def test_all_readers_have_the_same_verdict_on_any_time_and_quantity(
    platform: Platform, usage: list[dict[str, Any]]
) -> None:
    agree(platform, usage)


@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(found=st.lists(regions, min_size=1, max_size=40))
@example(
    found=[
        "",
        " ",
        "a\0b",
        "a\r\nb",
        '"',
        "\\",
        "{",
        "},{",
        "1.50",
        "\u2028",
        "\ufeffa",
        "e\u0301",
        "é",
        "🚀",
        "=1+1",
        "\x7f",
    ]
)
def test_all_readers_keep_any_text_unchanged(platform: Platform, found: list[str]) -> None:
    agreed = agree(platform, [usage_of(region=region) for region in found])
    for region, verdict in zip(found, agreed, strict=True):
        if "\0" in region:
            assert verdict == ["bad_text"]
        else:
            assert json.loads(verdict[2]) == {"region": region}


# --- JSON documents -------------------------------------------------------------------------------------------------


def line_of(ident: str, data: str = '"quantity": 1, "region": "ams"', more: str = "") -> str:
    return (
        f'{{"id": {ident}, "source": "same", "type": "egress_gb", "subject": "acme",'
        f' "time": "2026-09-15T12:00:00Z"{more}, "data": {{{data}}}}}'
    )


DOCUMENTS: dict[str, tuple[str, str]] = {
    "key twice": (line_of('"a"', more=', "subject": "acme"'), "bad_json"),
    "key twice, once escaped": (line_of('"a"', more=', "subj\\u0065ct": "acme"'), "bad_json"),
    "quantity twice": (line_of('"a"', '"quantity": 1, "quantity": 1, "region": "ams"'), "bad_json"),
    "dimension twice": (line_of('"a"', '"quantity": 1, "region": "ams", "region": "fra"'), "bad_json"),
    "data twice": (line_of('"a"', more=', "data": {"quantity": 5, "region": "ams"}'), "bad_json"),
    "twice further down": (line_of('"a"', '"quantity": 1, "region": "ams", "x": {"y": 1, "y": 2}'), "bad_json"),
    "trailing comma": (line_of('"a"', '"quantity": 1, "region": "ams",'), "bad_json"),
    "nan beside the quantity": (line_of('"a"', '"quantity": 1, "region": NaN'), "bad_json"),
    "two documents": (line_of('"a"') + line_of('"b"'), "bad_json"),
    "spaces of another kind": ("\u00a0" + line_of('"a"'), "bad_json"),
    "half a pair": (line_of('"a"', '"quantity": 1, "region": "\\ud800"'), "bad_json"),
    "id with a point": (line_of("1.0"), "bad_text"),
    "id with an exponent": (line_of("1e3"), "bad_text"),
    "id of yes and no": (line_of("true"), "bad_text"),
    "id in a list": (line_of('["a"]'), "bad_text"),
    "id null": (line_of("null"), "missing_field"),
    "id empty": (line_of('""'), "missing_field"),
    "quantity a list": (line_of('"a"', '"quantity": [1], "region": "ams"'), "bad_quantity"),
    "quantity null": (line_of('"a"', '"quantity": null, "region": "ams"'), "missing_field"),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_an_ambiguous_json_line_is_rejected(platform: Platform, case: str) -> None:
    line, reason = DOCUMENTS[case]
    write_text(platform.landing_dir, DAY, "usage.jsonl", f"{line}\n{line_of('12345678901234567890')}\n")
    platform.land()
    assert [(row["line"], row["reason"]) for row in platform.rejected()] == [(1, reason)]
    ((_, quantity, region),) = found_of(platform, ["12345678901234567890"])
    assert (quantity, region) == (1, '{"region":"ams"}')


VALUES = [
    '"a"',
    '""',
    "7",
    "-7",
    "1.5",
    "1e3",
    "0.00000015",
    "12345678901234567890",
    "true",
    "null",
    "{}",
    '"quantity"',
]
ENVELOPE = {
    "id": '"a"',
    "source": '"same"',
    "type": '"egress_gb"',
    "subject": '"acme"',
    "time": '"2026-09-15T12:00:00Z"',
}


def document(chance: random.Random, number: int) -> str:
    """Write a mostly valid line: one or two members are changed, left out, added or repeated, in any order."""

    def sometimes(names: Sequence[str], likely: float) -> list[tuple[str, str]]:
        return [(chance.choice(names), chance.choice(VALUES)) for _ in range(2) if chance.random() < likely]

    data = [("quantity", chance.choice(["1.5", '"1.5"', "2", "0.00000015"])), ("region", '"ams"')]
    data += sometimes(["region", "note", "quantity", "xquantity"], 0.2)
    known = ENVELOPE | {"id": f'"{number}"'} | dict(sometimes(list(ENVELOPE), 0.1))
    members = [(name, value) for name, value in known.items() if chance.random() > 0.05]
    members += sometimes([*ENVELOPE, "data", "quantity", "x"], 0.2)
    members.append(("data", f"{{{written(chance.sample(data, len(data)))}}}"))
    return written(chance.sample(members, len(members)))


def written(members: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f'"{name}": {value}' for name, value in members)


def lines_found(platform: Platform, path: str) -> dict[int, Verdict]:
    """Return the verdict of each line of a file: a reason, or (source, id, microseconds, quantity, dimensions)."""
    with open_duckdb() as duck:
        platform.table().open_view(duck, "events")
        found = duck.execute(
            "select line, source, id, epoch_us(time), quantity, dimensions from events where path = ?", [path]
        ).fetchall()
    refused = {row["line"]: [row["reason"]] for row in platform.rejected() if row["path"] == path}
    return {line: rest for line, *rest in found} | refused


def test_both_json_readers_have_the_same_verdict_on_any_document(platform: Platform) -> None:
    """With an escape in every line, the exact reader reads them all; each file lands separately, with the same ids."""
    chance = random.Random(20260915)
    found = [document(chance, number) for number in range(6_000)]
    verdicts_by_form = []
    for more in ("", ', "escaped": "\\u0061"'):
        write_text(platform.landing_dir, DAY, "usage.jsonl", "\n".join(f"{{{fields}{more}}}" for fields in found))
        platform.land()
        verdicts_by_form.append(lines_found(platform, "usage.jsonl"))
    accepted = [line for line, verdict in verdicts_by_form[0].items() if len(verdict) > 1]
    assert 1_000 < len(accepted) < 5_000  # so that neither verdict is rare
    for number, line in enumerate(found, start=1):
        assert verdicts_by_form[0][number] == verdicts_by_form[1][number], line


def test_a_repeated_key_is_named(platform: Platform) -> None:
    write_text(platform.landing_dir, DAY, "usage.jsonl", DOCUMENTS["key twice"][0])
    data = pa.array(['{"region": "ams", "region": "fra"}'])
    write_table(
        platform.landing_dir, pa.table({k: [v] for k, v in event("p", type="egress_gb").items()} | {"data": data})
    )
    platform.land()
    (in_json, in_parquet) = [row["message"] for row in platform.rejected()]
    assert in_json == 'not a JSON document: the key "subject" occurs twice in one object'
    assert in_parquet == 'data is not a JSON document: the key "region" occurs twice in one object'


@pytest.mark.parametrize("region", ["1.50", "1e3", "12345678901234567890123", "-5", "true"])
def test_a_dimension_that_is_a_json_value_keeps_its_digits(platform: Platform, region: str) -> None:
    lines = [line_of(f'"{n}"', f'"quantity": {q}, "region": {region}') for n, q in enumerate(["1", "1.5", "1e0"])]
    write_text(platform.landing_dir, DAY, "usage.jsonl", "\n".join(lines))
    columns = {k: [v] for k, v in event("3", type="egress_gb").items()} | {"data": [f'{{"region": {region}}}']}
    write_table(platform.landing_dir, pa.table(columns))
    write_csv(platform.landing_dir, [event("4", type="egress_gb", region=region)])
    platform.land()
    assert {verdict[2] for verdict in found_of(platform, list("01234"))} == {f'{{"region":"{region}"}}'}


# --- Parquet's types ------------------------------------------------------------------------------------------------


def typed(landing_dir: Path, **columns: pa.Array) -> None:
    plain = {name: pa.array([value], pa.string()) for name, value in usage_of().items()} | {"id": pa.array(["t"])}
    write_table(landing_dir, pa.table(plain | columns))


MOMENT = datetime(2026, 9, 15, 12, tzinfo=UTC)
OUT_OF_RANGE = 2**62
TYPED: dict[str, tuple[dict[str, pa.Array], Any]] = {
    "large text": ({"subject": pa.array(["acme"], pa.large_string())}, NOON),
    "text view": ({"subject": pa.array(["acme"], pa.string_view())}, NOON),
    "dictionary": ({"subject": pa.array(["acme"]).dictionary_encode()}, NOON),
    "bytes": ({"subject": pa.array([b"acme"], pa.binary())}, NOON),
    "large bytes": ({"subject": pa.array([b"acme"], pa.large_binary())}, NOON),
    "fixed bytes": ({"subject": pa.array([b"acme"], pa.binary(4))}, NOON),
    "bytes that are no text": ({"source": pa.array([b"\xff"], pa.binary())}, "bad_encoding"),
    "source as uint64": ({"source": pa.array([2**64 - 1], pa.uint64())}, NOON),
    "source as decimal without places": ({"source": pa.array([Decimal(7)], pa.decimal128(20, 0))}, NOON),
    "source as decimal": ({"source": pa.array([Decimal("7.0")], pa.decimal128(20, 1))}, "bad_text"),
    "source as float": ({"source": pa.array([7.0])}, "bad_text"),
    "source as bool": ({"source": pa.array([True])}, "bad_text"),
    "source as list": ({"source": pa.array([["a"]])}, "bad_text"),
    "source as nothing": ({"source": pa.nulls(1)}, "missing_field"),
    "quantity as uint64": ({"quantity": pa.array([2**64 - 1], pa.uint64())}, NOON),
    "quantity as int8": ({"quantity": pa.array([5], pa.int8())}, NOON),
    "quantity as decimal256": ({"quantity": pa.array([Decimal("5.5")], pa.decimal256(50, 20))}, NOON),
    "quantity as small decimal": ({"quantity": pa.array([Decimal("5.5")], pa.decimal128(5, 1))}, NOON),
    "quantity as decimal of 30 digits": (
        {"quantity": pa.array([Decimal(10**30)], pa.decimal128(38, 0))},
        "bad_quantity",
    ),
    "quantity as bytes": ({"quantity": pa.array([b"1e3"], pa.binary())}, NOON),
    "quantity as float16": ({"quantity": pa.array([1.5], pa.float32()).cast(pa.float16())}, "inexact_quantity"),
    "quantity as float64": ({"quantity": pa.array([1.5])}, "inexact_quantity"),
    "quantity as bool": ({"quantity": pa.array([True])}, "bad_quantity"),
    "quantity as duration": ({"quantity": pa.array([5], pa.duration("s"))}, "bad_quantity"),
    "quantity as date": ({"quantity": pa.array([5], pa.date32())}, "bad_quantity"),
    "time in seconds": ({"time": pa.array([MOMENT], pa.timestamp("s", "UTC"))}, NOON),
    "time in milliseconds": ({"time": pa.array([MOMENT], pa.timestamp("ms", "+05:30"))}, NOON),
    "time in nanoseconds": ({"time": pa.array([NOON * 1000 + 1999], pa.timestamp("ns", "Europe/Berlin"))}, NOON + 1),
    "time in a zone that nobody knows": ({"time": pa.array([NOON], pa.timestamp("us", "Mars/Phobos"))}, NOON),
    "time without zone": ({"time": pa.array([NOON], pa.timestamp("us"))}, "bad_time"),
    "time as date": ({"time": pa.array([MOMENT.date()], pa.date32())}, "bad_time"),
    "time as time of day": ({"time": pa.array([5], pa.time64("us"))}, "bad_time"),
    "time as number": ({"time": pa.array([NOON], pa.int64())}, "bad_time"),
    "time as bytes": ({"time": pa.array([b"2026-09-15T12:00:00Z"], pa.binary())}, NOON),
    "time out of range": ({"time": pa.array([OUT_OF_RANGE], pa.timestamp("us", "UTC"))}, "bad_time"),
    "time before all": ({"time": pa.array([-OUT_OF_RANGE], pa.timestamp("us", "UTC"))}, "bad_time"),
    "time in seconds out of range": ({"time": pa.array([OUT_OF_RANGE], pa.timestamp("ms", "UTC"))}, "bad_time"),
    "time of 1677": ({"time": pa.array([-(2**63) + 1], pa.timestamp("ns", "UTC"))}, "time_too_early"),
    "another column out of range": ({"at": pa.array([OUT_OF_RANGE], pa.timestamp("us", "UTC"))}, "bad_text"),
    "another column of another calendar": ({"at": pa.array([2**31 - 1], pa.date32())}, "bad_text"),
    "another column in a zone that nobody knows": ({"at": pa.array([NOON], pa.timestamp("us", "Mars/X"))}, "bad_text"),
    "another column of floats": ({"at": pa.array([float("nan")])}, NOON),
    "another column of bytes": ({"at": pa.array([b"\xff"])}, "bad_encoding"),
}


@pytest.mark.parametrize("case", TYPED)
def test_a_typed_column_has_the_same_verdict_as_its_text(platform: Platform, case: str) -> None:
    columns, expected = TYPED[case]
    typed(platform.landing_dir, **columns)
    write_csv(platform.landing_dir, [usage_of() | {"id": "good"}])
    platform.land()
    assert found_of(platform, ["t"])[0][0] == expected
    assert found_of(platform, ["good"])[0][0] == NOON


def test_a_refused_time_of_a_plain_parquet_file_has_its_message(platform: Platform) -> None:
    """Such a row once had no message, which Postgres refuses, so it stopped the landing of every day."""
    late = pa.array([datetime(2099, 1, 1, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    columns = {name: pa.array([value]) for name, value in event("late").items()}
    write_table(platform.landing_dir, pa.table(columns | {"time": late, "data": pa.array(["{}"])}))
    platform.land()
    (row,) = platform.rejected()
    assert row["message"] == "2099-01-01T00:00:00.000000Z lies more than a day after its landing day 2026-09-15"


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_repeated_column_rejects_its_rows_by_name(platform: Platform, form: str) -> None:
    usage = usage_of() | {"id": "twice"}
    if form == "csv":
        content = ",".join([*usage, "quantity"]) + "\n" + ",".join([*usage.values(), "5"]) + "\n"
        write_text(platform.landing_dir, DAY, "usage.csv", content)
    else:
        arrays = [pa.array([value]) for value in [*usage.values(), "5"]]
        write_table(platform.landing_dir, pa.Table.from_arrays(arrays, names=[*usage, "quantity"]))
    platform.land()
    (row,) = platform.rejected()
    assert row["reason"] == "repeated_column"
    assert "quantity" in row["message"]
