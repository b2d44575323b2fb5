"""Reads usage files (JSONL, JSON, CSV, Parquet) into rows of the schema STAGED, without losing a row.

Not here: which rows can be billed (`validate_usage.sql`), the valid forms of a cell (`usage/rules/cells.py`).
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, TextIO

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from fly_billing.money import counted
from fly_billing.postgres.statements import sql
from fly_billing.usage.landing_folder import LandingFile, open_file, path_for_duckdb, readable_name
from fly_billing.usage.readers.compressed_files import ENDINGS as PACKED
from fly_billing.usage.readers.compressed_files import ArchiveTooLarge, InvalidArchive, unpacked
from fly_billing.usage.readers.json_arrays import MalformedArray, TruncatedElement, read_elements
from fly_billing.usage.readers.json_lines import read_cells, stage_event, stage_json
from fly_billing.usage.readers.parquet import read_parquet
from fly_billing.usage.readers.staged_rows import (
    CELLS,
    CHUNK_BYTES,
    CHUNK_LINES,
    ENVELOPE,
    LONGEST_LINE,
    MOMENT,
    STAGED,
)
from fly_billing.usage.rules.cells import write_document

OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs"}
TOO_LONG = f"the line has more than {LONGEST_LINE:,} characters"


class UnusableFile(Exception):
    """A whole file can't be read as usage. `problem` is the reason for `rejected_usage`, the text is its message."""

    def __init__(self, problem: str, message: str) -> None:
        super().__init__(message)
        self.problem = problem


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


def _as_text(file: BinaryIO, newline: str) -> TextIO:
    """Decode UTF-8. Keeps invalid bytes as half surrogate pairs, which `_is_text` detects."""
    return io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline=newline)


class _LongLine(str):
    """The beginning of a line longer than LONGEST_LINE."""


def _lines_of(file: TextIO, ends: tuple[str, ...]) -> Iterator[str]:
    """Yield a file's lines, and only the beginning of a line that is too long."""
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) <= LONGEST_LINE or line.endswith(ends):
            yield line
            continue
        while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(ends):
            pass
        yield _LongLine(f"{line[:200]}…")


def _read_jsonl(duck: duckdb.DuckDBPyConnection, file: BinaryIO) -> Iterator[pa.Table]:
    with _as_text(file, newline="\n") as lines_of_file:
        yield from _staged_json(duck, _json_lines(lines_of_file))


def _json_lines(file: TextIO) -> Iterator[tuple[int, str] | dict[str, Any]]:
    for number, line in enumerate(_lines_of(file, ("\n",)), start=1):
        text = line.strip(" \t\r\n")
        if isinstance(line, _LongLine):
            shown = {"problem": "line_too_long", "problem_message": TOO_LONG}
            yield _bad_encoding(number, text) | shown
        elif text:
            yield number, text


def _read_json(duck: duckdb.DuckDBPyConnection, file: BinaryIO) -> Iterator[pa.Table]:
    """Read a CloudEvents batch, or one event. `line` is the event's number in the array, from 1."""
    with _as_text(file, newline="\n") as text:
        yield from _staged_json(duck, _elements(text))


def _elements(text: TextIO) -> Iterator[tuple[int, str] | dict[str, Any]]:
    number = 0
    try:
        for number, element in enumerate(read_elements(text), start=1):
            if isinstance(element, TruncatedElement):
                shown = {"problem": "line_too_long", "problem_message": TOO_LONG.replace("line", "event")}
                yield _bad_encoding(number, f"{element}…") | shown
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
        elif not _is_text(row[1]):
            refused.append(_bad_encoding(*row))
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


def _is_text(text: str) -> bool:
    """Return True if the text is valid Unicode: no undecodable bytes and no half surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bad_encoding(line: int, raw: str) -> dict[str, Any]:
    """Reject a line that is not UTF-8: two different ids could look the same once decoded."""
    shown = raw.encode(errors="surrogateescape").decode(errors="replace")
    return {"line": line, "raw": shown, "problem": "bad_encoding", "problem_message": "not UTF-8: shown with \ufffd"}


def _read_csv(file: BinaryIO) -> Iterator[pa.Table]:
    with _as_text(file, newline="") as lines_of_file:
        columns: _Columns | None = None
        rows: list[dict[str, Any]] = []
        size = 0
        for line, raw, fields in _csv_records(_lines_of(lines_of_file, ("\n", "\r"))):
            if columns is None:
                if raw.strip(' "') == "sep=,":  # Excel writes it for itself
                    continue
                _refuse_other_separators(raw)
            if columns is None and not isinstance(fields, csv.Error):
                columns = _Columns(fields)
                if not _names_columns(fields):
                    rows.append(_stage_csv_row(line, raw, columns, fields))
            else:
                rows.append(_stage_csv_row(line, raw, columns or _Columns([]), fields))
            size += len(raw)
            if len(rows) >= CHUNK_LINES or size >= CHUNK_BYTES:
                yield pa.Table.from_pylist(rows, schema=STAGED)
                rows, size = [], 0
                if columns:
                    columns.documents.clear()
        if rows:
            yield pa.Table.from_pylist(rows, schema=STAGED)


def _refuse_other_separators(header: str) -> None:
    """Raise UnusableFile if the header names the columns, but not with commas between them."""
    for separator, name in OTHER_SEPARATORS.items():
        is_declared = header.strip(' "') == f"sep={separator}"
        if is_declared or _names_columns([column.strip(' "') for column in header.split(separator)]):
            raise UnusableFile("other_separator", f"its columns are separated by {name}: separate them by commas")


class _Columns:
    """The header of a CSV file.

    Attributes:
        problem: (reason, message) if no row below this header can be used.
        documents: The JSON of the columns besides the six cells, by their fields. Most rows repeat the same fields.
    """

    def __init__(self, header: list[str]) -> None:
        self.width = len(header)
        self.is_text = _is_text("".join(header))
        self.problem = _problem_of_header(header)
        self.documents: dict[tuple[str, ...], str] = {}
        self._others = [(place, name) for place, name in enumerate(header) if name not in CELLS]
        self.is_event = _is_event(header)
        self._data = header.index("data") if self.is_event or [name for _, name in self._others] == ["data"] else None
        if self.problem is None:
            names = CELLS if "quantity" in header else ENVELOPE
            self.cells = itemgetter(*(header.index(name) for name in names))

    def document(self, fields: list[str]) -> str | None:
        """Return the columns besides the six cells as a JSON object. A single column `data` is that object."""
        if self._data is not None:
            return fields[self._data] or None
        others = tuple([fields[place] for place, _ in self._others])
        document = self.documents.get(others)
        if document is None:
            names = [name for _, name in self._others]
            document = self.documents[others] = write_document(dict(zip(names, others, strict=True)))
        return document


def _problem_of_header(header: list[str]) -> tuple[str, str] | None:
    if not _names_columns(header):
        message = f"no header? The first line must name the columns {', '.join(CELLS)}, in any order"
        return "missing_column", message
    twice = sorted(name for name, count in Counter(header).items() if count > 1)
    if twice:
        return "repeated_column", f"the header has the column {', '.join(twice)} more than once"[:500]
    # Meters may read an event's quantities from columns of other names.
    missing = [name for name in (CELLS if set(header) <= set(CELLS) else ENVELOPE) if name not in header]
    if missing:
        return "missing_column", f"the header has no column {', '.join(missing)}"
    return None


def _is_event(header: list[str]) -> bool:
    """Return True for events with the quantity inside `data`, as in JSON. Other columns are not read then."""
    return "data" in header and "quantity" not in header


def _names_columns(header: list[str]) -> bool:
    """Return True if the first line is a header, and False if it is a row of a file without a header."""
    return len(set(CELLS).intersection(header)) >= 3


def _csv_records(lines: Iterable[str]) -> Iterator[tuple[int, str, list[str] | csv.Error]]:
    """Yield (first line, raw, fields) per record, with an error instead of the fields of an invalid record.

    A record whose quote never closes costs only its first line: the lines that it consumed are read again.
    """
    numbered = enumerate(lines, start=1)
    given_back: deque[tuple[int, str]] = deque()
    taken: list[tuple[int, str]] = []
    width = 0

    def feed() -> Iterator[str]:
        while (line := given_back.popleft() if given_back else next(numbered, None)) is not None:
            taken.append(line)
            if isinstance(line[1], _LongLine):
                raise csv.Error(TOO_LONG)
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


def _stage_csv_row(line: int, raw: str, columns: _Columns, fields: list[str] | csv.Error) -> dict[str, Any]:
    if not raw.isascii() and not _is_text(raw):
        return _bad_encoding(line, raw)
    if not columns.is_text:
        return _bad_encoding(line, raw) | {"problem_message": "the header is not UTF-8"}
    staged: dict[str, Any] = {"line": line, "raw": raw}
    if isinstance(fields, csv.Error):
        return staged | {"problem": "torn_row", "problem_message": f"not a CSV row: {fields}"}
    if columns.problem:
        return staged | dict(zip(("problem", "problem_message"), columns.problem, strict=True))
    if len(fields) != columns.width:
        message = f"{counted(len(fields), 'field')} where the header has {columns.width}"
        return staged | {"problem": "torn_row", "problem_message": message}
    if columns.is_event:
        cells = dict(zip(ENVELOPE, (cell or None for cell in columns.cells(fields)), strict=True))
        return staged | stage_event(cells, columns.document(fields))
    id_, source, type_, subject, time, *rest = columns.cells(fields)
    quantity = rest[0] if rest else None
    staged |= {"id": id_ or None, "source": source or None, "type": type_ or None, "subject": subject or None}
    staged |= read_cells(time or None, quantity or None)
    staged["data"] = columns.document(fields)
    return staged


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
