"""The ledger of landings in Postgres: compares the usage table with it before any read or write.

Postgres records which usage table is in use, the last version that a landing committed (acknowledged), and the rows and
files of each landing day and usage month. The landing writes this in its own transaction. The same figures of the table
come from its Delta log, so a comparison reads no data. All readers open the table here, at the acknowledged version:
they never see what a killed landing wrote without committing.

Not here: reading the table (`usage_table`), landing files (`landing`), repairing a damaged table (`repair`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from sqlalchemy import Connection

from fly_billing.money import counted
from fly_billing.object_store.address import StoreFolder
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, records, rows
from fly_billing.usage.data_files import (
    Partition,
    PartitionKey,
    UsageTableError,
    UsageTableMismatch,
    describe_delta_error,
    list_data_files,
    sum_partitions,
)
from fly_billing.usage.usage_table import KEEP_LOG, UsageTable, UsageTableVersion

# Limits the differences that a message lists.
NAMED = 3
NOTHING = Partition(0, "")


@dataclass(frozen=True)
class ExpectedPartition:
    """The expected content of a landing day and usage month. `rows` and `files` are None if not recorded yet."""

    accepted: int
    rows: int | None
    files: str | None


@dataclass(frozen=True)
class Ledger:
    """Everything that Postgres records about the usage table.

    Attributes:
        table_id: The Delta id of the table in use; None if it was not recorded yet.
        shift: A version in Postgres minus the same version in the Delta log.
        first_version: The first version of the table in use, as numbered in Postgres.
        acknowledged: The last version that a landing committed.
        older: The readable versions from before a repair, as (first, last, shift).
    """

    table_id: str | None
    shift: int
    first_version: int
    acknowledged: int
    older: list[tuple[int, int, int]]
    partitions: Mapping[PartitionKey, ExpectedPartition]


@dataclass(frozen=True)
class _RecordedTable:
    """A usage table that Postgres records. `lost_after` is the last version that it still has, if it lost some."""

    generation: int
    table_id: str
    shift: int
    first_version: int
    acknowledged: int
    lost_after: int | None


@dataclass(frozen=True)
class _LedgerRow:
    """The row of `usage_ledger`: JSON arrays of tables and partitions."""

    last_landed: int | None
    tables: list[dict[str, Any]]
    partitions: list[list[Any]]


@dataclass(frozen=True)
class _LandedRows:
    """The rows of a landing day in the usage table, according to `usage_files`."""

    landing_day: date
    rows: int


def read_ledger(connection: Connection) -> Ledger | None:
    """Return the ledger, or None if no usage was ever landed and no table was created."""
    (row,) = records(connection, _LedgerRow, "usage_ledger")
    tables = [_RecordedTable(**table) for table in row.tables]
    if not tables and row.last_landed is None:
        return None
    partitions = {
        (date.fromisoformat(day), date.fromisoformat(month)): ExpectedPartition(*expected)
        for day, month, *expected in row.partitions
    }
    if not tables:
        return Ledger(None, 0, 0, row.last_landed or 0, [], partitions)
    used = tables[-1]
    acknowledged = max(used.acknowledged, row.last_landed or 0)
    return Ledger(used.table_id, used.shift, used.first_version, acknowledged, _readable(tables), partitions)


def _readable(tables: list[_RecordedTable]) -> list[tuple[int, int, int]]:
    """List (first, last, shift) of the versions that the table in use still has from before its repairs."""
    return [
        (table.first_version, table.acknowledged if table.lost_after is None else table.lost_after, table.shift)
        for table in tables[:-1]
        if table.table_id == tables[-1].table_id
    ]


def open_usage_table(database: BillingDatabase, usage_table: UsageTable) -> UsageTableVersion:
    """Like `open_against_ledger`, in its own transaction."""
    with database.transaction() as connection:
        return open_against_ledger(connection, usage_table)


def open_against_ledger(connection: Connection, usage_table: UsageTable) -> UsageTableVersion:
    """Open the acknowledged version of the usage table after comparing it with the ledger.

    Returns a table without rows if no usage was ever landed. Raises UsageTableMismatch if the table is missing, is
    another one or an older one, or has other rows or files.
    """
    ledger = read_ledger(connection)
    if ledger is None:
        return UsageTableVersion(usage_table, None)
    delta = _open(usage_table, ledger)
    table = UsageTableVersion(usage_table, delta, ledger.shift, ledger.first_version, ledger.older)
    try:
        found = table.partitions
    except (UsageTableError, ValueError) as problem:
        expected = f"version {ledger.acknowledged} with a log that lists its files"
        raise UsageTableMismatch(usage_table.path, expected, describe_delta_error(problem)) from None
    wrong = find_different_partitions(ledger.partitions, found)
    if ledger.table_id is None:
        wrong |= _different_days(connection, found)
    if wrong:
        named = sorted(wrong.items())[:NAMED]
        more = f", and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise UsageTableMismatch(
            usage_table.path,
            f"in version {ledger.acknowledged} "
            + ", ".join(f"{partition}: {expected}" for partition, (expected, _) in named),
            ", ".join(f"{partition}: {has}" for partition, (_, has) in named) + more,
        )
    return table


def _open(usage_table: UsageTable, ledger: Ledger) -> DeltaTable:
    expected = f"version {ledger.acknowledged}" + (f" of table {ledger.table_id}" if ledger.table_id else "")
    try:
        is_there = usage_table.exists()
    except (DeltaError, OSError) as problem:
        raise UsageTableMismatch(
            usage_table.path, expected, f"a table that can't be read ({usage_table.describe(problem)})"
        ) from None
    if not is_there:
        raise UsageTableMismatch(usage_table.path, expected, usage_table.describe_absence())
    try:
        delta = usage_table.delta(ledger.acknowledged - ledger.shift)
    except (DeltaError, OSError, ValueError) as problem:
        raise UsageTableMismatch(
            usage_table.path, expected, _what_is_there(usage_table, ledger, usage_table.describe(problem))
        ) from None
    if _is_another(delta, ledger):
        raise UsageTableMismatch(usage_table.path, expected, f"another table, {delta.metadata().id}")
    return delta


def _what_is_there(usage_table: UsageTable, ledger: Ledger, problem: str) -> str:
    try:
        delta = usage_table.delta()
    except (DeltaError, OSError, ValueError):
        return f"a Delta log that can't be read ({problem})"
    if _is_another(delta, ledger):
        return f"another table, {delta.metadata().id}"
    if (version := delta.version() + ledger.shift) < ledger.acknowledged:
        return f"the older version {version}"
    return f"version {version}; the expected version can't be read ({problem})"


def _is_another(delta: DeltaTable, ledger: Ledger) -> bool:
    return ledger.table_id is not None and ledger.table_id != str(delta.metadata().id)


def find_different_partitions(
    expected: Mapping[PartitionKey, ExpectedPartition], found: Mapping[PartitionKey, Partition]
) -> dict[str, tuple[str, str]]:
    """Return (expected, found) for each partition that differs, by its name for messages."""
    wrong = {}
    for key in expected.keys() | found.keys():
        must, has = expected.get(key, ExpectedPartition(0, 0, "")), found.get(key, NOTHING)
        name = f"landing day {key[0]} of month {key[1]:%Y-%m}"
        if must.rows is None:
            if has.rows < must.accepted:
                wrong[name] = (f"at least {counted(must.accepted, 'row')}", counted(has.rows, "row"))
        elif must.rows != has.rows:
            wrong[name] = (counted(must.rows, "row"), counted(has.rows, "row"))
        elif must.files != has.files:
            wrong[name] = (f"{counted(must.rows, 'row')} as landed", f"{counted(has.rows, 'row')} in different files")
    return wrong


def find_different_days(
    expected: Mapping[PartitionKey, ExpectedPartition], found: Mapping[PartitionKey, Partition]
) -> set[date]:
    """Return the landing days with a partition that differs."""
    return {
        key[0]
        for key in expected.keys() | found.keys()
        if find_different_partitions(
            {key: expected[key]} if key in expected else {}, {key: found[key]} if key in found else {}
        )
    }


def _different_days(connection: Connection, found: Mapping[PartitionKey, Partition]) -> dict[str, tuple[str, str]]:
    """Compare row counts by landing day, for days that landed before partitions were recorded."""
    by_day: dict[date, int] = {}
    for (day, _), partition in found.items():
        by_day[day] = by_day.get(day, 0) + partition.rows
    must = {day.landing_day: day.rows for day in records(connection, _LandedRows, "landed_rows")}
    return {
        f"landing day {day}": (counted(must.get(day, 0), "row"), counted(by_day.get(day, 0), "row"))
        for day in must.keys() | by_day.keys()
        if must.get(day, 0) != by_day.get(day, 0)
    }


def register_usage_table(database: BillingDatabase, usage_table: UsageTable) -> None:
    """Create the usage table if no usage was ever landed, and record it in Postgres. Does nothing if it is recorded.

    Runs in its own transaction, so that the table stays known if the landing is killed. A table that landed before
    tables were recorded is compared as far as possible first. Raises UsageTableMismatch.
    """
    with database.transaction() as connection:
        lock_until_commit(connection, "land_usage")
        ledger = read_ledger(connection)
        if ledger is None:
            delta = _first_table(usage_table)
            rows(
                connection, "add_usage_table",
                table_id=delta.metadata().id, shift=0, first_version=0, acknowledged=delta.version(),
            )  # fmt: skip
        elif ledger.table_id is None:
            table = open_against_ledger(connection, usage_table)
            assert table.delta is not None
            rows(
                connection, "add_usage_table",
                table_id=table.delta.metadata().id, shift=0, first_version=0, acknowledged=table.version,
            )  # fmt: skip
            for (day, month), partition in table.partitions.items():
                rows(connection, "record_partition", day=day, month=month, rows=partition.rows, files=partition.files)
            rows(connection, "record_empty_partitions")


def _first_table(usage_table: UsageTable) -> DeltaTable:
    try:
        if not usage_table.exists():
            return usage_table.create()
        delta = usage_table.delta()
        is_new = delta.version() == 0 and not list_data_files(delta)
    except (DeltaError, OSError, ValueError) as problem:
        if isinstance(usage_table.path, StoreFolder):
            raise UsageTableError(
                f"the usage table can't be made in {usage_table.path}: {usage_table.describe(problem)}"
            ) from None
        is_new = False
    if not is_new:
        raise UsageTableMismatch(
            usage_table.path,
            "no table, because this billing database has no landings",
            "a table written by another billing database (or by this one, before it was restored from an older backup)",
        )
    return delta


def open_for_landing(
    connection: Connection, usage_table: UsageTable, progress: Callable[[str], None]
) -> UsageTableVersion:
    """Open the table for a landing that holds the lock `land_usage`, and undo unacknowledged commits.

    A landing writes on top of the latest version. If a killed landing or another program wrote versions after the
    acknowledged one, a commit reverts them first: otherwise their rows would count with the next landing. Raises
    UsageTableMismatch.
    """
    table = open_against_ledger(connection, usage_table)
    if table.delta is None:
        raise UsageTableMismatch(usage_table.path, "a recorded table", "none")
    try:
        latest = usage_table.latest(table.delta)
        if latest.version() > table.delta.version() and list_data_files(latest) != table.data_files:
            ahead = latest.version() - table.delta.version()
            progress(f"reverting {counted(ahead, 'commit')} of the usage table that no landing acknowledged")
            latest.restore(table.delta.version(), post_commithook_properties=KEEP_LOG)
            latest = usage_table.delta()
    except (DeltaError, OSError, ValueError) as problem:
        found = f"later commits that can't be read or reverted ({describe_delta_error(problem)})"
        raise UsageTableMismatch(usage_table.path, f"version {table.version} as the last one", found) from None
    if sum_partitions(usage_table.path, list_data_files(latest)) != table.partitions:
        raise UsageTableMismatch(
            usage_table.path, f"the content of version {table.version}", "different files after reverting"
        )
    return table


def acknowledge_version(
    connection: Connection,
    before: UsageTableVersion,
    written: DeltaTable,
    days: Collection[date],
    counted: Mapping[PartitionKey, tuple[int, int]],
) -> int:
    """Record what a landing wrote, for its transaction to commit. Returns the version as numbered in Postgres.

    Args:
        before: The version that the landing opened.
        days: The landing days that were replaced.
        counted: (accepted, rows) of those days, by landing day and usage month.

    Raises:
        UsageTableMismatch: The table has other rows for these days, or changed other days.
    """
    partitions = sum_partitions(before.path, list_data_files(written))
    expected = {
        key: ExpectedPartition(0, partition.rows, partition.files)
        for key, partition in before.partitions.items()
        if key[0] not in days
    }
    for key, (accepted, number) in counted.items():
        expected[key] = ExpectedPartition(accepted, number, partitions.get(key, NOTHING).files)
    if wrong := find_different_partitions(expected, partitions):
        partition, (must, has) = min(wrong.items())
        raise UsageTableMismatch(before.path, f"after landing {partition}: {must}", has)
    version = written.version() + before.shift
    rows(connection, "acknowledge_version", version=version)
    rows(connection, "reset_landed_months", days=list(days))
    for (day, month), (accepted, number) in counted.items():
        files = partitions[day, month].files
        rows(connection, "record_landed_month", day=day, month=month, accepted=accepted, rows=number, files=files)
    return version
