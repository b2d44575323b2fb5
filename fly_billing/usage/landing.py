"""Lands usage: reads the files of landing days into the usage table and records every row in Postgres.

A landing replaces all earlier content of its day, so landing a day twice changes nothing. No row is lost: for each
file, landed = accepted + duplicate + rejected, and a constraint of the database checks it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from operator import attrgetter
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from sqlalchemy import Connection

from fly_billing.money import counted
from fly_billing.object_store.address import Place
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, Row, copy_rows, lock_until_commit, records, rows
from fly_billing.postgres.statements import sql
from fly_billing.usage.checks import LandingCounts
from fly_billing.usage.data_files import PartitionKey
from fly_billing.usage.key_index import KeyIndex, Words, find_repeated, make_entries
from fly_billing.usage.landing_folder import (
    LandingError,
    LandingFile,
    check_landing_folder,
    describe_error,
    list_day_folders,
    list_files,
    readable_name,
    size_of,
)
from fly_billing.usage.landing_ledger import acknowledge_version, open_for_landing, register_usage_table
from fly_billing.usage.landing_staging import StagedFiles, stage_files
from fly_billing.usage.readers.compressed_files import ENDINGS as PACKED
from fly_billing.usage.readers.json_lines import register_json_functions
from fly_billing.usage.source_contracts import SourceContracts
from fly_billing.usage.usage_table import EVENTS, UsageTable, UsageTableVersion, open_duckdb

FILE_COLUMNS = ("landing_day", "path", "sha256", "bytes", "landed", "accepted", "duplicate", "rejected")
REJECTED_COLUMNS = (
    "landing_day",
    "path",
    "line",
    "reason",
    "message",
    "source",
    "event_id",
    "meter",
    "organization_id",
    "raw",
    "happened_at",
    "quantity",
    "read_dimensions",
)


# Equals about a million rows of Parquet.
BYTES_AT_ONCE = 48 * 2**20
# Limits the rejected rows in memory. Each keeps its full text, up to 1 MB.
ROWS_AT_ONCE = 1000
# Estimates the uncompressed size of a compressed file when days are split into batches.
PACKED_TIMES = 10


class DaysNotLanded(LandingError):
    """Some landing days could not be landed. Nothing changed for them; all other days landed.

    Attributes:
        failures: The reason and what to do, per day.
        files: The files of the days that landed.
    """

    def __init__(self, failures: Mapping[date, str], files: Sequence[LandedFile] = ()) -> None:
        reasons = "; ".join(f"{day}: {failures[day]}" for day in sorted(failures))
        super().__init__(f"these days were not landed and are unchanged: {reasons}")
        self.failures = dict(failures)
        self.files = list(files)


@dataclass(frozen=True)
class LandedFile:
    """The row counts of one file.

    Attributes:
        day: The landing day.
        path: The file's path below that day's folder, as readable text.
        sha256: In hexadecimal; empty if the file could not be read.
        landed: Rows in the file: accepted + duplicate + rejected.
    """

    day: date
    path: str
    sha256: str
    bytes: int
    landed: int
    accepted: int
    duplicate: int
    rejected: int


# Returns the values in the order of FILE_COLUMNS.
_AS_ROW = attrgetter("day", *FILE_COLUMNS[1:])


@dataclass(frozen=True)
class _FilePlace:
    """The place of a file: its landing day, and its path below that day's folder."""

    landing_day: date
    path: str


@dataclass(frozen=True)
class _Meter:
    """A meter.

    Attributes:
        property: The property that its aggregation needs besides dimensions, if any.
        event_type: The type of the events that it reads.
        quantity_of: The property with the quantity; None for `quantity`.
        is_shared: It reads a type that other meters read too, or another property than `quantity`.
    """

    key: str
    dimensions: list[str]
    aggregation: str
    property: str | None
    time_unit: int | None
    event_step: Decimal | None
    event_round: str | None
    event_type: str
    quantity_of: str | None
    is_shared: bool
    needs_quantity: bool


def land_days(
    database: BillingDatabase,
    usage_table: UsageTable,
    landing_dir: Place,
    days: Sequence[date],
    first_month: BillingMonth,
    now: datetime,
    progress: Callable[[str], None] = lambda _: None,
    contracts: SourceContracts | None = None,
) -> list[LandedFile]:
    """Land these days in batches of up to `BYTES_AT_ONCE`. Each batch is committed before the next one starts.

    Args:
        contracts: Of the declared sources; gets what each of them brought. None: none is declared.

    Raises:
        DaysNotLanded: Some days can't be landed: the folder can't be read, or it is missing although its files were
            landed before. Raised after all other days have landed.
        LandingError: The landing folder is missing, or contains no day folder although days were landed before.
        UsageTableMismatch: This is not the usage table that earlier landings wrote.
    """
    check_landing_folder(landing_dir)
    _refuse_empty_share(database, landing_dir)
    register_usage_table(database, usage_table)

    def land(some: Sequence[date]) -> list[LandedFile]:
        with database.transaction() as connection:
            lock_until_commit(connection, "land_usage")
            return land_batch(connection, usage_table, landing_dir, some, first_month, now, progress, contracts)

    landed: list[LandedFile] = []
    failures: dict[date, str] = {}
    for some in split_into_batches(landing_dir, days):
        try:
            landed += _land_what_can_be(land, some)
        except DaysNotLanded as problem:
            landed += problem.files
            failures |= problem.failures
    if failures:
        raise DaysNotLanded(failures, landed)
    return landed


def _refuse_empty_share(database: BillingDatabase, landing_dir: Place) -> None:
    """Raise LandingError if files were landed before and no day folder exists now: an unmounted share looks like this.

    Without this check, days that never landed would count as days without usage.
    """
    (last,) = database.values("last_day_with_files")
    if last and not list_day_folders(landing_dir):
        raise LandingError(
            f"{landing_dir / last.isoformat()} and the folders of all other landed days are missing. Is"
            f" {landing_dir} mounted? Nothing was landed. If you moved them on purpose, create a folder for today"
        )


def _land_what_can_be(land: Callable[[Sequence[date]], list[LandedFile]], days: Sequence[date]) -> list[LandedFile]:
    """Land the days together. If some of them fail, land the others and raise DaysNotLanded for the failed ones."""
    try:
        return land(days)
    except DaysNotLanded as problem:
        failures = problem.failures
        left = [[day for day in days if day not in failures]]
    except (duckdb.Error, pa.ArrowException, MemoryError) as problem:
        if len(days) == 1:
            raise DaysNotLanded({days[0]: describe_error(problem)}) from problem
        # The error does not name the day, so land each day separately.
        failures, left = {}, [[day] for day in days]
    landed: list[LandedFile] = []
    for some in left:
        try:
            landed += _land_what_can_be(land, some) if some else []
        except DaysNotLanded as problem:
            landed += problem.files
            failures |= problem.failures
    if failures:
        raise DaysNotLanded(failures, landed)
    return landed


def split_into_batches(landing_dir: Place, days: Sequence[date]) -> Iterator[list[date]]:
    """Split the days into batches whose files fit into memory together."""
    batch: list[date] = []
    size = 0
    for day in days:
        ours = _bytes_of(landing_dir, day)
        if batch and size + ours > BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append(day)
        size += ours
    if batch:
        yield batch


def _bytes_of(landing_dir: Place, day: date) -> int:
    """Return the approximate size of a day's files; 0 for what can't be read, which the landing itself reports."""
    try:
        return sum(
            size_of(file) * (PACKED_TIMES if file.path.suffix.lower() in PACKED else 1)
            for file in list_files(landing_dir, day)
            if not file.problem
        )
    except OSError:
        return 0


def land_batch(
    connection: Connection,
    usage_table: UsageTable,
    landing_dir: Place,
    days: Sequence[date],
    first_month: BillingMonth,
    now: datetime,
    progress: Callable[[str], None],
    contracts: SourceContracts | None = None,
) -> list[LandedFile]:
    """Land these days together, in the transaction of the caller, who holds the lock `land_usage`.

    Raises the same errors as `land_days`.
    """
    with open_duckdb(usage_table.memory_mb) as duck:
        register_json_functions(duck)
        table = open_for_landing(connection, usage_table, progress)
        index = KeyIndex.open(duck, table, progress)
        files = _files_of(connection, landing_dir, days)
        meters = _register_known(duck, connection)
        staged = stage_files(duck, files, progress, _quantities_of(meters))
        _refuse_to_forget(connection, days, staged)
        duck.execute(sql("measured"))
        duck.execute(sql("validate_usage"), {"first_month": first_month.start})
        contracts = contracts or SourceContracts()
        contracts.apply(duck)
        touched = _settle(duck, connection, table, index, days)
        progress(f"writing {counted(len(touched), 'landing day')} to the usage table")
        written = usage_table.replace_days(touched, _events(duck))
        rows(connection, "mark_days_landed", days=list(days), now=now, lake_version=written.version() + table.shift)
        # The index is written before the landing commits: it may list keys that the table lacks, but never miss one.
        index.commit(duck, table, written)
        # This comes first: the database only lets a transaction that landed a day replace that day's months.
        rows(connection, "mark_days_written", days=touched, lake_version=written.version() + table.shift)
        acknowledge_version(connection, table, written, touched, _counted(duck))
        files_landed = _account(duck, connection, staged, days)
        contracts.count(duck)
        return files_landed


def _counted(duck: duckdb.DuckDBPyConnection) -> dict[PartitionKey, tuple[int, int]]:
    """Count the rows to write, by landing day and usage month: (accepted, accepted and duplicate)."""
    duck.execute(sql("counted"))
    found = duck.execute(sql("count_landed_months")).fetchall()
    return {(day, month): (accepted, number) for day, month, accepted, number in found}


def _files_of(connection: Connection, landing_dir: Place, days: Sequence[date]) -> list[LandingFile]:
    """List the files of these days. Raises DaysNotLanded for days whose folder can't be read completely."""
    landed = {counts.landing_day for counts in records(connection, LandingCounts, "accounted_usage", days=list(days))}
    files: list[LandingFile] = []
    failures: dict[date, str] = {}
    for day in days:
        folder = landing_dir / day.isoformat()
        try:
            files += list_files(landing_dir, day)
        except OSError as problem:
            is_gone = isinstance(problem, FileNotFoundError)
            if not is_gone or (isinstance(folder, Path) and os.path.lexists(folder)):
                where = readable_name(problem.filename or str(folder))
                failures[day] = f"{where} can't be read ({describe_error(problem)}), so its usage is unknown"
            elif day in landed:
                failures[day] = (
                    f"{folder} is missing, but its files were landed before. Landing the day again would delete their"
                    " events. Restore the folder (an empty one if the day really has no usage), then land the day again"
                )
    if failures:
        raise DaysNotLanded(failures)
    return files


def _refuse_to_forget(connection: Connection, days: Sequence[date], staged: StagedFiles) -> None:
    """Raise DaysNotLanded if a file with accepted events can't be read now: landing its day would delete them."""
    brought = set(records(connection, _FilePlace, "files_with_events", days=list(days)))
    failures = {
        file.day: f"{file.place} can't be read now ({problem}). Its accepted events are kept"
        for file, problem in staged.unread.items()
        if _FilePlace(file.day, file.name) in brought
    }
    if failures:
        raise DaysNotLanded(failures)


def _quantities_of(meters: Sequence[_Meter]) -> dict[str, frozenset[str]]:
    """Map each property that a meter reads quantities from, other than `quantity`, to the event types that have it."""
    found: dict[str, set[str]] = defaultdict(set)
    for meter in meters:
        if meter.quantity_of is not None:
            found[meter.quantity_of].add(meter.event_type)
    return {name: frozenset(types) for name, types in found.items()}


def _register_known(duck: duckdb.DuckDBPyConnection, connection: Connection) -> Sequence[_Meter]:
    """Register the organizations and three tables of meters: all, unshared and shared ones. Returns all meters.

    A shared meter reads an event type that other meters read too, or a type or property that differs from its name.
    """
    names = [(name, pa.string()) for name in ("key", "property", "event_type", "quantity_of")]
    schema = pa.schema([*names, ("dimensions", pa.list_(pa.string())), ("needs_quantity", pa.bool_())])
    meters = records(connection, _Meter, "meters")
    for name, some in {
        "meters": meters,
        "plain_meters": [meter for meter in meters if not meter.is_shared],
        "shared_meters": [meter for meter in meters if meter.is_shared],
    }.items():
        duck.register(name, pa.Table.from_pylist([asdict(meter) for meter in some], schema=schema))
    organizations = pa.schema([("id", pa.string()), ("existed_from", pa.timestamp("us", "UTC"))])
    duck.register("organizations", pa.Table.from_pylist(_dicts(connection, "organization_ids"), schema=organizations))
    return meters


def _dicts(connection: Connection, name: str) -> list[dict[str, Any]]:
    return [dict(row) for row in rows(connection, name)]


def _settle(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    table: UsageTableVersion,
    index: KeyIndex,
    days: Sequence[date],
) -> list[date]:
    """Separate events from their duplicates. Returns the landing days to write.

    A day that lands again may drop an event of which another day has a duplicate. That other day is then deduplicated
    again from the usage table, so that its copy becomes the accepted event. Rows that were rejected because they
    conflicted with the dropped event are marked: landing their days again accepts them.
    """
    duck.execute(sql("landing_candidates"))
    duck.executemany("insert into replaced values (?)", [[day] for day in days])
    table.open_view(duck, "previous_events", days=days)
    duck.execute(sql("removed_events"))
    if since := _earliest_landing(duck, "removed"):
        table.open_view(duck, "usage_table", since=since)
        duck.execute(sql("orphaned_days"))
        duck.execute("insert into replaced from orphaned_days")
        duck.execute(sql("deduplicated_again"))
        _mark_resolved_conflicts(duck, connection)
    _register_rejected(duck, "rejected_before", rows(connection, "rejected_conflicts", days=list(days)))
    table.open_view(duck, "usage_table", days=_search(duck, index))
    duck.execute(sql("accepted_elsewhere"))
    duck.execute(sql("deduplicate_usage"))
    return [day for (day,) in duck.execute("select landing_day from replaced order by 1").fetchall()]


def _search(duck: duckdb.DuckDBPyConnection, index: KeyIndex) -> list[date]:
    """Return the other landing days that may already contain the candidates' keys, and index the candidates.

    Registers `hit_prefixes`: the first 48 bits of those keys' hashes, and `repeated_prefixes`: those of keys that may
    occur more than once among the candidates. Grouping all candidates by their keys would take twice as long.
    """
    found = duck.execute(sql("landing_keys")).to_arrow_table()
    hashes = found["hash"].to_numpy()
    _register_prefixes(duck, "repeated_prefixes", find_repeated(hashes))
    hits = index.find_and_add(make_entries(hashes, found["day"].to_numpy()))
    replaced = {day for (day,) in duck.execute("select landing_day from replaced").fetchall()}
    left = hits.without(replaced)
    _register_prefixes(duck, "hit_prefixes", np.unique(left.prefixes))
    return left.distinct_days()


def _register_prefixes(duck: duckdb.DuckDBPyConnection, name: str, prefixes: Words) -> None:
    duck.register(name, pa.table({"prefix": pa.array(prefixes, pa.uint64())}))


def _mark_resolved_conflicts(duck: duckdb.DuckDBPyConnection, connection: Connection) -> None:
    _register_rejected(duck, "conflicts", rows(connection, "rejected_conflicts", days=None))
    freed = duck.execute(
        "select landing_day, source, id from conflicts semi join removed using (source, id)"
    ).fetchall()
    if freed:
        days, sources, ids = (list(values) for values in zip(*freed, strict=True))
        rows(connection, "mark_resolved_conflicts", days=days, sources=sources, ids=ids)


def _register_rejected(duck: duckdb.DuckDBPyConnection, name: str, refused: Sequence[Row]) -> None:
    schema = pa.schema([("landing_day", pa.date32()), ("source", pa.string()), ("id", pa.string())])
    duck.register(name, pa.Table.from_pylist([dict(row) for row in refused], schema=schema))


def _earliest_landing(duck: duckdb.DuckDBPyConnection, events: str) -> date | None:
    """Return the day from which on copies of these events can have landed: two days before the first event, exclusive.

    A copy has the same time as its original, so the cost does not grow with history.
    """
    ((first,),) = duck.execute(f"select min(time)::date - 1 from {events}").fetchall()  # noqa: S608
    assert first is None or isinstance(first, date)
    return first


def _events(duck: duckdb.DuckDBPyConnection) -> pa.RecordBatchReader:
    """Return the events as a stream, so that sorted events are written without a second copy in memory."""
    found = duck.execute(sql("deduplicated_events")).to_arrow_reader()
    return pa.RecordBatchReader.from_batches(EVENTS, (batch.select(EVENTS.names).cast(EVENTS) for batch in found))


def _account(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    staged: StagedFiles,
    days: Sequence[date],
) -> list[LandedFile]:
    """Record the outcome of every row: the counts of each file, and the reason of each rejected row."""
    duck.execute(sql("rejected_usage"))
    counts = {(day, path): tuple(numbers) for day, path, *numbers in duck.execute(sql("count_files")).fetchall()}
    files = [
        LandedFile(file.day, file.name, content.sha256, content.bytes, *counts.get((file.day, file.name), (0, 0, 0, 0)))
        for file, content in staged.contents.items()
    ]
    rows(connection, "delete_usage_files", days=list(days))
    copy_rows(connection, "usage_files", FILE_COLUMNS, map(_AS_ROW, files))
    copy_rows(connection, "rejected_usage", REJECTED_COLUMNS, _in_batches(duck.execute("from rejected")))
    for day, path, accepted, duplicate in duck.execute(sql("count_orphaned_days")).fetchall():
        rows(connection, "recount_usage_file", day=day, path=path, accepted=accepted, duplicate=duplicate)
    return files


def _in_batches(found: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    """Yield rows in small batches: a whole day may be rejected, and each rejected row keeps its text."""
    while batch := found.fetchmany(ROWS_AT_ONCE):
        yield from batch
