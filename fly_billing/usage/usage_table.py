"""The usage table: a Delta table of every accepted usage event, partitioned by usage month and landing day.

`UsageTable` writes it. `UsageTableVersion` is one version of it, for reading; readers get it
from `landing_ledger.open_against_ledger`, which compares the table with Postgres first. DuckDB reads a table through
its file list. A version never changes, so what was rolled up from it can be rolled up again. Keeps out: file formats
(`readers.files`), Postgres (`landing`, `landing_ledger`), prices.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import weakref
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, PostCommitHookProperties, write_deltalake
from deltalake.exceptions import DeltaError

from fly_billing.errors import ActionableError
from fly_billing.output_files import make_folder
from fly_billing.periods import BillingMonth
from fly_billing.postgres.statements import sql
from fly_billing.settings import DUCKDB_MEMORY_MB, Settings
from fly_billing.usage.landing_folder import path_for_duckdb, readable_name

# Quantities have up to 15 decimals; a sum of them has room for 23 digits before the point.
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
# Delta would remove log files older than 30 days, and with them versions that invoices name.
KEEP_LOG = PostCommitHookProperties(cleanup_expired_logs=False)


# Which month and landing day a file has is told by the table's log. Its last two folders say the same (`data_files`
# sees to that), and DuckDB has them at hand. Those above are not the table's, whatever they are called.
PARTITIONS_OF_FILE = r"""
    regexp_extract(filename, '/usage_month=([^/]+)/landing_day=([^/]+)/[^/]+$', 1) as usage_month,
    regexp_extract(filename, '/usage_month=([^/]+)/landing_day=([^/]+)/[^/]+$', 2)::date as landing_day
"""
# How delta-rs writes a cause below an error, in color.
_CAUSE = re.compile(r"\s*(?:\x1b\[[0-9;]*m)?↳(?:\x1b\[[0-9;]*m)?\s*")
# With these in a path, delta-rs stops the whole process, or looks for the table elsewhere.
NOT_FOR_DELTA = re.compile(r"[\[\]^|\\\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}")


class UsageTableError(ActionableError):
    """The usage table can't be where it is, or as it is; the message says what to do."""


def open_duckdb(memory_mb: int = DUCKDB_MEMORY_MB) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB whose clock is UTC, whatever the machine's zone is, with the macro `utc(moment)`.

    `utc` gives the same moment as a timestamp without a zone: its calendar parts take a quarter of the time, or less.

    Args:
        memory_mb: How many MB it may hold in memory; the rest goes to temporary files. `UsageTable.memory_mb`.
    """
    # The files are in the system's temporary folder. Each DuckDB has a folder of its own there, as DuckDB gives the
    # files the same names everywhere. The folder around it is this user's alone: DuckDB makes its files readable for
    # everybody on the machine, and customers' usage is in them.
    memory = f"{memory_mb}MB"
    folder = mkdtemp(prefix="fly_billing-duckdb-")
    connection = duckdb.connect(config={"memory_limit": memory, "temp_directory": f"{folder}/spilled"})
    weakref.finalize(connection, rmtree, folder, ignore_errors=True)
    connection.execute("set TimeZone = 'UTC'")
    # It keeps what a statement reads twice, here all events of a month: to read them again costs half of that at most.
    connection.execute("set disabled_optimizers = 'common_subplan'")
    connection.execute("create temp macro utc(moment) as make_timestamp(epoch_us(moment))")
    return connection


class UsageTableMismatch(ActionableError):
    """The usage table is not the one that Postgres has on record, or not all of it can be read.

    The message is one line: which table, what was expected, what was found, and what to do.
    """

    def __init__(self, path: Path, expected: str, found: str) -> None:
        super().__init__(
            f"the usage table {path} does not agree with the billing database: expected {expected}; found {found}."
            " Nothing was read from it, booked or closed. Make sure that its share is mounted and that"
            " FLY_BILLING_LAKE_DIR is right; if the table itself is damaged, bring it back from a backup or run"
            " `fly-billing land --repair`, which shows first what it would land again"
        )


# What `dimensions` begin with where several meters read the event: a JSON array of what each measured, not an object.
SHARED = "["
# One row per meter that reads an event. An event that several read is one row of the table, so that it lands, repeats
# and is counted as one: `meter` is its type there, and `dimensions` are [{meter, quantity, dimensions}, ...].
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
    """A version of the usage table that was billed can't be read any more. The message says why."""


@dataclass(frozen=True)
class Part:
    """The rows of one landing day and usage month, duplicates included, and an MD5 of its files' names and sizes."""

    rows: int
    files: str


@dataclass(frozen=True)
class DataFile:
    """A Parquet file that a version of the table consists of. `rows` and `bytes` as the Delta log has them.

    `may_be_shared`: it may have events that several meters read.
    """

    path: str
    bytes: int
    rows: int | None
    month: str
    day: date
    may_be_shared: bool = False


# (landing day, first day of the usage month): what a landing replaces, and a month reads.
PartKey = tuple[date, date]


def delta_uri(path: Path) -> str:
    """Return where the table is, as delta-rs has to be told. Raises LakeError where delta-rs can't get there."""
    try:
        path = path.resolve()
    except RuntimeError as loop:  # what Python 3.11 and 3.12 say of links that lead back to themselves
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from loop
    if problem := NOT_FOR_DELTA.search(str(path)):
        raise UsageTableError(
            f"the usage table can't be in {readable_name(path)}: Delta Lake can't use a path with"
            f" {readable_name(problem[0])!r} in it. Name another folder in FLY_BILLING_LAKE_DIR"
        )
    return path.as_uri()


class UsageTableVersion:
    """One version of the usage table, to read. `delta` is None where nothing was ever landed: it has no rows then.

    A version in Postgres is the one in the Delta log + `shift`, from `first_version` on. `older` lists the versions
    that the table has from before a repair, as (first, last, shift).
    """

    def __init__(
        self,
        path: Path,
        delta: DeltaTable | None,
        shift: int = 0,
        first_version: int = 0,
        older: Sequence[tuple[int, int, int]] = (),
        memory_mb: int = DUCKDB_MEMORY_MB,
    ) -> None:
        self.path = path
        self.memory_mb = memory_mb
        self.delta = delta
        self.shift = shift
        self._first_version = first_version
        self._older = older

    @property
    def version(self) -> int:
        """The version as Postgres has it: it grows with every landing, whatever table it went into."""
        return self.delta.version() + self.shift if self.delta else 0

    @cached_property
    def data_files(self) -> list[DataFile]:
        return data_files(self.delta) if self.delta else []

    @property
    def parts(self) -> dict[PartKey, Part]:
        """Return what the table's own log says of each part that has rows."""
        return parts_of(self.path, self.data_files)

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
        """Make `view` in `connection`: that month's events (or all), of those landing days (or all), landed `since`.

        `by_meter`: an event that several meters read is a row for each of them, not one for all (MEASUREMENTS). Returns
        the table version read. An empty selection gives an empty view. Raises as `files`.
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
        # The view reads it by its name, so each view has one of its own.
        self._relation(connection, files).create_view(f"shared_{view}", replace=True)
        return connection.sql(MEASUREMENTS.format(shared=f"shared_{view}"))

    def _relation(self, connection: duckdb.DuckDBPyConnection, files: Sequence[DataFile]) -> duckdb.DuckDBPyRelation:
        if not files:
            return connection.from_arrow(EVENTS.empty_table())
        paths = [path_for_duckdb(self.path / file.path) for file in files]
        found = connection.read_parquet(paths, filename=True, hive_partitioning=False)
        return found.project(f"* exclude (filename), {PARTITIONS_OF_FILE}")

    def files(
        self,
        month: BillingMonth | None = None,
        days: Collection[date] | None = None,
        version: int | None = None,
        since: date | None = None,
    ) -> tuple[int, list[Path]]:
        """Return the table version, and its Parquet files of that month, those landing days, landed `since`.

        Raises UsageTableMismatch where one of them is missing or has another size than in the table's log, and
        UsageVersionGone where the table does not have that version (any more).
        """
        chosen = self._chosen(month, days, version, since)
        return self.version if version is None else version, [self.path / file.path for file in chosen]

    def may_be_shared(self, month: BillingMonth) -> bool:
        """Tell whether the month may have events that several meters read. What the table's log says decides."""
        return any(file.may_be_shared for file in self.data_files if file.month == str(month))

    def _chosen(
        self, month: BillingMonth | None, days: Collection[date] | None, version: int | None, since: date | None
    ) -> list[DataFile]:
        found = self.data_files if version in (None, self.version) else data_files(self._at(version))
        chosen = [
            file
            for file in found
            if (month is None or file.month == str(month))
            and (days is None or file.day in days)
            and (since is None or file.day >= since)
        ]
        if damaged := damaged_files(self.path, chosen):
            names = "; ".join(damaged[:3]) + ("; ..." if len(damaged) > 3 else "")
            read = "" if version is None else f" of version {version}"
            raise UsageTableMismatch(
                self.path, f"{len(chosen)} data files{read} as its log lists them", f"{len(damaged)} damaged: {names}"
            )
        return chosen

    def _at(self, version: int) -> DeltaTable:
        if self.delta is None:
            raise UsageVersionGone("no usage was ever landed")
        shift = self._shift_of(version)
        try:
            return DeltaTable(delta_uri(self.path), version=version - shift)
        except (DeltaError, OSError, ValueError) as problem:
            raise UsageVersionGone(first_line(problem)) from None

    def _shift_of(self, version: int) -> int:
        if self._first_version <= version <= self.version:
            return self.shift
        for first, last, shift in self._older:
            if first <= version <= last:
                return shift
        raise UsageVersionGone(
            f"the table has versions {self._first_version} to {self.version}"
            if version > self.version
            else "it was in a table that was replaced by another one"
        )


@dataclass(frozen=True)
class UsageTable:
    """Where the usage table is. Duplicates are kept in it, marked, so that none can be lost when a day lands again.

    Attributes:
        memory_mb: How many MB each DuckDB that reads or writes the table may hold in memory.
    """

    path: Path
    memory_mb: int = DUCKDB_MEMORY_MB

    @classmethod
    def from_settings(cls, settings: Settings) -> UsageTable:
        """Return the table that FLY_BILLING_LAKE_DIR names, read with FLY_BILLING_MEMORY_MB."""
        return cls(settings.lake_dir, settings.memory_mb)

    def exists(self) -> bool:
        return DeltaTable.is_deltatable(delta_uri(self.path))

    def create(self) -> DeltaTable:
        """Make the empty table (version 0). Only the first landing of a platform does, and a repair that is told to."""
        uri = delta_uri(self.path)
        make_folder(self.path)
        return DeltaTable.create(uri, EVENTS, partition_by=PARTITIONS, mode="error")

    def delta(self, version: int | None = None) -> DeltaTable:
        """Open a version as the Delta log numbers them, the latest by default. Raises DeltaError or OSError."""
        return DeltaTable(delta_uri(self.path), version=version)

    def replace_days(self, days: Sequence[date], events: pa.RecordBatchReader | pa.Table) -> DeltaTable:
        """Make `events` the whole content of these landing days, in one atomic commit. Returns the new version."""
        listed = ", ".join(f"'{day.isoformat()}'" for day in days)
        table = self.delta()
        write_deltalake(
            table,
            events,
            mode="overwrite",
            predicate=f"landing_day in ({listed})",
            partition_by=PARTITIONS,
            post_commithook_properties=KEEP_LOG,
        )
        return self.delta()


def data_files(delta: DeltaTable) -> list[DataFile]:
    """List the files of this version, as the Delta log has them: no data is read."""
    found = pa.table(delta.get_add_actions(flatten=True))
    names = ("path", "size_bytes", "num_records", "partition.usage_month", "partition.landing_day")
    nothing = [None] * found.num_rows
    # Where the log does not say which is the first, there may be any.
    firsts = found["min.dimensions"].to_pylist() if "min.dimensions" in found.column_names else nothing
    files = []
    for place, size, rows, month, day, first in zip(*(found[name].to_pylist() for name in names), firsts, strict=True):
        # `PARTITIONS_OF_FILE` relies on it.
        folder, name = f"usage_month={month}/landing_day={day}/", unquote(place).rpartition("/")[2]
        if unquote(place) != folder + name:
            raise UsageTableError(
                f"a file of the usage table is not in the folder of its month and landing day: {place}"
            )
        if not name.isprintable():
            raise UsageTableError(
                f"the log of the usage table names what is no file: {readable_name(unquote(place))!r}"
            )
        files.append(DataFile(folder + name, size, rows, month, day, first is None or first.startswith(SHARED)))
    return files


def parts_of(path: Path, files: Iterable[DataFile]) -> dict[PartKey, Part]:
    """Add files up by landing day and usage month. Raises UsageTableMismatch where the log does not say their rows."""
    grouped: dict[PartKey, list[DataFile]] = defaultdict(list)
    for file in files:
        grouped[file.day, BillingMonth.parse(file.month).first_day].append(file)
    parts = {}
    for key, some in grouped.items():
        if any(file.rows is None for file in some):
            raise UsageTableMismatch(path, "the number of rows of each file in its log", f"none for {some[0].path}")
        listed = "\n".join(sorted(f"{file.path} {file.bytes}" for file in some))
        digest = hashlib.md5(listed.encode(), usedforsecurity=False).hexdigest()
        parts[key] = Part(sum(file.rows or 0 for file in some), digest)
    return parts


PARQUET_END = b"PAR1"


def damaged_files(path: Path, files: Iterable[DataFile]) -> list[str]:
    """Say what is wrong with each file that is missing, has another size than the Delta log says, or is no Parquet."""
    damaged = []
    for file in files:
        try:
            with (path / file.path).open("rb") as content:
                size = content.seek(0, os.SEEK_END)
                content.seek(max(0, size - len(PARQUET_END)))
                end = content.read()
        except OSError as problem:
            damaged.append(f"{file.path} ({problem.strerror or problem})")
            continue
        if size != file.bytes:
            damaged.append(f"{file.path} ({size} bytes, not {file.bytes})")
        elif end != PARQUET_END:
            damaged.append(f"{file.path} (overwritten: it does not end as a Parquet file)")
    return damaged


def unreadable_files(path: Path, files: Iterable[DataFile]) -> list[str]:
    """As `damaged_files`, but reads every row: also a file of the right size whose content is not what it was.

    A changed byte that still makes a value goes unnoticed: Parquet has no checksums here.
    """
    damaged = []
    for file in files:
        if wrong := damaged_files(path, [file]):
            damaged += wrong
            continue
        try:
            with pq.ParquetFile(path / file.path) as content:
                rows = sum(batch.num_rows for batch in content.iter_batches())
        except (OSError, ValueError, MemoryError, pa.ArrowException) as problem:
            damaged.append(f"{file.path} ({first_line(problem)})")
            continue
        if rows != file.rows:
            damaged.append(f"{file.path} ({rows} rows, not {file.rows})")
    return damaged


def first_line(problem: Exception) -> str:
    """Return what went wrong in one line, with the causes that delta-rs names."""
    return (_CAUSE.sub(": ", str(problem)).strip() or type(problem).__name__).splitlines()[0]


def count_by_day(table: UsageTableVersion, days: Sequence[date]) -> Mapping[date, tuple[int, int]]:
    """Count what the table holds per landing day, by reading the events themselves: (accepted, duplicate)."""
    with open_duckdb(table.memory_mb) as duck:
        table.open_view(duck, "events", days=days)
        found = duck.execute(sql("count_lake_by_day"), {"days": list(days)}).fetchall()
    return {day: (accepted, duplicate) for day, accepted, duplicate in found}
