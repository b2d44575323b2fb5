"""Lands usage: files of landing days -> the usage lake, with every row accounted for in Postgres.

A day lands as a whole and replaces what it brought before; landing it twice changes nothing. Nothing is dropped:
landed = accepted + duplicate + rejected, per file, and the database insists on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from sqlalchemy import Connection

from fly_billing.domain.errors import ToBeMended
from fly_billing.domain.periods import BillingMonth
from fly_billing.resources.landing_files import LandingFile, read_landing_file, stage_plain_parquet
from fly_billing.resources.postgres import BillingDatabase, copy_rows, lock_until_commit, rows
from fly_billing.resources.staging import CHUNK_LINES, STAGED
from fly_billing.resources.statements import sql
from fly_billing.resources.usage_json import open_documents
from fly_billing.resources.usage_lake import EVENTS, PartKey, UsageLake, UsageTable, open_duckdb
from fly_billing.resources.usage_ledger import acknowledge, open_to_write, put_on_record

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


class LandingError(ToBeMended):
    """A landing day can't be landed as a whole; nothing of it was changed."""


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


def land_days(
    database: BillingDatabase,
    lake: UsageLake,
    landing_dir: Path,
    days: Sequence[date],
    first_month: BillingMonth,
    now: datetime,
    progress: Callable[[str], None] = lambda _: None,
) -> list[LandedFile]:
    """Land these days, as many of them at once as have `BYTES_AT_ONCE` of files: what landed so far stays landed.

    Raises LandingError where there is no landing folder at all, or where a day whose files were landed before has lost
    its folder; UsageTableMismatch where the usage table is not the one that was landed into before.
    """
    if not landing_dir.is_dir():
        raise LandingError(f"there is no landing folder {landing_dir}: is it mounted? Nothing was landed")
    put_on_record(database, lake)
    landed = []
    for some in batches(landing_dir, days):
        with database.transaction() as connection:
            lock_until_commit(connection, "land_usage")
            landed += land_batch(connection, lake, landing_dir, some, first_month, now, progress)
    return landed


def batches(landing_dir: Path, days: Sequence[date]) -> Iterator[list[date]]:
    """Cut the days where their files come to so much that more would not fit into memory."""
    batch: list[date] = []
    size = 0
    for day in days:
        ours = sum(path.stat().st_size for path in _files_in(landing_dir / day.isoformat()))
        if batch and size + ours > BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append(day)
        size += ours
    if batch:
        yield batch


def land_batch(
    connection: Connection,
    lake: UsageLake,
    landing_dir: Path,
    days: Sequence[date],
    first_month: BillingMonth,
    now: datetime,
    progress: Callable[[str], None],
) -> list[LandedFile]:
    """Land these days at once, in the caller's transaction, which has the lock `land_usage`. Raises as `land_days`."""
    with open_duckdb() as duck:
        open_documents(duck)
        table = open_to_write(connection, lake, progress)
        known = {row["landing_day"] for row in rows(connection, "accounted_usage", days=list(days))}
        files = {day: _files_of(landing_dir, day, was_landed=day in known) for day in days}
        hashes = _stage(duck, files, landing_dir, progress)
        _register_known(duck, connection)
        duck.execute(sql("judge_usage"), {"first_month": first_month.start})
        touched = _settle(duck, table, days)
        progress(f"writing {len(touched)} landing days into the usage table")
        written = lake.replace_days(touched, _events(duck))
        rows(connection, "mark_days_landed", days=list(days), now=now, lake_version=written.version() + table.shift)
        version = acknowledge(connection, table, written, touched, _counted(duck))
        rows(connection, "mark_days_settled", days=touched, lake_version=version)
        return _account(duck, connection, hashes, days)


def _counted(duck: duckdb.DuckDBPyConnection) -> dict[PartKey, tuple[int, int]]:
    """Count what was to be written, per landing day and usage month: (accepted, with duplicates)."""
    found = duck.execute(sql("count_landed_months")).fetchall()
    return {(day, month): (accepted, number) for day, month, accepted, number in found}


def _files_of(landing_dir: Path, day: date, *, was_landed: bool) -> list[Path]:
    folder = landing_dir / day.isoformat()
    if folder.is_dir():
        return _files_in(folder)
    if was_landed:
        raise LandingError(
            f"{folder} is gone, but files of it were landed on {day}: landing it again would erase what they brought."
            " Bring the folder back (an empty one, if the day really has no usage) and land the day again"
        )
    return []


def _files_in(folder: Path) -> list[Path]:
    """List a folder's files; those that are still being written begin with a point. None, where there is no folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def _stage(
    duck: duckdb.DuckDBPyConnection, files: dict[date, list[Path]], landing_dir: Path, progress: Callable[[str], None]
) -> dict[tuple[date, str], tuple[str, int]]:
    """Read all files into the table `staged`; return each file's SHA-256 and size in bytes."""
    duck.register("no_rows", STAGED.empty_table())
    duck.execute("create temp table staged as select null::date as landing_day, null::varchar as path, * from no_rows")
    found = [
        LandingFile(day, path.relative_to(landing_dir / day.isoformat()).as_posix(), path)
        for day, paths in files.items()
        for path in paths
    ]
    hashes = {(file.day, file.name): (sha256_of(file.path), file.path.stat().st_size) for file in found}
    left = stage_plain_parquet(duck, found)
    progress(f"read {len(found) - len(left)} plain files")
    for day, of_day in groupby(left, key=lambda file: file.day):
        read: list[pa.Table] = []
        for file in of_day:
            for table in read_landing_file(file.path, duck):
                read.append(table.add_column(0, "path", pa.array([file.name] * table.num_rows, pa.string())))
                if sum(one.num_rows for one in read) >= CHUNK_LINES:
                    _insert(duck, day, read)
        _insert(duck, day, read)
        progress(f"read the files of {day}")
    return hashes


def _insert(duck: duckdb.DuckDBPyConnection, day: date, read: list[pa.Table]) -> None:
    """Insert what was read, many small files in one statement, and empty the list."""
    if read:
        duck.register("chunk", pa.concat_tables(read))
        duck.execute("insert into staged select $day, * from chunk", {"day": day})
        read.clear()


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _register_known(duck: duckdb.DuckDBPyConnection, connection: Connection) -> None:
    meters = pa.schema([("key", pa.string()), ("dimensions", pa.list_(pa.string())), ("property", pa.string())])
    organizations = pa.schema([("id", pa.string()), ("existed_from", pa.timestamp("us", "UTC"))])
    duck.register("meters", pa.Table.from_pylist(_dicts(connection, "meters"), schema=meters))
    duck.register("organizations", pa.Table.from_pylist(_dicts(connection, "organization_ids"), schema=organizations))


def _dicts(connection: Connection, name: str) -> list[dict[str, Any]]:
    return [dict(row) for row in rows(connection, name)]


def _settle(duck: duckdb.DuckDBPyConnection, table: UsageTable, days: Sequence[date]) -> list[date]:
    """Tell first events from repeated ones; return the landing days whose content this decides.

    A day that lands anew may no longer bring an event which another day holds as a duplicate. Such a day is settled
    again from what the lake has of it, so that its copy counts now.
    """
    duck.execute(sql("candidates"))
    duck.executemany("insert into replaced values (?)", [[day] for day in days])
    table.open_view(duck, "brought_before", days=days)
    duck.execute(sql("vanished_events"))
    if since := _earliest_landing(duck, "vanished"):
        table.open_view(duck, "lake", since=since)
        duck.execute(sql("orphaned_days"))
        duck.execute("insert into replaced from orphaned_days")
        duck.execute(sql("settled_again"))
    table.open_view(duck, "lake", since=_earliest_landing(duck, "candidates"))
    duck.execute(sql("known_events"))
    duck.execute(sql("settle_duplicates"))
    return [day for (day,) in duck.execute("select landing_day from replaced order by 1").fetchall()]


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
    hashes: dict[tuple[date, str], tuple[str, int]],
    days: Sequence[date],
) -> list[LandedFile]:
    """Write what became of every row: per file the counts, per rejected row the reason."""
    duck.execute(sql("rejected_usage"))
    counts = {(day, path): tuple(numbers) for day, path, *numbers in duck.execute(sql("count_files")).fetchall()}
    files = [LandedFile(*file, *content, *counts.get(file, (0, 0, 0, 0))) for file, content in hashes.items()]
    rows(connection, "delete_usage_files", days=list(days))
    copy_rows(connection, "usage_files", FILE_COLUMNS, (astuple(file) for file in files))
    copy_rows(connection, "rejected_usage", REJECTED_COLUMNS, duck.execute("from rejected").fetchall())
    for day, path, accepted, duplicate in duck.execute(sql("count_orphaned_days")).fetchall():
        rows(connection, "recount_usage_file", day=day, path=path, accepted=accepted, duplicate=duplicate)
    return files
