"""The data files of a version of the usage table, as its Delta log lists them, and whether they are undamaged.

Not here: opening and writing the table (`usage_table`), comparing it with Postgres (`landing_ledger`).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from fly_billing.errors import ActionableError
from fly_billing.object_store.address import Place
from fly_billing.periods import BillingMonth
from fly_billing.usage.landing_folder import readable_name

# Matches the arrow by which delta-rs introduces a cause, in color.
_CAUSE = re.compile(r"\s*(?:\x1b\[[0-9;]*m)?↳(?:\x1b\[[0-9;]*m)?\s*")
PARQUET_END = b"PAR1"
# Begins the `dimensions` of an event that several meters read: a JSON array instead of an object.
SHARED = "["


class UsageTableError(ActionableError):
    """The usage table can't be used at this place or in this state. The message says what to do."""


class UsageTableMismatch(ActionableError):
    """The usage table is not the one that Postgres records, or part of it can't be read.

    The message is one line: which table, what was expected, what was found, and what to do.
    """

    def __init__(self, path: Place, expected: str, found: str) -> None:
        super().__init__(
            f"the usage table {path} does not agree with the billing database: expected {expected}; found {found}."
            " Nothing was read from it, booked or closed. Make sure that its share is mounted and that"
            " FLY_BILLING_LAKE_DIR is correct. If the table itself is damaged, restore it from a backup or run"
            " `fly-billing land --repair`, which first shows the days that it would land again"
        )


@dataclass(frozen=True)
class Partition:
    """The rows of a landing day and usage month, with duplicates, and an MD5 of the names and sizes of its files."""

    rows: int
    files: str


@dataclass(frozen=True)
class DataFile:
    """A Parquet file of a version of the table.

    Attributes:
        bytes, rows: According to the Delta log; `rows` is None if the log does not say.
        may_be_shared: It may contain events that several meters read.
    """

    path: str
    bytes: int
    rows: int | None
    month: str
    day: date
    may_be_shared: bool = False


# (landing day, first day of the usage month). A landing replaces the days, and a roll-up reads the months.
PartitionKey = tuple[date, date]


def list_data_files(delta: DeltaTable) -> list[DataFile]:
    """List the files of this version from the Delta log, without reading data."""
    found = pa.table(delta.get_add_actions(flatten=True))
    names = ("path", "size_bytes", "num_records", "partition.usage_month", "partition.landing_day")
    nothing = [None] * found.num_rows
    # Without a minimum in the log, the file may contain shared events.
    firsts = found["min.dimensions"].to_pylist() if "min.dimensions" in found.column_names else nothing
    files = []
    for place, size, rows, month, day, first in zip(*(found[name].to_pylist() for name in names), firsts, strict=True):
        # `PARTITIONS_OF_FILE` relies on this.
        folder, name = f"usage_month={month}/landing_day={day}/", unquote(place).rpartition("/")[2]
        if unquote(place) != folder + name:
            raise UsageTableError(
                f"a file of the usage table is not in the folder of its month and landing day: {place}"
            )
        if not name.isprintable():
            raise UsageTableError(
                f"the log of the usage table lists an invalid file name: {readable_name(unquote(place))!r}"
            )
        files.append(DataFile(folder + name, size, rows, month, day, first is None or first.startswith(SHARED)))
    return files


def sum_partitions(path: Place, files: Iterable[DataFile]) -> dict[PartitionKey, Partition]:
    """Sum the files by landing day and usage month. Raises UsageTableMismatch if the Delta log lacks a row count."""
    grouped: dict[PartitionKey, list[DataFile]] = defaultdict(list)
    for file in files:
        grouped[file.day, BillingMonth.parse(file.month).first_day].append(file)
    partitions = {}
    for key, some in grouped.items():
        if any(file.rows is None for file in some):
            raise UsageTableMismatch(path, "a row count for each file in its log", f"none for {some[0].path}")
        listed = "\n".join(sorted(f"{file.path} {file.bytes}" for file in some))
        digest = hashlib.md5(listed.encode(), usedforsecurity=False).hexdigest()
        partitions[key] = Partition(sum(file.rows or 0 for file in some), digest)
    return partitions


def find_damaged_files(folder: Path, files: Iterable[DataFile]) -> list[str]:
    """Describe each file that is missing, is not of the size in the Delta log, or is not a Parquet file."""
    damaged = []
    for file in files:
        try:
            with (folder / file.path).open("rb") as content:
                size = content.seek(0, os.SEEK_END)
                content.seek(max(0, size - len(PARQUET_END)))
                end = content.read()
        except OSError as problem:
            damaged.append(f"{file.path} ({problem.strerror or problem})")
            continue
        if size != file.bytes:
            damaged.append(f"{file.path} ({size} bytes, not {file.bytes})")
        elif end != PARQUET_END:
            damaged.append(f"{file.path} (overwritten: it does not end like a Parquet file)")
    return damaged


def count_rows(folder: Path, file: DataFile) -> int:
    """Count a file's rows by reading all of them. Raises what DuckDB or pyarrow raise for damaged content."""
    with pq.ParquetFile(folder / file.path) as content:
        return sum(batch.num_rows for batch in content.iter_batches())


def describe_delta_error(problem: Exception) -> str:
    """Describe an error in one line, with the causes that delta-rs lists."""
    return (_CAUSE.sub(": ", str(problem)).strip() or type(problem).__name__).splitlines()[0]
