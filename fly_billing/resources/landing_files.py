"""Reads landed usage files (JSONL, CSV, Parquet) into the shape of `staging.py`, losing nothing and judging little.

Whether a row may be billed is decided in `sql/judge_usage.sql`. What a cell may look like: `domain/usage_cells.py`.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from fly_billing.domain.usage_cells import write_document
from fly_billing.resources.staging import CELLS, CHUNK_LINES, MOMENT, STAGED
from fly_billing.resources.statements import sql
from fly_billing.resources.usage_json import read_cells, stage_json
from fly_billing.resources.usage_parquet import read_parquet


@dataclass(frozen=True)
class LandingFile:
    """A file of a landing day; `name` is its place below that day's folder."""

    day: date
    name: str
    path: Path


def read_landing_file(path: Path, duck: duckdb.DuckDBPyConnection) -> Iterator[pa.Table]:
    """Yield the file's rows as tables of schema STAGED. A file that can't be read is one row with a problem, line 0."""
    read_jsonl = partial(_read_jsonl, duck)
    readers: dict[str, Callable[[Path], Iterator[pa.Table]]] = {
        ".jsonl": read_jsonl,
        ".ndjson": read_jsonl,
        ".csv": _read_csv,
        ".parquet": read_parquet,
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
            text = line.strip(" \t\r\n")
            if not _is_text(text):
                yield pa.Table.from_pylist([_bad_encoding(number, text)], schema=STAGED)
            elif text:
                numbers.append(number)
                lines.append(text)
            if len(lines) == CHUNK_LINES:
                yield stage_json(duck, numbers, lines)
                numbers, lines = [], []
        if lines:
            yield stage_json(duck, numbers, lines)


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
    if not _is_text("".join(header)):
        return _bad_encoding(line, raw) | {"problem_message": "the header is not UTF-8"}
    staged: dict[str, Any] = {"line": line, "raw": raw}
    if isinstance(fields, csv.Error):
        return staged | {"problem": "torn_row", "problem_message": f"not a CSV row: {fields}"}
    twice = sorted(name for name, count in Counter(header).items() if count > 1)
    if twice:
        message = f"the header has the column {', '.join(twice)} more than once"[:500]
        return staged | {"problem": "repeated_column", "problem_message": message}
    missing = [name for name in CELLS if name not in header]
    if missing:
        return staged | {
            "problem": "missing_column",
            "problem_message": f"the header has no column {', '.join(missing)}",
        }
    if len(fields) != len(header):
        message = f"{len(fields)} fields where the header has {len(header)}"
        return staged | {"problem": "torn_row", "problem_message": message}
    values = dict(zip(header, fields, strict=True))
    cells = {name: values.pop(name) or None for name in CELLS}
    read = read_cells(cells["time"], cells["quantity"])
    return staged | cells | read | {"data": write_document(values)}


def stage_plain_parquet(duck: duckdb.DuckDBPyConnection, files: Sequence[LandingFile]) -> list[LandingFile]:
    """Read what is plain of these Parquet files straight into the table `staged`; return the files that are left.

    Plain is what needs no closer look (`usage_parquet`): text, times in UTC to the microsecond, exact quantities
    without exponents. Through Arrow the same takes six times as long.
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
    if sorted(schema.names) != sorted((*CELLS, "data")):
        return False
    is_text = all(pa.types.is_string(kinds[name]) for name in ("id", "source", "type", "subject", "data"))
    kind = kinds["quantity"]
    # DuckDB reads decimals of more digits as doubles.
    is_exact = pa.types.is_string(kind) or (pa.types.is_decimal(kind) and kind.precision <= 38)
    return is_text and is_exact and kinds["time"] == MOMENT
