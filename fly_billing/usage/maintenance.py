"""Maintains the usage table: joins small data files, and deletes files that no version in use refers to.

Joining (`compact`) is a commit of the same rows in fewer files. Every column of every row is compared before Postgres
acknowledges it; a killed run leaves a commit that the next landing reverts. Deleting (`delete_unused`) keeps the files
of each version that a snapshot names, so that final invoices can be explained and recalculated as long as they exist.

Both hold the lock of landings: a landing waits, and none is interrupted. Not here: when it runs (`jobs`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from sqlalchemy import Connection

from fly_billing.money import counted
from fly_billing.object_store.address import StoreFolder
from fly_billing.object_store.objects import list_objects
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, rows, values
from fly_billing.usage.data_files import DataFile, PartitionKey, UsageTableError, UsageTableMismatch, list_data_files
from fly_billing.usage.key_index import KeyIndex
from fly_billing.usage.landing_folder import readable_name
from fly_billing.usage.landing_ledger import acknowledge_version, open_for_landing, read_ledger
from fly_billing.usage.usage_table import (
    FILES,
    KEEP_LOG,
    UsageTable,
    UsageTableVersion,
    UsageVersionGone,
    VersionOfAnotherTable,
    open_duckdb,
)

# Files of about this size are the result of joining.
TARGET_BYTES = 128 * 1024 * 1024
# A partition (landing day and usage month) with this many smaller data files is joined.
MANY_FILES = 4
# The most days that a run joins, the oldest first: landings wait meanwhile.
MOST_DAYS = 40
# Files that were replaced are kept so long: for readers of an earlier version, which end within hours, and so that a
# dump of the billing database of this age still fits the table.
KEPT_FOR = timedelta(days=30)
# A data file of the table, below its folder.
OURS = re.compile(r"usage_month=[^/]+/landing_day=[^/]+/[^/]+\.parquet")
# Differs if a row is missing, doubled or has another value in any column.
CONTENT = "select count(*), sum(hash(events)::hugeint), bit_xor(hash(events)) from events"


@dataclass(frozen=True)
class Maintained:
    """The outcome of a maintenance.

    Attributes:
        days: The landing days whose files were joined.
        files, bytes: (before, after) of the present version of the table.
        deleted: The number of files that were deleted.
        kept_versions: The versions, besides the present one, whose files were kept.
        lost_versions: The versions that something refers to and that were in a table that has been replaced.
    """

    days: list[date]
    files: tuple[int, int]
    bytes: tuple[int, int]
    deleted: int
    kept_versions: list[int]
    lost_versions: list[int]


def maintain(
    database: BillingDatabase,
    usage_table: UsageTable,
    today: date,
    progress: Callable[[str], None] = lambda _: None,
    kept_for: timedelta = KEPT_FOR,
) -> Maintained | None:
    """Join the small files of days before `today`, then delete files that nothing refers to. None: no usage landed.

    Args:
        kept_for: Files that were replaced are kept so long.

    Raises:
        UsageTableMismatch: The usage table is not what the landings wrote, or joining changed its rows.
        UsageTableError: The object store refused a write.
    """
    with database.transaction() as connection:
        lock_until_commit(connection, "land_usage")
        if read_ledger(connection) is None:
            return None
        table = open_for_landing(connection, usage_table, progress)
        before = table.data_files
        days = compact(connection, table, _crowded(before, today), progress)
    with database.transaction() as connection:
        lock_until_commit(connection, "land_usage")
        table = open_for_landing(connection, usage_table, progress)
        kept, lost = _versions_in_use(connection, table)
        deleted = delete_unused(table, kept, kept_for)
    progress(f"{counted(len(days), 'landing day')} joined, {counted(deleted, 'file')} deleted")
    after = table.data_files
    return Maintained(days, (len(before), len(after)), (_bytes(before), _bytes(after)), deleted, kept, lost)


def _crowded(files: Collection[DataFile], today: date) -> list[date]:
    """Return the oldest days before today with a partition of many small files. The files of today become more."""
    number: dict[tuple[date, str], int] = defaultdict(int)
    for file in files:
        number[file.day, file.month] += file.bytes < TARGET_BYTES // 2
    return sorted({day for (day, _), count in number.items() if count >= MANY_FILES and day < today})[:MOST_DAYS]


def compact(
    connection: Connection, table: UsageTableVersion, days: list[date], progress: Callable[[str], None]
) -> list[date]:
    """Join the files of these landing days, in the transaction of the caller, who holds the lock `land_usage`.

    Returns the days. Raises the errors of `maintain`.
    """
    if not days:
        return []
    progress(f"joining the data files of {counted(len(days), 'landing day')}")
    usage_table = table.usage_table
    with open_duckdb(usage_table.memory_mb) as duck:
        index = KeyIndex.open(duck, table, progress)
        content = _content(duck, table, days)
        written = _join(usage_table, days)
        joined = UsageTableVersion(usage_table, written, table.shift)
        if (found := _content(duck, joined, days)) != content:
            expected = f"{counted(content[0], 'row')} as before joining"
            raise UsageTableMismatch(table.path, expected, f"{found[0]} that are not the same")
        rows(connection, "hold_landing_days", days=days)
        version = acknowledge_version(connection, table, written, days, _recorded(connection, days))
        rows(connection, "move_snapshots", opened=table.version, written=version)
        # The index is written before the commit, as in a landing. It has all keys of this version, too.
        index.commit(duck, table, written)
    return days


def _join(usage_table: UsageTable, days: list[date]) -> DeltaTable:
    delta = usage_table.delta()
    try:
        delta.optimize.compact(
            partition_filters=[("landing_day", "in", [day.isoformat() for day in days])],
            target_size=TARGET_BYTES,
            writer_properties=FILES,
            post_commithook_properties=KEEP_LOG,
        )
    except (DeltaError, OSError) as problem:
        raise UsageTableError(
            f"the data files of {usage_table.path} can't be joined: {usage_table.describe(problem)}"
        ) from None
    return usage_table.delta()


def _content(duck: duckdb.DuckDBPyConnection, table: UsageTableVersion, days: Collection[date]) -> tuple[int, int, int]:
    table.open_view(duck, "events", days=days)
    (found,) = duck.execute(CONTENT).fetchall()
    return found[0], found[1], found[2]


def _recorded(connection: Connection, days: Collection[date]) -> Mapping[PartitionKey, tuple[int, int]]:
    """Return (accepted, rows) of these days as Postgres has them, by day and month."""
    ledger = read_ledger(connection)
    assert ledger is not None
    return {
        key: (expected.accepted, expected.rows)
        for key, expected in ledger.partitions.items()
        if key[0] in days and expected.rows
    }


def _versions_in_use(connection: Connection, table: UsageTableVersion) -> tuple[list[int], list[int]]:
    """Return the versions that something refers to, apart from the present one: of this table, and of others.

    Raises UsageTableMismatch if one of this table can't be read.
    """
    kept, lost = [], []
    for version in values(connection, "referenced_versions"):
        if version == table.version:
            continue
        try:
            table.at(version)
            kept.append(version)
        except VersionOfAnotherTable:
            lost.append(version)
        except UsageVersionGone as problem:
            # Its files may be here, and another attempt may read it: they must not count as unused.
            expected = f"version {version} to be readable, as invoices refer to it"
            raise UsageTableMismatch(table.path, expected, f"{problem}. No file was deleted") from None
    return kept, lost


def delete_unused(table: UsageTableVersion, kept: Collection[int], kept_for: timedelta) -> int:
    """Delete data files that neither this version nor a kept one has. Returns their number.

    Raises UsageTableMismatch, before anything is deleted, if Delta Lake would delete a file that one of them has, or a
    file that is not the table's: it deletes whatever else is in the folder.
    """
    deltas = [table.at(version) for version in kept]
    needed = {file.path for delta in [table.delta, *deltas] if delta for file in list_data_files(delta)}
    latest = table.usage_table.delta()
    keep = [delta.version() for delta in deltas]
    unused = _vacuum(latest, keep, kept_for, dry_run=True)
    if foreign := [name for name in unused if not OURS.fullmatch(name)]:
        found = f"{readable_name(min(foreign))}: move other files to another folder. No file was deleted"
        raise UsageTableMismatch(table.path, "only files of the usage table", found)
    if wrong := needed & set(unused):
        raise UsageTableMismatch(table.path, "files in use to be kept", f"{min(wrong)} to be deleted")
    # Delta Lake names files that earlier runs deleted for as long as its log has them.
    before = _count_stored(table.usage_table)
    _vacuum(latest, keep, kept_for, dry_run=False)
    return before - _count_stored(table.usage_table)


def _vacuum(delta: DeltaTable, keep: list[int], kept_for: timedelta, *, dry_run: bool) -> list[str]:
    return delta.vacuum(
        retention_hours=int(kept_for.total_seconds() // 3600),
        dry_run=dry_run,
        enforce_retention_duration=False,
        full=True,
        keep_versions=keep,
        post_commithook_properties=KEEP_LOG,
    )


def _count_stored(usage_table: UsageTable) -> int:
    """Count the data files that are there, whichever version has them."""
    place = usage_table.path
    if isinstance(place, StoreFolder):
        return sum(found.name.endswith(".parquet") and not found.name.startswith("_") for found in list_objects(place))
    return sum(1 for _ in place.glob("usage_month=*/landing_day=*/*.parquet"))


def _bytes(files: Collection[DataFile]) -> int:
    return sum(file.bytes for file in files)
