"""Reads landed usage files (JSONL, CSV, Parquet) into one staging shape, losing nothing and judging little.

A staged row is text: `line, raw, id, source, type, subject, time, quantity, data` plus `problem, problem_message` where
the row could not even be read; a time that was no text is in `moment` instead. Quantities keep the digits that were
written. Whether a row may be billed is decided in `sql/judge_usage.sql`.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fly_billing.resources.statements import sql

ENVELOPE = ("id", "source", "type", "subject", "time")
MOMENT = pa.timestamp("us", "UTC")
STAGED = pa.schema(
    [("line", pa.int64())]
    + [(name, pa.string()) for name in ("raw", *ENVELOPE, "quantity", "data", "problem", "problem_message")]
    + [("moment", MOMENT)]
)
CHUNK_LINES = 200_000


@dataclass(frozen=True)
class LandingFile:
    """A file of a landing day; `name` is its place below that day's folder."""

    day: date
    name: str
    path: Path


PLAIN_TIME = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:[0-5]\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$"

# One JSON document per line, read by DuckDB. A number in JSON would pass through a double there, so the quantity's
# digits are taken from the line itself; a line for which that is not plainly right goes to the exact, slower reader.
FAST_JSON = r"""
with parsed as (
    select line, raw,
        case
            when json_valid(raw)
            then json_extract_string(raw, ['$.id', '$.source', '$.type', '$.subject', '$.time', '$.data.quantity'])
        end as field,
        case when json_valid(raw) then json_extract(raw, '$.data')::varchar end as data,
        regexp_extract_all(raw, '"quantity"\s*:\s*"?([^",}\s]*)', 1) as literals
    from lines
)
select line, raw, field[1] as id, field[2] as source, field[3] as type, field[4] as subject, field[5] as time,
    literals[1] as quantity, data, null::varchar as problem, null::varchar as problem_message,
    null::timestamptz as moment,
    coalesce(
        len(literals) = 1 and not contains(lower(literals[1]), 'e')
        and try_cast(literals[1] as double) = try_cast(field[6] as double)
        and regexp_full_match(field[5], '[^.]*(\.\d{1,6})?(Z|[+-]\d\d:\d\d)') and not contains(field[5], ':60'),
        false
    ) as is_plain
from parsed
"""


def read_landing_file(path: Path, duck: duckdb.DuckDBPyConnection) -> Iterator[pa.Table]:
    """Yield the file's rows as tables of schema STAGED. A file that can't be read is one row with a problem, line 0."""
    read_jsonl = partial(_read_jsonl, duck)
    readers: dict[str, Callable[[Path], Iterator[pa.Table]]] = {
        ".jsonl": read_jsonl,
        ".ndjson": read_jsonl,
        ".csv": _read_csv,
        ".parquet": _read_parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        yield _unreadable(path, "unknown_format", f"{path.suffix or 'no ending'}: use .jsonl, .csv or .parquet")
        return
    try:
        yield from reader(path)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as problem:
        yield _unreadable(path, "unreadable_file", f"{type(problem).__name__}: {problem}"[:500])


def _unreadable(path: Path, problem: str, message: str) -> pa.Table:
    row = {"line": 0, "raw": path.name, "problem": problem, "problem_message": message}
    return pa.Table.from_pylist([row], schema=STAGED)


def _read_jsonl(duck: duckdb.DuckDBPyConnection, path: Path) -> Iterator[pa.Table]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
        numbers: list[int] = []
        lines: list[str] = []
        for number, line in enumerate(file, start=1):
            text = line.strip()
            if not _is_text(text):
                yield pa.Table.from_pylist([_bad_encoding(number, text)], schema=STAGED)
            elif text:
                numbers.append(number)
                lines.append(text)
            if len(lines) == CHUNK_LINES:
                yield _stage_json(duck, numbers, lines)
                numbers, lines = [], []
        if lines:
            yield _stage_json(duck, numbers, lines)


def _is_text(text: str) -> bool:
    """Tell whether text is valid Unicode, not bytes that could not be decoded nor half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bad_encoding(line: int, raw: str) -> dict[str, Any]:
    """Refuse a line that is not UTF-8: two ids whose bytes can't be read would look alike."""
    shown = raw.encode(errors="surrogateescape").decode(errors="replace")
    return {"line": line, "raw": shown, "problem": "bad_encoding", "problem_message": "not UTF-8: shown with \ufffd"}


def _stage_json(duck: duckdb.DuckDBPyConnection, numbers: list[int], lines: list[str]) -> pa.Table:
    duck.register("lines", pa.table({"line": pa.array(numbers, pa.int64()), "raw": pa.array(lines, pa.string())}))
    staged = duck.execute(FAST_JSON).to_arrow_table()
    plain = staged.filter(staged["is_plain"]).drop_columns("is_plain").cast(STAGED)
    others = staged.filter(pc.invert(staged["is_plain"])).select(["line", "raw"]).to_pylist()
    exact = pa.Table.from_pylist([stage_json_line(row["line"], row["raw"]) for row in others], schema=STAGED)
    return pa.concat_tables([plain, exact])


def stage_json_line(line: int, raw: str) -> dict[str, Any]:
    """Read one JSON line with its digits as written; the slow, exact twin of FAST_JSON."""
    staged: dict[str, Any] = {"line": line, "raw": raw}
    try:
        event = json.loads(raw, parse_float=plain_number, parse_int=str, parse_constant=str)
        json.dumps(event, ensure_ascii=False).encode()  # raises where an escape is half a surrogate pair
    except (ValueError, RecursionError) as problem:
        return staged | {"problem": "bad_json", "problem_message": f"not a JSON document: {problem}"}
    if not isinstance(event, dict) or not isinstance(event.get("data"), dict):
        message = "an event is a JSON object whose `data` is an object with a `quantity`"
        return staged | {"problem": "bad_shape", "problem_message": message}
    texts = {name: _text(event.get(name)) for name in ENVELOPE}
    quantity = _text(event["data"].get("quantity"))
    data = json.dumps(event["data"])
    return staged | texts | {"time": normal_time(texts["time"]), "quantity": quantity, "data": data}


def _text(value: Any) -> str | None:
    return None if value is None else value if isinstance(value, str) else json.dumps(value)


def plain_number(text: str) -> str:
    """Write `1.5e-7` as `0.00000015`: the same digits without exponent. Anything else comes back as it was."""
    _, letter, exponent = text.lower().partition("e")
    if not letter or not exponent.lstrip("+-").isdecimal() or abs(int(exponent)) > 40:
        return text
    try:
        return f"{Decimal(text):f}"
    except InvalidOperation:
        return text


def normal_time(text: str | None) -> str | None:
    """Bring a valid RFC 3339 time to at most microseconds, rounding down; anything else comes back as it was.

    A leap second (:60) is the last microsecond of its minute, so it stays in the month that it ends.
    """
    if text is None:
        return None
    leap = text[17:19] == "60"
    try:
        moment = datetime.fromisoformat(text[:17] + "59" + text[19:] if leap else text)
    except ValueError:
        return text
    if moment.tzinfo is None:
        return text
    return (moment.replace(microsecond=999_999) if leap else moment).astimezone(UTC).isoformat(timespec="microseconds")


def _read_csv(path: Path) -> Iterator[pa.Table]:
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        header: list[str] | None = None
        rows: list[dict[str, Any]] = []
        for line, raw, fields in _csv_records(file):
            if header is None and not isinstance(fields, csv.Error):
                header = fields
            else:
                rows.append(_stage_csv_row(line, raw, header or [], fields))
            if len(rows) == CHUNK_LINES:
                yield pa.Table.from_pylist(rows, schema=STAGED)
                rows = []
        if rows:
            yield pa.Table.from_pylist(rows, schema=STAGED)


def _csv_records(lines: Iterable[str]) -> Iterator[tuple[int, str, list[str] | csv.Error]]:
    """Yield (first line, raw, fields) per record, or what is wrong in place of the fields.

    A torn line, such as one whose quote never closes, costs only itself: the lines that it swallowed are read again.
    """
    numbered = enumerate(lines, start=1)
    given_back: deque[tuple[int, str]] = deque()
    taken: list[tuple[int, str]] = []
    width = 0

    def feed() -> Iterator[str]:
        while (line := given_back.popleft() if given_back else next(numbered, None)) is not None:
            taken.append(line)
            yield line[1]

    while True:
        try:
            for fields in csv.reader(feed(), strict=True):
                if len(taken) > 1 and width not in (0, len(fields)):
                    raise csv.Error("a quote that is not closed on its line")
                if fields:
                    width = width or len(fields)
                    yield taken[0][0], "".join(line for _, line in taken).rstrip("\r\n"), fields
                taken.clear()
            return
        except csv.Error as problem:
            (number, raw), *swallowed = taken
            given_back.extendleft(reversed(swallowed))
            taken.clear()
            yield number, raw.rstrip("\r\n"), problem


def _stage_csv_row(line: int, raw: str, header: list[str], fields: list[str] | csv.Error) -> dict[str, Any]:
    if not _is_text(raw):
        return _bad_encoding(line, raw)
    staged: dict[str, Any] = {"line": line, "raw": raw}
    if isinstance(fields, csv.Error):
        return staged | {"problem": "torn_row", "problem_message": f"not a CSV row: {fields}"}
    missing = [name for name in (*ENVELOPE, "quantity") if name not in header]
    if missing:
        return staged | {
            "problem": "missing_column",
            "problem_message": f"the header has no column {', '.join(missing)}",
        }
    if len(fields) != len(header):
        message = f"{len(fields)} fields where the header has {len(header)}"
        return staged | {"problem": "torn_row", "problem_message": message}
    values = dict(zip(header, fields, strict=True))
    staged |= {name: values.pop(name) or None for name in (*ENVELOPE, "quantity")}
    time, quantity = normal_time(staged["time"]), staged["quantity"] and plain_number(staged["quantity"])
    return staged | {"time": time, "quantity": quantity, "data": json.dumps(values)}


def stage_plain_parquet(duck: duckdb.DuckDBPyConnection, files: Sequence[LandingFile]) -> list[LandingFile]:
    """Read what is plain of these Parquet files straight into the table `staged`; return the files that are left.

    Plain is what needs no mending (`_read_parquet`): text, times in UTC to the microsecond, exact quantities without
    exponents. Through Arrow the same takes six times as long.
    """
    by_schema: dict[pa.Schema, list[LandingFile]] = defaultdict(list)
    left: list[LandingFile] = []
    for file in files:
        schema = _schema_of(file.path)
        (left if schema is None or not _is_plain(schema) else by_schema[schema]).append(file)
    for alike in by_schema.values():
        # One that can't be read, or is not plain inside, stops all: then each is tried by itself.
        if not _stage_alike(duck, alike):
            left += [file for file in alike if not _stage_alike(duck, [file])]
    return left


def _stage_alike(duck: duckdb.DuckDBPyConnection, files: Sequence[LandingFile]) -> bool:
    listed = [{"file": str(one.path), "landing_day": one.day, "path": one.name} for one in files]
    duck.register("plain_files", pa.Table.from_pylist(listed))
    try:
        duck.execute(sql("stage_parquet"), {"files": [str(one.path) for one in files]})
    except duckdb.Error:
        return False
    return True


def _schema_of(path: Path) -> pa.Schema | None:
    if path.suffix.lower() != ".parquet":
        return None
    try:
        return pq.read_schema(path).remove_metadata()
    except (OSError, pa.ArrowException):
        return None


def _is_plain(schema: pa.Schema) -> bool:
    kinds = dict(zip(schema.names, schema.types, strict=True))
    if sorted(schema.names) != sorted((*ENVELOPE, "quantity", "data")):
        return False
    is_text = all(pa.types.is_string(kinds[name]) for name in ("id", "source", "type", "subject", "data"))
    is_exact = pa.types.is_string(kinds["quantity"]) or pa.types.is_decimal(kinds["quantity"])
    return is_text and is_exact and kinds["time"] == MOMENT


def _read_parquet(path: Path) -> Iterator[pa.Table]:
    file = pq.ParquetFile(path)
    first = 1
    for batch in file.iter_batches(CHUNK_LINES):
        batch.validate(full=True)  # text that is not UTF-8 is refused here, not half way down the road
        yield _stage_parquet(pa.Table.from_batches([batch]), first)
        first += batch.num_rows


def _stage_parquet(table: pa.Table, first: int) -> pa.Table:
    count = table.num_rows
    missing = [name for name in (*ENVELOPE, "quantity") if name not in table.column_names]
    inexact = not missing and pa.types.is_floating(table.schema.field("quantity").type)
    problem = "missing_column" if missing else "inexact_quantity" if inexact else None
    message = (
        f"the file has no column {', '.join(missing)}"
        if missing
        else "quantity is a floating-point column: write DECIMAL or text, quantities must stay exact"
    )
    columns: dict[str, Any] = {
        "line": pa.array(range(first, first + count), pa.int64()),
        "raw": pa.array([json.dumps(row, default=str) for row in table.to_pylist()] if problem else [""] * count),
        "problem": pa.array([problem] * count, pa.string()),
        "problem_message": pa.array([message if problem else None] * count, pa.string()),
        "data": _extras_as_json(table),
    }
    has_moments = not problem and pa.types.is_timestamp(table["time"].type) and table["time"].type.tz is not None
    # To text and back would take longer than all the rest. Nanoseconds are cut off, as in `normal_time`.
    columns["moment"] = table["time"].cast(MOMENT, safe=False) if has_moments else pa.nulls(count, MOMENT)
    absent = {*ENVELOPE, "quantity"} if problem else {"time"} if has_moments else set()
    for name in (*ENVELOPE, "quantity"):
        columns[name] = pa.nulls(count, pa.string()) if name in absent else table[name].cast(pa.string())
    columns["time"] = _mended(columns["time"], PLAIN_TIME, normal_time)
    columns["quantity"] = _mended(columns["quantity"], "^[^eE]*$", plain_number)
    return pa.table({name: columns[name] for name in STAGED.names}).cast(STAGED)


def _mended(texts: pa.ChunkedArray, is_plain: str, mend: Callable[[str], str | None]) -> pa.ChunkedArray | pa.Array:
    """Rewrite the texts that are not plain as JSON and CSV have them rewritten; mostly there are none."""
    odd = pc.invert(pc.fill_null(pc.match_substring_regex(texts, is_plain), True))
    if not pc.any(odd).as_py():
        return texts
    return pa.array([text and mend(text) for text in texts.to_pylist()], pa.string())


def _extras_as_json(table: pa.Table) -> pa.Array:
    extras = [name for name in table.column_names if name not in (*ENVELOPE, "quantity")]
    if extras == ["data"] and _is_text_column(table.schema.field("data").type):
        return table["data"].cast(pa.string())
    return pa.array([json.dumps(row, default=str) for row in table.select(extras).to_pylist()], pa.string())


def _is_text_column(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
