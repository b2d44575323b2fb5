"""Reads CSV files row by row. Not here: plain files, whose rows are read together (`csv_blocks`)."""

from __future__ import annotations

import csv
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Any, BinaryIO

import pyarrow as pa

from fly_billing.money import counted
from fly_billing.usage.readers.json_lines import read_cells, stage_event
from fly_billing.usage.readers.staged_rows import CELLS, CHUNK_BYTES, CHUNK_LINES, ENVELOPE, STAGED
from fly_billing.usage.readers.text_files import (
    TOO_LONG,
    LongLine,
    UnusableFile,
    as_text,
    bad_encoding,
    is_text,
    lines_of,
)
from fly_billing.usage.rules.cells import write_document

OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs"}


def read_csv(file: BinaryIO) -> Iterator[pa.Table]:
    """Yield the rows as tables of schema STAGED. Raises UnusableFile."""
    with as_text(file, newline="") as lines_of_file:
        columns: Columns | None = None
        rows: list[dict[str, Any]] = []
        size = 0
        for line, raw, fields in csv_records(lines_of(lines_of_file, ("\n", "\r"))):
            if columns is None:
                if raw.strip(' "') == "sep=,":  # Excel writes it for itself
                    continue
                _refuse_other_separators(raw)
            if columns is None and not isinstance(fields, csv.Error):
                columns = Columns(fields)
                if not _names_columns(fields):
                    rows.append(stage_csv_row(line, raw, columns, fields))
            else:
                rows.append(stage_csv_row(line, raw, columns or Columns([]), fields))
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


class Columns:
    """The header of a CSV file.

    Attributes:
        problem: (reason, message) if no row below this header can be used.
        others: The columns besides the six cells, as (place, name).
        data: The place of the column with the JSON of the others, or None.
        documents: The JSON of the columns besides the six cells, by their fields. Most rows repeat the same fields.
    """

    def __init__(self, header: list[str]) -> None:
        self.width = len(header)
        self.is_text = is_text("".join(header))
        self.problem = _problem_of_header(header)
        self.documents: dict[tuple[str, ...], str] = {}
        self.others = [(place, name) for place, name in enumerate(header) if name not in CELLS]
        self.is_event = _is_event(header)
        self.data = header.index("data") if self.is_event or [name for _, name in self.others] == ["data"] else None
        if self.problem is None:
            names = CELLS if "quantity" in header else ENVELOPE
            self.cells = itemgetter(*(header.index(name) for name in names))

    def document(self, fields: list[str]) -> str | None:
        """Return the columns besides the six cells as a JSON object. A single column `data` is that object."""
        if self.data is not None:
            return fields[self.data] or None
        return self.document_of(tuple([fields[place] for place, _ in self.others]))

    def document_of(self, others: tuple[str, ...]) -> str:
        """Return the fields of `others` as a JSON object."""
        document = self.documents.get(others)
        if document is None:
            names = [name for _, name in self.others]
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


def csv_records(lines: Iterable[str]) -> Iterator[tuple[int, str, list[str] | csv.Error]]:
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
            if isinstance(line[1], LongLine):
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


def stage_csv_row(line: int, raw: str, columns: Columns, fields: list[str] | csv.Error) -> dict[str, Any]:
    if not raw.isascii() and not is_text(raw):
        return bad_encoding(line, raw)
    if not columns.is_text:
        return bad_encoding(line, raw) | {"problem_message": "the header is not UTF-8"}
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
