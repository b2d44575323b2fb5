"""Writes the data files of a landing: one Parquet file per landing day and usage month, by DuckDB.

Nobody sees a file before `UsageTable.commit_files` adds it to the Delta log. A landing that is killed before leaves
files that no version has; `usage.maintenance` deletes them. Not here: which events are written (`landing_rows`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
from deltalake.transaction import AddAction

from fly_billing.object_store.address import StoreFolder
from fly_billing.object_store.objects import write_object
from fly_billing.output_files import make_folder
from fly_billing.periods import BillingMonth
from fly_billing.postgres.statements import sql
from fly_billing.usage.data_files import PartitionKey, UsageTableError
from fly_billing.usage.readers.staged_rows import one_thread
from fly_billing.usage.usage_table import EVENTS, PARTITIONS, UsageTable

# Files take half the space that they take with Snappy, and hardly more time. DuckDB returns their statistics.
FORMAT = "format parquet, compression zstd, compression_level 1, return_stats"
# DuckDB's own number of rows, and the least.
ROW_GROUP, SMALL_ROW_GROUP = 122_880, 2_048
UPLOADED_AT_ONCE = 8
# The most characters of a bound in the Delta log, which keeps those of each file for ever.
LONGEST_BOUND = 64
# Decimals and truth values are left out: readers take the first for floats, and nobody skips files by the second.
BOUNDED = ("path", "line", "source", "id", "meter", "organization_id", "time", "dimensions", "data")
MILLISECOND = timedelta(milliseconds=1)

Statistics = Mapping[str, Mapping[str, str]]


def write_data_files(
    duck: duckdb.DuckDBPyConnection, usage_table: UsageTable, partitions: Collection[PartitionKey]
) -> list[AddAction]:
    """Write the events of `deduplicated`, which are in these partitions. Returns the files, which no version has yet.

    A file is sorted by meter, organization and time.

    Raises:
        UsageTableError: The object store refused a file.
        duckdb.Error: A file can't be written, for example because the disk is full.
    """
    written: list[Path] = []
    try:
        with one_thread(duck):  # several would need twice the CPU for files of this size
            found = [_write(duck, usage_table.local_folder, key, written) for key in sorted(partitions)]
        if isinstance(usage_table.path, StoreFolder):
            _upload(usage_table.local_folder, usage_table.path, found)
            _remove(written)
    except BaseException:
        _remove(written)
        raise
    return found


def _remove(files: Collection[Path]) -> None:
    for path in files:
        path.unlink(missing_ok=True)


def _write(duck: duckdb.DuckDBPyConnection, folder: Path, key: PartitionKey, written: list[Path]) -> AddAction:
    day, month = key[0], BillingMonth.parse(f"{key[1]:%Y-%m}")
    # Named as delta-rs names its own files.
    name = f"usage_month={month}/landing_day={day}/part-00000-{uuid4()}-c000.zstd.parquet"
    path = (folder / name).absolute()
    make_folder(path.parent)
    written.append(path)
    parameters = {"day": day, "month_start": month.start, "month_end": month.end, "file": str(path)}
    try:
        rows, size, columns = _copy(duck, parameters, ROW_GROUP)
    except duckdb.OutOfMemoryException:
        # DuckDB keeps a row group in memory until it is complete, however wide its rows are.
        rows, size, columns = _copy(duck, parameters, SMALL_ROW_GROUP)
    statistics = {column.strip('"'): values for column, values in columns.items()}
    for field in EVENTS:
        if not field.nullable and field.name not in PARTITIONS and int(statistics[field.name]["null_count"]):
            raise UsageTableError(f"events of landing day {day} have no {field.name}: the table needs one")
    return AddAction(
        path=name,
        size=size,
        partition_values={"usage_month": str(month), "landing_day": day.isoformat()},
        modification_time=path.stat().st_mtime_ns // 10**6,
        data_change=True,
        stats=describe_content(rows, statistics),
    )


def _copy(
    duck: duckdb.DuckDBPyConnection, parameters: Mapping[str, Any], row_group: int
) -> tuple[int, int, dict[str, dict[str, str]]]:
    """Write the events of a file. Returns the number of rows, the size in bytes, and the statistics by column."""
    ((_, rows, size, _, columns, _),) = duck.execute(
        f"copy (\n{sql('events_of_file').rstrip().rstrip(';')}\n) to $file ({FORMAT}, row_group_size {row_group})",
        parameters,
    ).fetchall()
    return rows, size, columns


def describe_content(rows: int, columns: Statistics) -> str:
    """Return the statistics of a file as the Delta log has them: row count, bounds and null counts as JSON.

    Readers skip files by the bounds. So a bound that is too long or too precise for the log becomes wider, or is left
    out.

    Args:
        columns: DuckDB's statistics by column: `min`, `max`, `null_count`, each as text.
    """
    lowest: dict[str, str | int] = {}
    highest: dict[str, str | int] = {}
    for name in BOUNDED:
        low, high = columns[name].get("min"), columns[name].get("max")
        if low is not None and high is not None:
            lowest[name], highest[name] = _bounds(name, low, high)
            if len(high) > LONGEST_BOUND:
                del highest[name]  # its beginning is less than the longest text
    nulls = {name: int(values["null_count"]) for name, values in columns.items()}
    return json.dumps(
        {"numRecords": rows, "minValues": lowest, "maxValues": highest, "nullCount": nulls}, ensure_ascii=False
    )


def _bounds(name: str, low: str, high: str) -> tuple[str | int, str | int]:
    if name == "line":
        return int(low), int(high)
    if name == "time":
        # The log has milliseconds.
        first, last = datetime.fromisoformat(low), datetime.fromisoformat(high)
        return _in_milliseconds(first), _in_milliseconds(last + MILLISECOND - timedelta(microseconds=1))
    return low[:LONGEST_BOUND], high


def _in_milliseconds(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _upload(local: Path, store: StoreFolder, files: Collection[AddAction]) -> None:
    """Upload files. The caller removes them: as copies, they would hide that an object is missing or damaged."""
    try:
        with ThreadPoolExecutor(UPLOADED_AT_ONCE) as pool:
            list(pool.map(lambda file: write_object(store, file.path, local / file.path), files))
    except OSError as problem:
        raise UsageTableError(f"the usage table {store} can't be written: {problem.strerror or problem}") from None
