"""Reads the files of landing days into DuckDB's table `staged`. A file is staged completely or not at all.

A file that can't be read becomes one rejected row (line 0, with the reason and what to do) and stops no other file.
Not here: listing folders (`landing_folder`), file formats (`readers.files`), validating rows (`landing`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import duckdb
import pyarrow as pa

from fly_billing.money import counted
from fly_billing.object_store.objects import ChangedObject
from fly_billing.postgres.statements import sql
from fly_billing.usage.landing_copies import LandingCopies, landing_copies
from fly_billing.usage.landing_folder import (
    UNREAD,
    FileContent,
    LandingFile,
    describe_error,
    read_content,
    readable_name,
)
from fly_billing.usage.readers.files import read_landing_file, stage_plain_parquet
from fly_billing.usage.readers.jsonl_batches import stage_plain_jsonl
from fly_billing.usage.readers.staged_rows import CHUNK_BYTES, CHUNK_LINES, PLACE, PLACED, STAGED, one_thread
from fly_billing.usage.readers.text_files import UnusableFile

# Concatenating more tables than this takes longer than everything else.
MOST_TABLES = 1000
CHANGED = "changed while it was read. It lands again once it stays unchanged"


@dataclass
class StagedFiles:
    """The files that were read.

    Attributes:
        contents: The content of each file; UNREAD if it could not be read.
        unread: The reason for each file that could not be read.
    """

    contents: dict[LandingFile, FileContent] = field(default_factory=dict)
    unread: dict[LandingFile, str] = field(default_factory=dict)


def stage_files(
    duck: duckdb.DuckDBPyConnection,
    files: Sequence[LandingFile],
    progress: Callable[[str], None],
    quantities_of: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> StagedFiles:
    """Read each file into `staged`: all of its rows, or one rejected row.

    Args:
        quantities_of: The event types by property that a meter reads quantities from (`landing.land_batch`).
    """
    duck.register("no_rows", PLACED.empty_table())
    duck.execute("create temp table staged as from no_rows")
    with landing_copies() as copies:
        staging = _Staging(duck, quantities_of, copies)
        staging.stage(files, progress)
    return staging.found


class _Staging:
    """Fills `staged`. `_waiting` collects rows of complete files, to write many files in one statement."""

    def __init__(
        self, duck: duckdb.DuckDBPyConnection, quantities_of: Mapping[str, Collection[str]], copies: LandingCopies
    ) -> None:
        self._duck = duck
        self._copies = copies
        self._quantities_of = quantities_of
        self._waiting: list[tuple[LandingFile, list[pa.Table]]] = []
        self._bytes_waiting = 0
        self.found = StagedFiles()

    def stage(self, files: Sequence[LandingFile], progress: Callable[[str], None]) -> None:
        readable = [readable for file in files if (readable := self._begin(file))]
        others = stage_plain_parquet(self._duck, readable)
        progress(f"read {len(readable) - len(others)} plain Parquet files")
        left = stage_plain_jsonl(self._duck, others)
        progress(f"read {len(others) - len(left)} plain JSONL files")
        for file in left:
            self._read(file)
        self._write_waiting()
        progress(f"read {counted(len(left), 'other file')}")
        self._refuse_changed(readable)
        # Only rejections are left. If even these can't be written, the landing fails: their rows would be unaccounted.
        self._write(self._waiting)

    def _begin(self, file: LandingFile) -> LandingFile | None:
        """Record the file's current content. Returns the file with a path on this disk; None if it can't be read."""
        try:
            if file.problem:
                raise UnusableFile("unreadable_file", file.problem)
            readable, content = self._copies.read(file)
        except ChangedObject:
            self._refuse_unread([file], UnusableFile("changed_file", CHANGED))
            return None
        except Exception as problem:  # noqa: BLE001 - one bad file must not stop the others
            self._refuse_unread([file], problem)
            return None
        self.found.contents[readable] = content
        return readable

    def _read(self, file: LandingFile) -> None:
        """Read a file, a long one in chunks. If reading fails halfway, delete its staged rows again."""
        waiting: list[pa.Table] = []
        is_begun = False
        try:
            for rows in read_landing_file(file.path, self._duck, self._quantities_of):
                waiting.append(rows)
                if (
                    sum(len(table) for table in waiting) >= CHUNK_LINES
                    or sum(table.nbytes for table in waiting) >= CHUNK_BYTES
                ):
                    is_begun = True
                    self._write([(file, waiting)])
                    waiting = []
        except Exception as problem:  # noqa: BLE001 - one bad file must not stop the others
            if is_begun:
                self._take_out([file])
            self._refuse(file, problem)
            return
        self._wait(file, waiting)

    def _wait(self, file: LandingFile, tables: list[pa.Table]) -> None:
        self._waiting.append((file, tables))
        self._bytes_waiting += sum(table.nbytes for table in tables)
        if self._bytes_waiting >= CHUNK_BYTES or len(self._waiting) >= MOST_TABLES:
            self._write_waiting()

    def _write_waiting(self) -> None:
        """Write the waiting files in one statement. If that fails, write each separately."""
        waiting, self._waiting, self._bytes_waiting = self._waiting, [], 0
        try:
            self._write(waiting)
        except Exception:  # noqa: BLE001 - one bad file must not stop the others
            for staged in waiting:
                try:
                    self._write([staged])
                except Exception as problem:  # noqa: BLE001
                    self._take_out([staged[0]])
                    self._refuse(staged[0], problem)

    def _write(self, files: Iterable[tuple[LandingFile, Sequence[pa.Table]]]) -> None:
        tables = [with_place(file, table) for file, tables in files for table in tables if table.num_rows]
        if tables:
            self._duck.register("chunk", pa.concat_tables(tables).combine_chunks())
            with one_thread(self._duck):
                self._duck.execute("insert into staged from chunk")
            self._duck.unregister("chunk")

    def _take_out(self, files: Sequence[LandingFile]) -> None:
        places = [{"landing_day": file.day, "path": file.name} for file in files]
        self._duck.register("deleted_files", pa.Table.from_pylist(places, schema=PLACE))
        self._duck.execute(sql("delete_from_staged"))

    def _refuse_changed(self, files: Sequence[LandingFile]) -> None:
        """Reject files that changed since `_begin`: the staged rows may mix both contents."""
        changed = [file for file in files if file not in self.found.unread and not self._is_the_same(file)]
        if changed:
            self._take_out(changed)
            self._refuse_unread(changed, UnusableFile("changed_file", CHANGED))

    def _is_the_same(self, file: LandingFile) -> bool:
        try:
            return read_content(file.path) == self.found.contents[file]
        except OSError:
            return False

    def _refuse(self, file: LandingFile, problem: Exception) -> None:
        if _is_of_the_system(problem):
            self._refuse_unread([file], problem)
        else:
            self._write_refusal(file, problem)

    def _refuse_unread(self, files: Sequence[LandingFile], problem: Exception) -> None:
        """Reject files for reasons outside of their content, so that the next landing tries them again."""
        for file in files:
            self.found.contents[file] = UNREAD
            self.found.unread[file] = describe_error(problem)
            self._write_refusal(file, problem)

    def _write_refusal(self, file: LandingFile, problem: Exception) -> None:
        reason = problem.problem if isinstance(problem, UnusableFile) else "unreadable_file"
        message = str(problem) if isinstance(problem, UnusableFile) else describe_error(problem)
        row = {"line": 0, "raw": readable_name(file.path.name), "problem": reason, "problem_message": message}
        self._wait(file, [pa.Table.from_pylist([row], schema=STAGED)])


def _is_of_the_system(problem: Exception) -> bool:
    """Return True if the cause is outside of the file. Arrow's own errors have no errno."""
    is_of_memory = isinstance(problem, MemoryError | duckdb.OutOfMemoryException)
    return is_of_memory or (isinstance(problem, OSError) and problem.errno is not None)


def with_place(file: LandingFile, rows: pa.Table) -> pa.Table:
    place = pa.repeat(pa.scalar(file.day, pa.date32()), len(rows)), pa.repeat(pa.scalar(file.name), len(rows))
    return pa.table([*place, *rows.columns], schema=PLACED)
