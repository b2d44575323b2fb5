"""Odd rows: events with some cells that a sender should never write, but sometimes does."""

from __future__ import annotations

import csv
import gzip
import json
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.builders import event, write_csv

OddWriter = Callable[[Path, random.Random, Sequence[Mapping[str, Any]]], None]

TIMES = (
    "0001-01-01T00:00:00+02:00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999Z",
    "9999-12-31T23:59:59-23:59",
    "2026-09-14T23:59:60Z",
    "2026-09-15T12:00:00.1234567890123Z",
    "2026-09-15t12:00:00z",
    "2026-09-15T12:00:00+99:99",
    "20260915T120000Z",
    "2026-02-30T12:00:00Z",
    "2026-09-15T24:00:00Z",
    "٢٠٢٦-٠٩-١٥T١٢:٠٠:٠٠Z",
    "infinity",
    "",
    "\0",
)
QUANTITIES = (
    "1e3",
    "1e+-5",
    "1e-16",
    "-0",
    "-1",
    "+5",
    "007",
    "NaN",
    "Infinity",
    "1e999999999",
    "9" * 20,
    "9" * 21,
    "0." + "0" * 14 + "1",
    "0.1" + "0" * 50,
    "٥",
    "1,5",
    "0x10",
    "",
    "\0",
)
TEXTS = (
    "",
    " ",
    "a\0b",
    "\u00a0",
    "\ufeff",
    "\u2028",
    "e\u0301",
    "🚀",
    '"',
    "'",
    "\\",
    "{",
    "=1+1",
    "x" * 5_000,
    "\r\n",
    ",",
)


def odd_rows(rng: random.Random, count: int, prefix: str) -> list[dict[str, Any]]:
    """Return events, about half of them with one or two odd cells; some repeat an id, with the same content or not."""
    rows: list[dict[str, Any]] = []
    for number in range(count):
        row = event(f"{prefix}-{number}", str(rng.randint(1, 10**6)), type="egress_gb", region=rng.choice("abc"))
        row["time"] = f"2026-09-15T{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}Z"
        for _ in range(rng.choice((0, 0, 1, 1, 2))):
            odd = rng.randrange(6)
            if odd == 0:
                row["time"] = _bent(rng, row["time"]) if rng.random() < 0.5 else rng.choice(TIMES)
            elif odd == 1:
                row["quantity"] = _bent(rng, row["quantity"]) if rng.random() < 0.5 else rng.choice(QUANTITIES)
            elif odd == 2:
                row[rng.choice(("source", "subject", "type", "region", "id"))] = rng.choice(TEXTS)
            elif odd == 3:
                row["id"] = f"{prefix}-{rng.randrange(number + 1)}"
            elif odd == 4:
                row[rng.choice(("app", "note"))] = rng.choice(TEXTS)
            elif rows:
                row = dict(rng.choice(rows))
        rows.append(row)
    return rows


def _bent(rng: random.Random, text: str) -> str:
    place = rng.randrange(len(text) + 1)
    return text[:place] + rng.choice("0123456789eE+-.:TZ ,٥\0\u00a0") + text[place + rng.randrange(2) :]


def write_odd_jsonl(path: Path, rng: random.Random, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a line per event: quantities as text or as JSON numbers; sometimes a repeated key, or other types."""
    lines = []
    for row in rows:
        cells: dict[str, Any] = dict(row)
        data = {name: cells.pop(name) for name in ("quantity", "region", "app", "note") if name in cells}
        kind = rng.randrange(40)
        if kind == 0:
            cells["id"] = rng.choice([5, 1.5, True, None, ["a"], {"a": 1}])
        elif kind == 1:
            data["quantity"] = rng.choice([5, 1.5, 1e300, True, None, [1], {"a": 1}, float("nan")])
        elif kind == 2:
            data["region"] = rng.choice([5, 1.5, True, None, ["a"], {"a": 1}, float("inf")])
        line = json.dumps(cells | {"data": data}, ensure_ascii=rng.random() < 0.3)
        if kind == 3:
            line = line.replace('"data": {', '"subject": "acme", "data": {"quantity": 1, ')
        elif kind == 4:
            line = line.replace("}}", ",}}")
        elif kind in (5, 6, 7):
            line = line.replace(json.dumps(data["quantity"]), str(data["quantity"]))
        lines.append(line.replace("\n", " "))
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogatepass")


def write_odd_csv(path: Path, rng: random.Random, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the events with Python's csv."""
    write_csv(path.parents[1], rows, date.fromisoformat(path.parent.name), path.stem)


def write_odd_parquet(path: Path, rng: random.Random, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write text columns of several types; sometimes typed times and quantities, some of them out of range."""
    names = ["id", "source", "type", "subject", "time", "quantity"]
    columns: dict[str, pa.Array] = {}
    for name in names:
        texts = pa.array([row.get(name) for row in rows], pa.string())
        kind = rng.choice([pa.string()] * 3 + [pa.large_string(), pa.string_view(), pa.binary()])
        columns[name] = texts.dictionary_encode() if rng.random() < 0.1 else texts.cast(kind)
    if rng.random() < 0.4:
        kind = rng.choice(
            [pa.timestamp(u, z) for u in ("s", "ms", "us", "ns") for z in ("UTC", "+05:30", "Mars/X", None)]
        )
        far = 2**62 if kind.unit != "s" else 2**52  # seconds are written as milliseconds
        ticks = [rng.choice([1_789_473_600 * 10**6, far, -far, 0, None, 1_789_473_600]) for _ in rows]
        columns["time"] = pa.array(ticks, pa.int64()).cast(kind)
    if rng.random() < 0.4:
        kind = rng.choice(
            [pa.int64(), pa.decimal128(38, 15), pa.decimal256(50, 20), pa.float64(), pa.bool_(), pa.date32()]
        )
        values: list[Any] = [rng.choice([0, 1, 5, None]) for _ in rows]
        if pa.types.is_decimal(kind):
            values = [None if value is None else Decimal(value) for value in values]
        columns["quantity"] = (
            pa.array([None if value is None else value > 0 for value in values], kind)
            if pa.types.is_boolean(kind)
            else pa.array(values, pa.int32()).cast(kind)
            if pa.types.is_date(kind)
            else pa.array(values, kind)
        )
    if rng.random() < 0.5:
        columns["data"] = pa.array([json.dumps({"region": row.get("region")}) for row in rows])
    else:
        columns["region"] = pa.array([row.get("region") for row in rows], pa.string())
    pq.write_table(pa.table(columns), path)


def write_odd_batch(path: Path, rng: random.Random, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the odd lines as a CloudEvents batch."""
    write_odd_jsonl(path, rng, rows)
    lines = path.read_text(encoding="utf-8", errors="surrogatepass").split("\n")[:-1]
    batch = "[" + rng.choice([",", ",\n", " , "]).join(lines) + "]"
    path.write_text(batch, encoding="utf-8", errors="surrogatepass")


def _as_event(row: Mapping[str, Any]) -> dict[str, Any]:
    cells = dict(row)
    data = {name: cells.pop(name) for name in ("quantity", "region", "app", "note") if name in cells}
    return cells | {"data": data}


def write_odd_event_csv(path: Path, rng: random.Random, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `data` as JSON, with the quantity; sometimes cut off, or missing."""
    events = [_as_event(row) for row in rows]
    for row in events:
        text = json.dumps(row["data"], ensure_ascii=rng.random() < 0.3)
        row["data"] = text[: rng.randrange(len(text))] if rng.random() < 0.05 else text
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["id", "source", "type", "subject", "time", "data"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(events)


def write_odd_struct_parquet(path: Path, rng: random.Random, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `data` as a struct with the quantity, sometimes null."""
    events = [_as_event(row) for row in rows]
    for row in events:
        row["data"] = None if rng.random() < 0.05 else row["data"]
    fields = [(name, pa.string()) for name in ("quantity", "region", "app", "note")]
    schema = pa.schema(
        [*((name, pa.string()) for name in ("id", "source", "type", "subject", "time")), ("data", pa.struct(fields))]
    )
    pq.write_table(pa.Table.from_pylist(events, schema=schema), path)


def _packed(write: OddWriter, ending: str) -> OddWriter:
    def write_packed(path: Path, rng: random.Random, rows: Sequence[Mapping[str, Any]]) -> None:
        plain = path.with_suffix("")
        write(plain, rng, rows)
        content = plain.read_bytes()
        plain.unlink()
        path.write_bytes(gzip.compress(content) if ending == ".gz" else bytes(pa.Codec("zstd").compress(content)))

    return write_packed


# Ending of a file's name -> its writer.
ODD_WRITERS: dict[str, OddWriter] = {
    ".jsonl": write_odd_jsonl,
    ".csv": write_odd_csv,
    ".parquet": write_odd_parquet,
    ".json": write_odd_batch,
    "-event.csv": write_odd_event_csv,
    "-struct.parquet": write_odd_struct_parquet,
    ".jsonl.gz": _packed(write_odd_jsonl, ".gz"),
    ".csv.zst": _packed(write_odd_csv, ".zst"),
    ".json.zst": _packed(write_odd_batch, ".zst"),
    ".parquet.gz": _packed(write_odd_parquet, ".gz"),
}
