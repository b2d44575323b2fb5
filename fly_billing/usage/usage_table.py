"""The usage table: a Delta table of all accepted usage events, partitioned by usage month and landing day.

`UsageTable` writes it. `UsageTableVersion` reads one version; readers get it from
`landing_ledger.open_against_ledger`, which compares the table with Postgres first. DuckDB reads a version through its
list of files. Versions never change, so any rollup can be recalculated from its version later.

Not here: file formats (`readers.files`), Postgres (`landing`, `landing_ledger`), prices.
"""

from __future__ import annotations

import errno
import os
import re
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import duckdb
import pyarrow as pa
from deltalake import (
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction

from fly_billing.money import counted
from fly_billing.object_store.address import Place, StoreFolder
from fly_billing.object_store.local_copies import LocalCopies
from fly_billing.object_store.objects import check_bucket, describe_store_error, exists
from fly_billing.object_store.stores import delta_options
from fly_billing.output_files import make_folder
from fly_billing.periods import BillingMonth
from fly_billing.postgres.statements import sql
from fly_billing.settings import DUCKDB_MEMORY_MB, Settings
from fly_billing.usage.data_files import (
    DataFile,
    Partition,
    PartitionKey,
    UsageTableError,
    UsageTableMismatch,
    count_rows,
    describe_delta_error,
    find_damaged_files,
    list_data_files,
    sum_partitions,
)
from fly_billing.usage.landing_folder import path_for_duckdb, readable_name

# Quantities have up to 15 decimals. Sums have room for 23 digits before the decimal point.
QUANTITY = pa.decimal128(38, 15)
EVENTS = pa.schema(
    [
        pa.field("usage_month", pa.string(), nullable=False),
        pa.field("landing_day", pa.date32(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("line", pa.int64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("meter", pa.string(), nullable=False),
        pa.field("organization_id", pa.string(), nullable=False),
        pa.field("time", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("quantity", QUANTITY, nullable=False),
        pa.field("dimensions", pa.string(), nullable=False),
        pa.field("data", pa.string()),
        pa.field("is_duplicate", pa.bool_(), nullable=False),
    ]
)
PARTITIONS = ["usage_month", "landing_day"]
# By default, Delta removes log files older than 30 days, and with them the versions that invoices refer to.
KEEP_LOG = PostCommitHookProperties(cleanup_expired_logs=False)
# A commit fails if another one came before it: it was made for the version that it opened.
ONLY_ON_TOP = CommitProperties(max_commit_retries=0)
# Opening a table reads each commit since the last checkpoint (by default, up to 100). In a store, each is a request.
SHORT_LOG = {"delta.checkpointInterval": "10"}
# Files take 45 % less space than with Snappy, and no more time. The values of these two columns hardly repeat.
_UNREPEATED = ColumnProperties(dictionary_enabled=False)
FILES = WriterProperties(
    compression="ZSTD", compression_level=1, column_properties={"id": _UNREPEATED, "line": _UNREPEATED}
)


# The Delta log assigns each file its month and landing day. `list_data_files` checks that the last two folders of its
# path repeat both, so that DuckDB can read them from the path. The folders above may have any name.
PARTITIONS_OF_FILE = r"""
    regexp_extract(filename, '/usage_month=([^/]+)/landing_day=([^/]+)/[^/]+$', 1) as usage_month,
    regexp_extract(filename, '/usage_month=([^/]+)/landing_day=([^/]+)/[^/]+$', 2)::date as landing_day
"""
# With one of these in a path, delta-rs aborts the whole process or looks for the table elsewhere.
KEY_FOR_DELTA = re.compile(r"[A-Za-z0-9._=/-]+")
NOT_FOR_DELTA = re.compile(r"[\[\]^|\\\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}")


def open_duckdb(memory_mb: int = DUCKDB_MEMORY_MB, threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB in UTC, whatever the machine's time zone is. Defines the macro `utc(moment)`.

    `utc` converts to a timestamp without a time zone, whose calendar fields take at most a quarter of the time.

    Args:
        memory_mb: The memory limit. DuckDB moves the rest to temporary files.
        threads: The most threads of a statement. None: one for each core.
    """
    # Temporary files contain customers' usage, and DuckDB makes them readable for every user of the machine. So they
    # go into a folder that only this user can enter. Each DuckDB gets its own, as all give their files the same names.
    memory = f"{memory_mb}MB"
    folder = mkdtemp(prefix="fly_billing-duckdb-")
    connection = duckdb.connect(config={"memory_limit": memory, "temp_directory": f"{folder}/spilled"})
    if threads is not None:
        connection.execute(f"set threads = {threads}")
    weakref.finalize(connection, rmtree, folder, ignore_errors=True)
    connection.execute("set TimeZone = 'UTC'")
    # This optimizer keeps everything that a statement reads twice: all events of a month. Reading them twice is faster.
    connection.execute("set disabled_optimizers = 'common_subplan'")
    connection.execute("create temp macro utc(moment) as make_timestamp(epoch_us(moment))")
    return connection


# One row per meter that reads an event. An event that several meters read is one row of the table, so that it lands,
# repeats and counts once. There `meter` is the event's type and `dimensions` are [{meter, quantity, dimensions}, ...].
MEASUREMENTS = """
    select
        * exclude (measurement) replace (
            measurement.meter as meter, measurement.quantity::decimal(38, 15) as quantity,
            measurement.dimensions as dimensions
        )
    from (
        select *, unnest(from_json(
            dimensions, '[{{"meter": "VARCHAR", "quantity": "VARCHAR", "dimensions": "VARCHAR"}}]'
        )) as measurement
        from {shared}
        where starts_with(dimensions, '[')
    )
"""


class UsageVersionGone(Exception):
    """A version of the usage table that an invoice refers to can't be read. The message says why."""


class VersionOfAnotherTable(UsageVersionGone):
    """The version was in a table that has been replaced, or is newer than this table."""


def delta_uri(path: Place) -> str:
    """Return the table's address for delta-rs. Raises UsageTableError if delta-rs can't use the path."""
    if isinstance(path, StoreFolder):
        if not KEY_FOR_DELTA.fullmatch(path.key):
            raise UsageTableError(
                f"the usage table can't be in {path}: its folder needs a name of ASCII letters, digits, and `.`, `_`,"
                " `=`, `-` or `/`. Set FLY_BILLING_LAKE_DIR to another folder"
            )
        return str(path)
    try:
        path = path.resolve()
    except RuntimeError as loop:  # Python 3.11 and 3.12 raise this for links that form a loop
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from loop
    if problem := NOT_FOR_DELTA.search(str(path)):
        raise UsageTableError(
            f"the usage table can't be in {readable_name(path)}: Delta Lake can't use a path that contains"
            f" {readable_name(problem[0])!r}. Set FLY_BILLING_LAKE_DIR to another folder"
        )
    return path.as_uri()


class UsageTableVersion:
    """One version of the usage table, for reading.

    Attributes:
        delta: The Delta table; None (no rows) if no usage was ever landed.
        shift: A version in Postgres minus the same version in the Delta log.
        first_version: The first version with this shift, as numbered in Postgres.
        older: The versions from before a repair, as (first, last, shift).
    """

    def __init__(
        self,
        usage_table: UsageTable,
        delta: DeltaTable | None,
        shift: int = 0,
        first_version: int = 0,
        older: Sequence[tuple[int, int, int]] = (),
    ) -> None:
        self.usage_table = usage_table
        self.path = usage_table.path
        self.memory_mb = usage_table.memory_mb
        self.delta = delta
        self.shift = shift
        self._first_version = first_version
        self._older = older

    @property
    def version(self) -> int:
        """The version as numbered in Postgres: it increases with every landing, also after a repair."""
        return self.delta.version() + self.shift if self.delta else 0

    @cached_property
    def data_files(self) -> list[DataFile]:
        return list_data_files(self.delta) if self.delta else []

    @property
    def partitions(self) -> dict[PartitionKey, Partition]:
        """Return the partitions that have rows, according to the Delta log."""
        return sum_partitions(self.path, self.data_files)

    def open_view(
        self,
        connection: duckdb.DuckDBPyConnection,
        view: str,
        month: BillingMonth | None = None,
        days: Collection[date] | None = None,
        version: int | None = None,
        since: date | None = None,
        *,
        by_meter: bool = False,
    ) -> int:
        """Create `view` in `connection` with the selected events. An empty selection gives an empty view.

        Args:
            month: Only this usage month.
            days: Only these landing days.
            version: This version instead of the table's own.
            since: Only landing days from this one on.
            by_meter: Give a row per meter for each event that several meters read, instead of one row for all.

        Returns:
            The version of the table that the view reads.

        Raises:
            UsageTableMismatch, UsageVersionGone: As in `files`.
        """
        chosen = self._chosen(month, days, version, since)
        relation = self._relation(connection, chosen)
        shared = [file for file in chosen if file.may_be_shared] if by_meter else []
        if shared:
            plain = relation.filter("not starts_with(dimensions, '[')")
            relation = plain.union(self._by_meter(connection, shared, view))
        relation.create_view(view, replace=True)
        return self.version if version is None else version

    def _by_meter(
        self, connection: duckdb.DuckDBPyConnection, files: Sequence[DataFile], view: str
    ) -> duckdb.DuckDBPyRelation:
        # A view refers to this one by name, so each needs its own.
        self._relation(connection, files).create_view(f"shared_{view}", replace=True)
        return connection.sql(MEASUREMENTS.format(shared=f"shared_{view}"))

    def _relation(self, connection: duckdb.DuckDBPyConnection, files: Sequence[DataFile]) -> duckdb.DuckDBPyRelation:
        if not files:
            return connection.from_arrow(EVENTS.empty_table())
        paths = [path_for_duckdb(self.usage_table.local_folder / file.path) for file in files]
        found = connection.read_parquet(paths, filename=True, hive_partitioning=False)
        return found.project(f"* exclude (filename), {PARTITIONS_OF_FILE}")

    def files(
        self,
        month: BillingMonth | None = None,
        days: Collection[date] | None = None,
        version: int | None = None,
        since: date | None = None,
    ) -> tuple[int, list[Path]]:
        """Return the table version and the paths of the selected Parquet files. Selects as `open_view` does.

        The files of a table in an object store are copied to the local disk first, unless they were copied before.

        Raises:
            UsageTableMismatch: A file is missing or its size differs from the Delta log.
            UsageVersionGone: The table does not have this version, or does not have it any more.
        """
        chosen = self._chosen(month, days, version, since)
        folder = self.usage_table.local_folder
        return self.version if version is None else version, [folder / file.path for file in chosen]

    def open_changes(self, connection: duckdb.DuckDBPyConnection, view: str, month: BillingMonth, version: int) -> None:
        """Create `view` with the events of all data files of the month that differ between `version` and this version.

        Raises:
            UsageTableMismatch, UsageVersionGone: As in `files`.
        """
        after = self._chosen(month, None, None, None)
        before = after if version == self.version else self._chosen(month, None, version, None)
        kept = {file.path for file in before} & {file.path for file in after}
        changed = [file for file in [*before, *after] if file.path not in kept]
        self._relation(connection, changed).create_view(view, replace=True)

    def may_be_shared(self, month: BillingMonth) -> bool:
        """Return False if the Delta log rules out that the month has events that several meters read."""
        return any(file.may_be_shared for file in self.data_files if file.month == str(month))

    def _chosen(
        self, month: BillingMonth | None, days: Collection[date] | None, version: int | None, since: date | None
    ) -> list[DataFile]:
        found = self.data_files if version in (None, self.version) else list_data_files(self.at(version))
        chosen = [
            file
            for file in found
            if (month is None or file.month == str(month))
            and (days is None or file.day in days)
            and (since is None or file.day >= since)
        ]
        if damaged := self.usage_table.find_damaged(chosen):
            names = "; ".join(damaged[:3]) + ("; ..." if len(damaged) > 3 else "")
            read = "" if version is None else f" of version {version}"
            raise UsageTableMismatch(
                self.path,
                f"{counted(len(chosen), 'data file')}{read} as its log lists them",
                f"{len(damaged)} damaged: {names}",
            )
        return chosen

    def opened_at(self, version: int) -> UsageTableVersion:
        """Return a version as numbered in Postgres, which was compared with Postgres when it was the last one.

        Raises:
            UsageTableMismatch: It can't be read any more.
        """
        if version == self.version:
            return self
        try:
            return UsageTableVersion(
                self.usage_table, self.at(version), self._shift_of(version), self._first_version, self._older
            )
        except UsageVersionGone as problem:
            raise UsageTableMismatch(self.path, f"version {version}", str(problem)) from None

    def at(self, version: int) -> DeltaTable:
        """Open a version as numbered in Postgres.

        Raises:
            VersionOfAnotherTable: The present table never had this version.
            UsageVersionGone: The table can't be read at this version, now or ever again.
        """
        if self.delta is None:
            raise VersionOfAnotherTable("no usage was ever landed")
        shift = self._shift_of(version)
        try:
            return self.usage_table.delta(version - shift)
        except (DeltaError, OSError, ValueError) as problem:
            raise UsageVersionGone(describe_delta_error(problem)) from None

    def _shift_of(self, version: int) -> int:
        if self._first_version <= version <= self.version:
            return self.shift
        for first, last, shift in self._older:
            if first <= version <= last:
                return shift
        raise VersionOfAnotherTable(
            f"the table has versions {self._first_version} to {self.version}"
            if version > self.version
            else "it was in a table that has been replaced"
        )


@dataclass(frozen=True)
class UsageTable:
    """The place of the usage table. The table keeps duplicates, marked as such, so that a new landing can promote them.

    Attributes:
        memory_mb: The memory limit of each DuckDB that reads or writes the table.
        copies: The local copies of its files; only a table in an object store needs them.
    """

    path: Place
    memory_mb: int = DUCKDB_MEMORY_MB
    copies: LocalCopies | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> UsageTable:
        """Return the table in FLY_BILLING_LAKE_DIR, with the memory limit FLY_BILLING_MEMORY_MB."""
        return cls(settings.lake_dir, settings.memory_mb, LocalCopies(settings.copies_dir, settings.copies_mb * 10**6))

    @property
    def local_folder(self) -> Path:
        """The folder on this disk with the files of the table, or with their copies. The key index is there, too."""
        if isinstance(self.path, Path):
            return self.path
        assert self.copies is not None, "a table in an object store is made with `from_settings`"
        return self.copies.folder_of(self.path)

    @property
    def is_in_store(self) -> bool:
        """Return True if the table is in an object store: other machines may land into it, with their own key index."""
        return isinstance(self.path, StoreFolder)

    @property
    def _options(self) -> dict[str, str] | None:
        return delta_options(self.path) if isinstance(self.path, StoreFolder) else None

    def exists(self) -> bool:
        if isinstance(self.path, StoreFolder):
            delta_uri(self.path)
            return exists(self.path / "_delta_log")  # delta-rs would list the whole log
        return DeltaTable.is_deltatable(delta_uri(self.path))

    def create(self) -> DeltaTable:
        """Create the empty table (version 0): only for a platform's first landing and a repair with --new-table."""
        uri = delta_uri(self.path)
        if isinstance(self.path, Path):
            make_folder(self.path)
        return DeltaTable.create(
            uri, EVENTS, partition_by=PARTITIONS, mode="error", storage_options=self._options,
            configuration=SHORT_LOG if self.is_in_store else None,
        )  # fmt: skip

    def delta(self, version: int | None = None) -> DeltaTable:
        """Open a version as numbered in the Delta log, the latest by default. Raises DeltaError or OSError."""
        return DeltaTable(delta_uri(self.path), version=version, storage_options=self._options)

    def latest(self, known: DeltaTable) -> DeltaTable:
        """Open the latest version, of which `known` or a later one is it. Raises DeltaError or OSError."""
        following = f"{known.version() + 1:020}.json"
        if isinstance(self.path, StoreFolder) and not exists(self.path / "_delta_log" / following):
            return known
        return self.delta()

    def describe(self, problem: Exception) -> str:
        """Describe an error of delta-rs in one line."""
        if isinstance(self.path, StoreFolder):
            return describe_store_error(self.path, str(problem))
        return describe_delta_error(problem)

    def describe_absence(self) -> str:
        """Return what is at the place of a table that is not there, for a message."""
        if isinstance(self.path, StoreFolder):
            try:
                check_bucket(self.path)
            except OSError as problem:
                return problem.strerror or str(problem)
            return "no usage table"
        if not self.path.is_dir():
            return "no such folder"
        return "no usage table" if any(self.path.iterdir()) else "an empty folder"

    def find_damaged(self, files: Sequence[DataFile]) -> list[str]:
        """Describe each file that is missing, is not of the size in the Delta log, or is not a Parquet file.

        In an object store, files never change once they are written. So a file with a local copy counts as undamaged.
        """
        if isinstance(self.path, Path) or self.copies is None:
            return find_damaged_files(self.local_folder, files)
        problems = self.copies.fetch(self.path, {file.path: file.bytes for file in files})
        copied = [file for file in files if file.path not in problems]
        missing = [f"{name} ({problem})" for name, problem in problems.items()]
        return missing + find_damaged_files(self.local_folder, copied)

    def find_unreadable(self, files: Sequence[DataFile]) -> list[str]:
        """Like `find_damaged`, but read every row, which also finds damaged content of the right size.

        Does not notice a changed byte that still decodes: these Parquet files have no checksums. Fetches the files of a
        table in an object store again.
        """
        if isinstance(self.path, StoreFolder) and self.copies is not None:
            self.copies.forget(self.path, [file.path for file in files])
        damaged = []
        for file in files:
            if wrong := self.find_damaged([file]):
                damaged += wrong
                continue
            try:
                rows = count_rows(self.local_folder, file)
            except (OSError, ValueError, MemoryError, pa.ArrowException) as problem:
                damaged.append(f"{file.path} ({describe_delta_error(problem)})")
                continue
            if rows != file.rows:
                damaged.append(f"{file.path} ({counted(rows, 'row')}, not {file.rows})")
        return damaged

    def replace_days(self, days: Sequence[date], events: pa.RecordBatchReader | pa.Table) -> DeltaTable:
        """Replace the whole content of these landing days by `events` in one atomic commit. Returns the new version.

        Raises:
            UsageTableError: The object store refused it.
        """
        listed = ", ".join(f"'{day.isoformat()}'" for day in days)
        with self._described():
            table = self.delta()
            write_deltalake(
                table,
                events,
                mode="overwrite",
                predicate=f"landing_day in ({listed})",
                partition_by=PARTITIONS,
                writer_properties=FILES,
                post_commithook_properties=KEEP_LOG,
            )
        return table

    def commit_files(self, files: Sequence[AddAction], replaced: Collection[date] | None = None) -> DeltaTable:
        """Add these data files in one atomic commit. Returns the new version.

        Args:
            files: From `new_data_files.write_data_files`.
            replaced: The landing days whose other files this version no longer has; None: it has all of them.

        Raises:
            UsageTableError: Another program changed the table meanwhile, or the object store refused the commit.
        """
        days = [day.isoformat() for day in replaced or ()]
        with self._described():
            table = self.delta()
            before = table.version()
            try:
                table.create_write_transaction(
                    list(files),
                    "append" if replaced is None else "overwrite",
                    EVENTS,
                    PARTITIONS,
                    partition_filters=None if replaced is None else [("landing_day", "in", days)],
                    commit_properties=ONLY_ON_TOP,
                    post_commithook_properties=KEEP_LOG,
                )
            except CommitFailedError:
                if self.delta().version() == before:
                    raise
                raise UsageTableError(
                    f"another program wrote version {before + 1} of the usage table {self.path} while this landing"
                    " wrote it, too. Nothing was landed: land again"
                ) from None
            table.update_incremental()
        return table

    @contextmanager
    def _described(self) -> Iterator[None]:
        """Convert what delta-rs raises about an object store."""
        try:
            yield
        except (DeltaError, OSError) as problem:
            if not isinstance(self.path, StoreFolder):
                raise
            raise UsageTableError(f"the usage table {self.path} can't be written: {self.describe(problem)}") from None


def count_events_by_day(table: UsageTableVersion, days: Sequence[date]) -> Mapping[date, tuple[int, int]]:
    """Count the events in the table by landing day, by reading them: (accepted, duplicate)."""
    with open_duckdb(table.memory_mb) as duck:
        table.open_view(duck, "events", days=days)
        found = duck.execute(sql("count_events_by_day"), {"days": list(days)}).fetchall()
    return {day: (accepted, duplicate) for day, accepted, duplicate in found}
