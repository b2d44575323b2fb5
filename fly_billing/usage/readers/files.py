"""Reads usage files (JSONL, JSON, CSV, Parquet) into rows of the schema STAGED, without losing a row.

Not here: which rows can be billed (`validate_usage.sql`), the valid forms of a cell (`usage/rules/cells.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, TextIO

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from fly_billing.postgres.statements import sql
from fly_billing.usage.landing_folder import LandingFile, open_file, path_for_duckdb, readable_name
from fly_billing.usage.readers.compressed_files import ENDINGS as PACKED
from fly_billing.usage.readers.compressed_files import ArchiveTooLarge, InvalidArchive, unpacked
from fly_billing.usage.readers.csv_blocks import read_plain_csv
from fly_billing.usage.readers.csv_rows import read_csv
from fly_billing.usage.readers.json_arrays import MalformedArray, TruncatedElement, read_elements
from fly_billing.usage.readers.json_lines import stage_json
from fly_billing.usage.readers.parquet import read_parquet
from fly_billing.usage.readers.staged_rows import CELLS, CHUNK_BYTES, CHUNK_LINES, MOMENT, STAGED
from fly_billing.usage.readers.text_files import (
    TOO_LONG,
    LongLine,
    UnusableFile,
    as_text,
    bad_encoding,
    is_text,
    lines_of,
)


def read_landing_file(
    path: Path, duck: duckdb.DuckDBPyConnection, quantities_of: Mapping[str, Collection[str]] = MappingProxyType({})
) -> Iterator[pa.Table]:
    """Yield the file's rows as tables of schema STAGED.

    Args:
        quantities_of: As in `landing_staging.stage_files`.

    Raises:
        UnusableFile: The file can't be read as usage. Other errors occur, too. Discard the rows of a file that fails.
    """
    readers: dict[str, Callable[[BinaryIO], Iterator[pa.Table]]] = {
        ".jsonl": partial(_read_jsonl, duck),
        ".ndjson": partial(_read_jsonl, duck),
        ".json": partial(_read_json, duck),
        ".csv": _read_csv,
        ".parquet": partial(read_parquet, quantities_of=quantities_of),
    }
    packed = path.suffix.lower() if path.suffix.lower() in PACKED else ""
    suffix = Path(path.stem).suffix if packed else path.suffix
    reader = readers.get(suffix.lower())
    if reader is None:
        ending = readable_name(suffix + packed) or "no extension"
        raise UnusableFile(
            "unknown_format", f"{ending}: use .jsonl, .json, .csv or .parquet, optionally compressed (.gz, .zst)"
        )
    with open_file(path) as file:
        if not packed:
            yield from reader(file)
            return
        size = path.stat().st_size
        try:
            with unpacked(file, size, packed, seekable=suffix.lower() == ".parquet") as content:
                yield from reader(content)
        except ArchiveTooLarge as problem:
            raise UnusableFile("unpacks_to_too_much", str(problem)) from problem
        except InvalidArchive as problem:
            raise UnusableFile("unreadable_file", str(problem)) from problem


def _read_jsonl(duck: duckdb.DuckDBPyConnection, file: BinaryIO) -> Iterator[pa.Table]:
    with as_text(file, newline="\n") as lines_of_file:
        yield from _staged_json(duck, _json_lines(lines_of_file))


def _json_lines(file: TextIO) -> Iterator[tuple[int, str] | dict[str, Any]]:
    for number, line in enumerate(lines_of(file, ("\n",)), start=1):
        text = line.strip(" \t\r\n")
        if isinstance(line, LongLine):
            shown = {"problem": "line_too_long", "problem_message": TOO_LONG}
            yield bad_encoding(number, text) | shown
        elif text:
            yield number, text


def _read_json(duck: duckdb.DuckDBPyConnection, file: BinaryIO) -> Iterator[pa.Table]:
    """Read a CloudEvents batch, or one event. `line` is the event's number in the array, from 1."""
    with as_text(file, newline="\n") as text:
        yield from _staged_json(duck, _elements(text))


def _elements(text: TextIO) -> Iterator[tuple[int, str] | dict[str, Any]]:
    number = 0
    try:
        for number, element in enumerate(read_elements(text), start=1):
            if isinstance(element, TruncatedElement):
                shown = {"problem": "line_too_long", "problem_message": TOO_LONG.replace("line", "event")}
                yield bad_encoding(number, f"{element}…") | shown
            else:
                yield number, element or "(nothing between two commas)"
    except MalformedArray as problem:
        shown = {"problem": "bad_json", "problem_message": f"can't be read after event {number}: {problem}"}
        yield {"line": number + 1, "raw": ""} | shown


def _staged_json(
    duck: duckdb.DuckDBPyConnection, found: Iterable[tuple[int, str] | dict[str, Any]]
) -> Iterator[pa.Table]:
    """Stage the texts of events with their numbers. Rows that are rejected already pass unchanged."""
    numbers: list[int] = []
    texts: list[str] = []
    refused: list[dict[str, Any]] = []
    size = 0
    for row in found:
        if isinstance(row, dict):
            refused.append(row)
        elif not is_text(row[1]):
            refused.append(bad_encoding(*row))
        else:
            numbers.append(row[0])
            texts.append(row[1])
            size += len(row[1])
        if len(texts) + len(refused) >= CHUNK_LINES or size >= CHUNK_BYTES:
            yield from _stage_texts(duck, numbers, texts, refused)
            numbers, texts, refused, size = [], [], [], 0
    yield from _stage_texts(duck, numbers, texts, refused)


def _stage_texts(
    duck: duckdb.DuckDBPyConnection, numbers: list[int], texts: list[str], refused: list[dict[str, Any]]
) -> Iterator[pa.Table]:
    if texts:
        yield stage_json(duck, numbers, texts)
    if refused:
        yield pa.Table.from_pylist(refused, schema=STAGED)


def _read_csv(file: BinaryIO) -> Iterator[pa.Table]:
    if file.seekable():
        content = file.read(CHUNK_BYTES + 1)
        if len(content) <= CHUNK_BYTES and (tables := read_plain_csv(content)) is not None:
            yield from tables
            return
        file.seek(0)
    yield from read_csv(file)


def stage_plain_parquet(duck: duckdb.DuckDBPyConnection, files: Sequence[LandingFile]) -> list[LandingFile]:
    """Read plain Parquet files directly into the table `staged`. Returns the other files.

    Plain files have text, times in UTC with microseconds, and exact quantities without exponents. Reading them
    through Arrow (`parquet`) takes six times as long.
    """
    by_schema: dict[pa.Schema, list[LandingFile]] = defaultdict(list)
    left: list[LandingFile] = []
    for file in files:
        schema = _schema_of(file.path)
        (left if schema is None or not _is_plain(schema) else by_schema[schema]).append(file)
    for alike in by_schema.values():
        # One unreadable or not quite plain file fails the whole statement. Then each is tried separately.
        if not _stage_alike(duck, alike):
            left += [file for file in alike if not _stage_alike(duck, [file])]
    return left


def _stage_alike(duck: duckdb.DuckDBPyConnection, files: Sequence[LandingFile]) -> bool:
    """Insert all rows of these files into `staged`, or none. Returns whether they were inserted."""
    listed = [{"file": str(file.path.absolute()), "landing_day": file.day, "path": file.name} for file in files]
    duck.register("plain_files", pa.Table.from_pylist(listed))
    try:
        duck.execute(sql("stage_parquet"), {"files": [path_for_duckdb(file.path) for file in files]})
    except duckdb.Error:
        return False
    return True


def _schema_of(path: Path) -> pa.Schema | None:
    """Return the schema of a Parquet file, or None if it has none or DuckDB can't open its path."""
    if path.suffix.lower() != ".parquet":
        return None
    try:
        path_for_duckdb(path)
        with open_file(path) as file:
            return pq.read_schema(file).remove_metadata()
    except Exception:  # noqa: BLE001 - `read_landing_file` runs into the same error and reports it
        return None


def _is_plain(schema: pa.Schema) -> bool:
    try:
        kinds = dict(zip(schema.names, schema.types, strict=True))
    except UnicodeDecodeError:
        return False
    if sorted(schema.names) != sorted((*CELLS, "data")):
        return False
    is_text = all(pa.types.is_string(kinds[name]) for name in ("id", "source", "type", "subject", "data"))
    kind = kinds["quantity"]
    # DuckDB reads decimals with more digits as doubles.
    is_exact = pa.types.is_string(kind) or (pa.types.is_decimal(kind) and kind.precision <= 38)
    return is_text and is_exact and kinds["time"] == MOMENT
