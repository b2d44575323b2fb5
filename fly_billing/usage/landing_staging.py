"""Reads the files of landing days into DuckDB's table `staged`, all of a file or nothing of it.

Whatever a file does, the others are read, and it becomes one rejected row: line 0, with the reason and what to do.
Keeps out: listing folders (`landing_folder`), formats (`readers.files`), judging rows (`landing`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import duckdb
import pyarrow as pa

from fly_billing.postgres.statements import sql
from fly_billing.usage.landing_folder import UNREAD, FileContent, LandingFile, content_of, readable_name, said
from fly_billing.usage.readers.files import NotUsage, read_landing_file, stage_plain_parquet
from fly_billing.usage.readers.jsonl_batches import stage_plain_jsonl
from fly_billing.usage.readers.staged_rows import CHUNK_BYTES, CHUNK_LINES, PLACE, PLACED, STAGED

# A table that is made of very many tables takes longer than all the rest.
MOST_TABLES = 1000


@dataclass
class StagedFiles:
    """What was read. `contents`: of every file; UNREAD where it could not be read, and then it is in `unread`, too."""

    contents: dict[LandingFile, FileContent] = field(default_factory=dict)
    unread: dict[LandingFile, str] = field(default_factory=dict)


def stage_files(
    duck: duckdb.DuckDBPyConnection,
    files: Sequence[LandingFile],
    progress: Callable[[str], None],
    quantities_of: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> StagedFiles:
    """Read the files into `staged`, each as it is from its first to its last byte, or as one rejected row.

    `quantities_of` has the properties of data that hold a quantity, with the types of the events that have them.
    """
    duck.register("no_rows", PLACED.empty_table())
    duck.execute("create temp table staged as from no_rows")
    staging = _Staging(duck, quantities_of)
    staging.stage(files, progress)
    return staging.found


class _Staging:
    """Fills `staged`. `_waiting` has rows of whole files that are not in it yet, to be written many at once."""

    def __init__(self, duck: duckdb.DuckDBPyConnection, quantities_of: Mapping[str, Collection[str]]) -> None:
        self._duck = duck
        self._quantities_of = quantities_of
        self._waiting: list[tuple[LandingFile, list[pa.Table]]] = []
        self._bytes_waiting = 0
        self.found = StagedFiles()

    def stage(self, files: Sequence[LandingFile], progress: Callable[[str], None]) -> None:
        readable = [file for file in files if self._begin(file)]
        others = stage_plain_parquet(self._duck, readable)
        progress(f"read {len(readable) - len(others)} plain Parquet files")
        left = stage_plain_jsonl(self._duck, others)
        progress(f"read {len(others) - len(left)} plain JSONL files")
        for file in left:
            self._read(file)
        self._write_waiting()
        progress(f"read {len(left)} other files")
        self._refuse_changed(readable)
        # What is left are refusals. Where even these can't be written, nobody may believe that all is accounted for.
        self._write(self._waiting)

    def _begin(self, file: LandingFile) -> bool:
        """Note what the file holds now; return whether it can be read."""
        try:
            if file.problem:
                raise NotUsage("unreadable_file", file.problem)
            self.found.contents[file] = content_of(file.path)
        except Exception as problem:  # noqa: BLE001 - whatever one file does, the others land
            self._refuse_unread([file], problem)
            return False
        return True

    def _read(self, file: LandingFile) -> None:
        """Read a file, a chunk at a time if it is long; take out again what is in `staged` of one that is torn."""
        waiting: list[pa.Table] = []
        is_begun = False
        try:
            for rows in read_landing_file(file.path, self._duck, self._quantities_of):
                waiting.append(rows)
                if sum(len(one) for one in waiting) >= CHUNK_LINES or sum(one.nbytes for one in waiting) >= CHUNK_BYTES:
                    is_begun = True
                    self._write([(file, waiting)])
                    waiting = []
        except Exception as problem:  # noqa: BLE001 - whatever one file does, the others land
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
        """Write the files that wait in one statement; where that fails, each by itself."""
        waiting, self._waiting, self._bytes_waiting = self._waiting, [], 0
        try:
            self._write(waiting)
        except Exception:  # noqa: BLE001 - whatever one file does, the others land
            for one in waiting:
                try:
                    self._write([one])
                except Exception as problem:  # noqa: BLE001
                    self._take_out([one[0]])
                    self._refuse(one[0], problem)

    def _write(self, files: Iterable[tuple[LandingFile, Sequence[pa.Table]]]) -> None:
        tables = [with_place(file, table) for file, tables in files for table in tables if table.num_rows]
        if tables:
            self._duck.register("chunk", pa.concat_tables(tables).combine_chunks())
            self._duck.execute("insert into staged from chunk")
            self._duck.unregister("chunk")

    def _take_out(self, files: Sequence[LandingFile]) -> None:
        places = [{"landing_day": file.day, "path": file.name} for file in files]
        self._duck.register("taken_out", pa.Table.from_pylist(places, schema=PLACE))
        self._duck.execute(sql("take_out_of_staged"))

    def _refuse_changed(self, files: Sequence[LandingFile]) -> None:
        """Refuse files that are not what they were when they were begun: nobody knows which of both was read."""
        changed = [file for file in files if file not in self.found.unread and not self._is_the_same(file)]
        if changed:
            self._take_out(changed)
            problem = NotUsage("changed_file", "it changed while it was read: it lands again, whole, once it rests")
            self._refuse_unread(changed, problem)

    def _is_the_same(self, file: LandingFile) -> bool:
        try:
            return content_of(file.path) == self.found.contents[file]
        except OSError:
            return False

    def _refuse(self, file: LandingFile, problem: Exception) -> None:
        if _is_of_the_system(problem):
            self._refuse_unread([file], problem)
        else:
            self._write_refusal(file, problem)

    def _refuse_unread(self, files: Sequence[LandingFile], problem: Exception) -> None:
        """Refuse files whose content is not to blame, so that they are tried again."""
        for file in files:
            self.found.contents[file] = UNREAD
            self.found.unread[file] = said(problem)
            self._write_refusal(file, problem)

    def _write_refusal(self, file: LandingFile, problem: Exception) -> None:
        reason = problem.problem if isinstance(problem, NotUsage) else "unreadable_file"
        message = str(problem) if isinstance(problem, NotUsage) else said(problem)
        row = {"line": 0, "raw": readable_name(file.path.name), "problem": reason, "problem_message": message}
        self._wait(file, [pa.Table.from_pylist([row], schema=STAGED)])


def _is_of_the_system(problem: Exception) -> bool:
    """Tell whether a file could not be read for a reason that is not in the file. Arrow's own errors have no errno."""
    is_of_memory = isinstance(problem, MemoryError | duckdb.OutOfMemoryException)
    return is_of_memory or (isinstance(problem, OSError) and problem.errno is not None)


def with_place(file: LandingFile, rows: pa.Table) -> pa.Table:
    place = pa.repeat(pa.scalar(file.day, pa.date32()), len(rows)), pa.repeat(pa.scalar(file.name), len(rows))
    return pa.table([*place, *rows.columns], schema=PLACED)
