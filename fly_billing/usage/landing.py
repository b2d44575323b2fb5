"""Lands usage: files of landing days -> the usage lake, with every row accounted for in Postgres.

A day lands as a whole and replaces what it brought before; landing it twice changes nothing. Nothing is dropped:
landed = accepted + duplicate + rejected, per file, and the database insists on it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from sqlalchemy import Connection

from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, Row, copy_rows, lock_until_commit, rows
from fly_billing.postgres.statements import sql
from fly_billing.usage.key_index import KeyIndex, entries_of
from fly_billing.usage.landing_folder import LandingError, LandingFile, day_folders, list_files, readable_name, said
from fly_billing.usage.landing_ledger import acknowledge, open_to_write, put_on_record
from fly_billing.usage.landing_staging import StagedFiles, stage_files
from fly_billing.usage.readers.json_lines import open_documents
from fly_billing.usage.readers.packed_files import ENDINGS as PACKED
from fly_billing.usage.usage_table import EVENTS, PartKey, UsageTable, UsageTableVersion, open_duckdb

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
)


# About a million rows of Parquet.
BYTES_AT_ONCE = 48 * 2**20
# Rejected rows in memory at once: each has its whole text, up to 1 MB.
ROWS_AT_ONCE = 1000
# What a packed file is taken to unpack to, where it matters how much is landed at once.
PACKED_TIMES = 10


class DaysNotLanded(LandingError):
    """Some landing days could not be landed; nothing of them was changed. The others were landed: `files` are theirs.

    `failures` has the reason per day, and what to do.
    """

    def __init__(self, failures: Mapping[date, str], files: Sequence[LandedFile] = ()) -> None:
        said = "; ".join(f"{day}: {failures[day]}" for day in sorted(failures))
        super().__init__(f"not landed, and nothing of it changed: {said}")
        self.failures = dict(failures)
        self.files = list(files)


@dataclass(frozen=True)
class LandedFile:
    """What became of one file's rows. `day` is its landing day, `path` its place below that day's folder."""

    day: date
    path: str
    sha256: str
    bytes: int
    landed: int
    accepted: int
    duplicate: int
    rejected: int


# In the order of FILE_COLUMNS.
_AS_ROW = attrgetter("day", *FILE_COLUMNS[1:])


def land_days(
    database: BillingDatabase,
    lake: UsageTable,
    landing_dir: Path,
    days: Sequence[date],
    first_month: BillingMonth,
    now: datetime,
    progress: Callable[[str], None] = lambda _: None,
) -> list[LandedFile]:
    """Land these days, as many of them at once as have `BYTES_AT_ONCE` of files: what landed so far stays landed.

    Raises DaysNotLanded once all others are landed, where a day can't be: its folder can't be read, or is gone though
    files of it were landed before. Raises LandingError where there is no landing folder, or one without any day, and
    UsageTableMismatch where the usage table is not the one that was landed into before.
    """
    if not landing_dir.is_dir():
        raise LandingError(f"there is no landing folder {landing_dir}: is it mounted? Nothing was landed")
    _refuse_empty_share(database, landing_dir)
    put_on_record(database, lake)

    def land(some: Sequence[date]) -> list[LandedFile]:
        with database.transaction() as connection:
            lock_until_commit(connection, "land_usage")
            return land_batch(connection, lake, landing_dir, some, first_month, now, progress)

    landed: list[LandedFile] = []
    failures: dict[date, str] = {}
    for some in batches(landing_dir, days):
        try:
            landed += _land_what_can_be(land, some)
        except DaysNotLanded as problem:
            landed += problem.files
            failures |= problem.failures
    if failures:
        raise DaysNotLanded(failures, landed)
    return landed


def _refuse_empty_share(database: BillingDatabase, landing_dir: Path) -> None:
    """Raise LandingError where not one day has a folder, though files of some were landed: all can't be gone at once.

    Days that were never landed would be taken for days without usage.
    """
    landed = [row["last"] for row in database.rows("last_day_with_files") if row["last"]]
    if landed and not day_folders(landing_dir):
        raise LandingError(
            f"{landing_dir / landed[0].isoformat()} is gone, and with it the folders of all days that were landed: is"
            f" {landing_dir} mounted? Nothing was landed. If they were moved away on purpose, make a folder for today"
        )


def _land_what_can_be(land: Callable[[Sequence[date]], list[LandedFile]], days: Sequence[date]) -> list[LandedFile]:
    """Land the days together; where that fails because of some of them, the others. Raises DaysNotLanded for those."""
    try:
        return land(days)
    except DaysNotLanded as problem:
        failures = problem.failures
        left = [[day for day in days if day not in failures]]
    except (duckdb.Error, pa.ArrowException, MemoryError) as problem:
        if len(days) == 1:
            raise DaysNotLanded({days[0]: said(problem)}) from problem
        # Whose fault it is shows when each is landed by itself.
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


def batches(landing_dir: Path, days: Sequence[date]) -> Iterator[list[date]]:
    """Cut the days where their files come to so much that more would not fit into memory."""
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


def _bytes_of(landing_dir: Path, day: date) -> int:
    """Return about how much a day's files hold. What can't be read counts as nothing here: landing it says why."""
    try:
        return sum(
            file.path.stat().st_size * (PACKED_TIMES if file.path.suffix.lower() in PACKED else 1)
            for file in list_files(landing_dir, day)
            if not file.problem
        )
    except OSError:
        return 0


def land_batch(
    connection: Connection,
    lake: UsageTable,
    landing_dir: Path,
    days: Sequence[date],
    first_month: BillingMonth,
    now: datetime,
    progress: Callable[[str], None],
) -> list[LandedFile]:
    """Land these days at once, in the caller's transaction, which has the lock `land_usage`. Raises as `land_days`."""
    with open_duckdb(lake.memory_mb) as duck:
        open_documents(duck)
        table = open_to_write(connection, lake, progress)
        index = KeyIndex.open(duck, table, progress)
        files = _files_of(connection, landing_dir, days)
        meters = _register_known(duck, connection)
        staged = stage_files(duck, files, progress, _quantities_of(meters))
        _refuse_to_forget(connection, days, staged)
        duck.execute(sql("measured"))
        duck.execute(sql("validate_usage"), {"first_month": first_month.start})
        touched = _settle(duck, connection, table, index, days)
        progress(f"writing {len(touched)} landing days into the usage table")
        written = lake.replace_days(touched, _events(duck))
        rows(connection, "mark_days_landed", days=list(days), now=now, lake_version=written.version() + table.shift)
        # Before the landing is committed: an index may know of keys that are not in the table, never the other way.
        index.commit(duck, table, written.version() + table.shift)
        # Before what the days brought is replaced: the database refuses that in a transaction that did not land them.
        rows(connection, "mark_days_settled", days=touched, lake_version=written.version() + table.shift)
        acknowledge(connection, table, written, touched, _counted(duck))
        return _account(duck, connection, staged, days)


def _counted(duck: duckdb.DuckDBPyConnection) -> dict[PartKey, tuple[int, int]]:
    """Count what was to be written, per landing day and usage month: (accepted, with duplicates)."""
    found = duck.execute(sql("count_landed_months")).fetchall()
    return {(day, month): (accepted, number) for day, month, accepted, number in found}


def _files_of(connection: Connection, landing_dir: Path, days: Sequence[date]) -> list[LandingFile]:
    """List the files of these days. Raises DaysNotLanded for those whose folder can't be read to its end."""
    known = {row["landing_day"] for row in rows(connection, "accounted_usage", days=list(days))}
    files: list[LandingFile] = []
    failures: dict[date, str] = {}
    for day in days:
        folder = landing_dir / day.isoformat()
        try:
            files += list_files(landing_dir, day)
        except OSError as problem:
            is_gone = isinstance(problem, FileNotFoundError) and not os.path.lexists(folder)
            if not is_gone:
                where = readable_name(problem.filename or folder)
                failures[day] = f"{where} can't be read ({said(problem)}), so nobody knows what is in it"
            elif day in known:
                failures[day] = (
                    f"{folder} is gone, but files of it were landed on {day}: landing it again would erase what they"
                    " brought. Bring the folder back (an empty one, if the day really has no usage) and land the day"
                    " again"
                )
    if failures:
        raise DaysNotLanded(failures)
    return files


def _refuse_to_forget(connection: Connection, days: Sequence[date], staged: StagedFiles) -> None:
    """Raise DaysNotLanded where a file can't be read now that brought events before: they would be taken back."""
    brought = {(row["landing_day"], row["path"]) for row in rows(connection, "files_with_events", days=list(days))}
    failures = {
        file.day: f"{readable_name(file.path)} can't be read now ({problem}), but brought events before: they stay"
        for file, problem in staged.unread.items()
        if (file.day, file.name) in brought
    }
    if failures:
        raise DaysNotLanded(failures)


def _quantities_of(meters: Sequence[Row]) -> dict[str, frozenset[str]]:
    """Return the properties that hold a quantity, besides `quantity`, with the types of the events that have them."""
    found: dict[str, set[str]] = defaultdict(set)
    for meter in meters:
        if meter["quantity_of"] is not None:
            found[meter["quantity_of"]].add(meter["event_type"])
    return {name: frozenset(types) for name, types in found.items()}


def _register_known(duck: duckdb.DuckDBPyConnection, connection: Connection) -> Sequence[Row]:
    """Register organizations and meters: all, those that read `quantity` off events of their own, and the others."""
    names = [(name, pa.string()) for name in ("key", "property", "event_type", "quantity_of")]
    schema = pa.schema([*names, ("dimensions", pa.list_(pa.string())), ("needs_quantity", pa.bool_())])
    meters = rows(connection, "meters")
    for name, some in {
        "meters": meters,
        "plain_meters": [meter for meter in meters if not meter["is_shared"]],
        "shared_meters": [meter for meter in meters if meter["is_shared"]],
    }.items():
        duck.register(name, pa.Table.from_pylist([dict(meter) for meter in some], schema=schema))
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
    """Tell first events from repeated ones; return the landing days whose content this decides.

    A day that lands anew may no longer bring an event which another day holds as a duplicate. Such a day is settled
    again from what the lake has of it, so that its copy counts now. And a day with a row that was refused because of
    such an event is worth landing again.
    """
    duck.execute(sql("landing_candidates"))
    duck.executemany("insert into replaced values (?)", [[day] for day in days])
    table.open_view(duck, "brought_before", days=days)
    duck.execute(sql("vanished_events"))
    if since := _earliest_landing(duck, "vanished"):
        table.open_view(duck, "lake", since=since)
        duck.execute(sql("orphaned_days"))
        duck.execute("insert into replaced from orphaned_days")
        duck.execute(sql("settled_again"))
        _free_conflicts(duck, connection)
    _register_refused(duck, "refused_before", rows(connection, "refused_conflicts", days=list(days)))
    table.open_view(duck, "lake", days=_search(duck, index))
    duck.execute(sql("known_events"))
    duck.execute(sql("settle_duplicates"))
    return [day for (day,) in duck.execute("select landing_day from replaced order by 1").fetchall()]


def _search(duck: duckdb.DuckDBPyConnection, index: KeyIndex) -> list[date]:
    """Return the landing days, left as they are, that may have candidates' keys already; then index the candidates.

    Registers `hit_prefixes`, the first 48 bits of the hashes of those keys.
    """
    found = duck.execute(sql("landing_keys")).to_arrow_table()
    hits = index.find_and_add(entries_of(found["hash"].to_numpy(), found["day"].to_numpy()))
    replaced = {day for (day,) in duck.execute("select landing_day from replaced").fetchall()}
    left = hits.without(replaced)
    duck.register("hit_prefixes", pa.table({"prefix": pa.array(np.unique(left.prefixes), pa.uint64())}))
    return left.distinct_days()


def _free_conflicts(duck: duckdb.DuckDBPyConnection, connection: Connection) -> None:
    _register_refused(duck, "refused", rows(connection, "refused_conflicts", days=None))
    freed = duck.execute("select landing_day, source, id from refused semi join vanished using (source, id)").fetchall()
    if freed:
        days, sources, ids = (list(values) for values in zip(*freed, strict=True))
        rows(connection, "free_conflicts", days=days, sources=sources, ids=ids)


def _register_refused(duck: duckdb.DuckDBPyConnection, name: str, refused: Sequence[Row]) -> None:
    schema = pa.schema([("landing_day", pa.date32()), ("source", pa.string()), ("id", pa.string())])
    duck.register(name, pa.Table.from_pylist([dict(row) for row in refused], schema=schema))


def _earliest_landing(duck: duckdb.DuckDBPyConnection, events: str) -> date | None:
    """Return the first landing day on which one of these events can have come: two days before its own, exclusive.

    A copy has the time of the first, so no earlier day needs to be searched, however long the history is.
    """
    ((first,),) = duck.execute(f"select min(time)::date - 1 from {events}").fetchall()  # noqa: S608
    assert first is None or isinstance(first, date)
    return first


def _events(duck: duckdb.DuckDBPyConnection) -> pa.RecordBatchReader:
    """Return the events as a stream: they are written while they are sorted, and not all held once more."""
    found = duck.execute(sql("settled_events")).to_arrow_reader()
    return pa.RecordBatchReader.from_batches(EVENTS, (batch.select(EVENTS.names).cast(EVENTS) for batch in found))


def _account(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    staged: StagedFiles,
    days: Sequence[date],
) -> list[LandedFile]:
    """Write what became of every row: per file the counts, per rejected row the reason."""
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
    """Yield rows, a batch in memory at a time: a day may be rejected as a whole, each row with its text."""
    while batch := found.fetchmany(ROWS_AT_ONCE):
        yield from batch
