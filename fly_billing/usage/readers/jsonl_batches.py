"""Reads many JSONL files at once: a DuckDB statement per file would cost more than reading all of its rows.

A batch takes plain files only: readable, small enough for memory, UTF-8, no overlong line. It leaves all others to
`files`, and also its own files if anything fails: `files` reads them one by one and reports the faulty one.
Not here: parsing lines (`json_lines`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

import duckdb
import numpy as np
import pyarrow as pa

from fly_billing.usage.landing_folder import LandingFile, open_file
from fly_billing.usage.readers.json_lines import insert_json
from fly_billing.usage.readers.staged_rows import CHUNK_BYTES, CHUNK_LINES, LINES, LONGEST_LINE

ENDINGS = (".jsonl", ".ndjson")
_EPOCH = date(1970, 1, 1)


@dataclass
class _Batch:
    """The non-empty lines of complete files. `counts` has the number of lines of each file."""

    files: list[LandingFile] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    size: int = 0

    def add(self, file: LandingFile, text: str) -> None:
        before = len(self.lines)
        for number, line in enumerate(text.split("\n"), start=1):
            if stripped := line.strip(" \t\r\n"):
                self.numbers.append(number)
                self.lines.append(stripped)
        self.files.append(file)
        self.counts.append(len(self.lines) - before)
        self.size += len(text)

    def is_full(self) -> bool:
        return self.size >= CHUNK_BYTES or len(self.lines) >= CHUNK_LINES

    def as_table(self) -> pa.Table:
        """Return the lines as a table of schema LINES."""
        days = np.array([(file.day - _EPOCH).days for file in self.files], np.int32)
        places = pa.array(np.repeat(np.arange(len(self.files), dtype=np.int32), self.counts))
        columns = {
            "landing_day": pa.array(np.repeat(days, self.counts)).cast(pa.date32()),
            "path": pa.DictionaryArray.from_arrays(places, pa.array([file.name for file in self.files], pa.string())),
            "line": pa.array(self.numbers, pa.int64()),
            "raw": pa.array(self.lines, pa.string()),
        }
        return pa.table(columns, schema=LINES)


def stage_plain_jsonl(duck: duckdb.DuckDBPyConnection, files: Sequence[LandingFile]) -> list[LandingFile]:
    """Insert the plain JSONL files among these into the table `staged`. Returns the files that were not inserted."""
    declined: list[LandingFile] = []
    for batch in _batches(files, declined):
        if not _insert(duck, batch):
            declined += batch.files
    return declined


def _batches(files: Sequence[LandingFile], declined: list[LandingFile]) -> Iterator[_Batch]:
    batch = _Batch()
    for file in files:
        text = _text_of(file)
        if text is None:
            declined.append(file)
            continue
        batch.add(file, text)
        if batch.is_full():
            yield batch
            batch = _Batch()
    if batch.files:
        yield batch


def _insert(duck: duckdb.DuckDBPyConnection, batch: _Batch) -> bool:
    try:
        insert_json(duck, batch.as_table())
    except Exception:  # noqa: BLE001 - the error occurs again when the files are read one by one
        return False
    return True


def _text_of(file: LandingFile) -> str | None:
    """Return the file's text, or None if it is not a plain JSONL file."""
    if not file.name.lower().endswith(ENDINGS):
        return None
    try:
        with open_file(file.path) as binary:
            content = binary.read(CHUNK_BYTES + 1)
        if len(content) > CHUNK_BYTES:
            return None
        text = content.decode("utf-8-sig")
    except (OSError, ValueError, MemoryError):
        return None
    has_long_line = len(text) > LONGEST_LINE and max(map(len, text.split("\n"))) > LONGEST_LINE
    return None if has_long_line else text
