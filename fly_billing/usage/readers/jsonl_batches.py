"""Reads many JSONL files at once: a DuckDB statement per file would cost more than reading all of its rows.

A batch takes plain files only: readable, small enough for memory, UTF-8, no overlong line. It leaves all others to
`files`, and also its own files if anything fails: `files` reads them one by one and reports the faulty one.
Not here: parsing lines (`event_shapes`, `json_lines`).
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

import duckdb
import numpy as np
import pyarrow as pa

from fly_billing.usage.landing_folder import LandingFile, open_file
from fly_billing.usage.readers.event_shapes import read_shaped
from fly_billing.usage.readers.json_lines import insert_json
from fly_billing.usage.readers.line_block import LineBlock, Places
from fly_billing.usage.readers.staged_rows import CHUNK_BYTES, CHUNK_LINES, LINES, LONGEST_LINE, SHAPED

ENDINGS = (".jsonl", ".ndjson")
_EPOCH = date(1970, 1, 1)


@dataclass
class _Batch:
    """Complete files. `counts` has the number of lines of each file, empty ones included."""

    files: list[LandingFile] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    size: int = 0
    lines: int = 0

    def add(self, file: LandingFile, content: bytes) -> None:
        """Add a file whose lines all end with a newline."""
        self.files.append(file)
        self.contents.append(content)
        self.counts.append(content.count(b"\n"))
        self.lines += self.counts[-1]
        self.size += len(content)

    def is_full(self) -> bool:
        return self.size >= CHUNK_BYTES or self.lines >= CHUNK_LINES

    def places(self, lines: Places) -> dict[str, pa.Array]:
        """Return the columns of these lines that say where each is."""
        days = np.array([(file.day - _EPOCH).days for file in self.files], np.int32)
        names = pa.array([file.name for file in self.files], pa.string())
        ends = np.cumsum(self.counts)
        files = np.searchsorted(ends, lines, side="right")
        return {
            "landing_day": pa.array(days[files]).cast(pa.date32()),
            "path": pa.DictionaryArray.from_arrays(pa.array(files.astype(np.int32)), names),
            "line": pa.array(lines + 1 - (ends - self.counts)[files]),
        }


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
        content = _content_of(file)
        if content is None:
            declined.append(file)
            continue
        batch.add(file, content)
        if batch.is_full():
            yield batch
            batch = _Batch()
    if batch.files:
        yield batch


def _insert(duck: duckdb.DuckDBPyConnection, batch: _Batch) -> bool:
    try:
        insert_json(duck, *_cut(batch))
    except Exception:  # noqa: BLE001 - the error occurs again when the files are read one by one
        return False
    return True


def _cut(batch: _Batch) -> tuple[pa.Table, list[pa.Table]]:
    """Return the lines that have no shape, and the events of those that have one."""
    block = LineBlock.of(b"".join(batch.contents))
    batch.contents.clear()
    is_left = block.ends > block.starts
    shaped = []
    for found in read_shaped(block):
        is_left[found.lines] = False
        shaped.append(pa.table({**batch.places(found.lines), **found.columns}, schema=SHAPED))
    left = np.flatnonzero(is_left)
    raw = block.texts(block.starts[left], block.ends[left]).cast(pa.string())
    return pa.table({**batch.places(left), "raw": raw}, schema=LINES), shaped


def _content_of(file: LandingFile) -> bytes | None:
    """Return the file's lines, each with its newline, or None if it is not a plain JSONL file."""
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
    if _has_long_line(content) and max(map(len, text.split("\n"))) > LONGEST_LINE:
        return None
    content = content.removeprefix(BOM_UTF8)
    return content if content.endswith(b"\n") or not content else content + b"\n"


def _has_long_line(content: bytes) -> bool:
    """Return True if a line has more bytes than a line may have characters."""
    place = 0
    while len(content) - place > LONGEST_LINE:
        place = content.rfind(b"\n", place, place + LONGEST_LINE + 1) + 1
        if not place:
            return True
    return False
