"""Turns staged rows into events: registers what is known, finds duplicates, and accounts for every row.

`landing` lands whole days with it, and `landing_additions` the new files of days. Not here: reading files
(`landing_staging`), validating rows (`sql_duckdb/validate_usage.sql`), writing the usage table (`new_data_files`,
`usage_table`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from deltalake.transaction import AddAction
from sqlalchemy import Connection

from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import Row, copy_rows, records, rows
from fly_billing.postgres.statements import sql
from fly_billing.usage.data_files import PartitionKey
from fly_billing.usage.key_index import KeyIndex, KeyMatches, Words, find_repeated, make_entries
from fly_billing.usage.landing_staging import StagedFiles
from fly_billing.usage.source_contracts import SourceContracts
from fly_billing.usage.usage_table import UsageTableVersion

FILE_COLUMNS = ("landing_day", "path", "sha256", "bytes", "landed", "accepted", "duplicate", "rejected", "stored_at")
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

# Landing day and path -> landed, accepted, duplicate and rejected rows.
FileCounts = Mapping[tuple[date, str], tuple[int, int, int, int]]

# Limits the rejected rows in memory. Each keeps its full text, up to 1 MB.
ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class LandedFile:
    """The row counts of one file.

    Attributes:
        day: The landing day.
        path: The file's path below that day's folder, as readable text.
        sha256: In hexadecimal; empty if the file could not be read.
        landed: Rows in the file: accepted + duplicate + rejected.
        stored_at: When an object store listed the object as written last, else None.
    """

    day: date
    path: str
    sha256: str
    bytes: int
    landed: int
    accepted: int
    duplicate: int
    rejected: int
    stored_at: datetime | None = None


# Returns the values in the order of FILE_COLUMNS.
_AS_ROW = attrgetter("day", *FILE_COLUMNS[1:])


@dataclass(frozen=True)
class LandingMeter:
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


@dataclass(frozen=True)
class LandedRows:
    """The rows of a landing, separated into events, duplicates and rejected rows. Its data files are in no version yet.

    Attributes:
        duck: The DuckDB that read the key index.
        index: The key index with the new keys, not yet on disk.
        partitions: Accepted rows, and accepted and duplicate ones, by landing day and usage month.
        counts: The rows of each file.
        rejected: The rejected rows in small batches, to be read once.
    """

    staged: StagedFiles
    duck: duckdb.DuckDBPyConnection
    index: KeyIndex
    data_files: Sequence[AddAction]
    partitions: dict[PartitionKey, tuple[int, int]]
    counts: FileCounts
    rejected: Iterable[Sequence[tuple[Any, ...]]]


def properties_of_quantities(meters: Sequence[LandingMeter]) -> dict[str, frozenset[str]]:
    """Map each property that a meter reads quantities from, other than `quantity`, to the event types that have it."""
    found: dict[str, set[str]] = defaultdict(set)
    for meter in meters:
        if meter.quantity_of is not None:
            found[meter.quantity_of].add(meter.event_type)
    return {name: frozenset(types) for name, types in found.items()}


@dataclass(frozen=True)
class Known:
    """The meters and organizations that events may name.

    Attributes:
        organizations: Rows with `id` and `existed_from`.
    """

    meters: Sequence[LandingMeter]
    organizations: Sequence[Mapping[str, Any]]


def read_meters(connection: Connection) -> Sequence[LandingMeter]:
    return records(connection, LandingMeter, "meters")


def read_known(connection: Connection, meters: Sequence[LandingMeter]) -> Known:
    """Return these meters with all organizations."""
    return Known(meters, [dict(row) for row in rows(connection, "organization_ids")])


def register_known(duck: duckdb.DuckDBPyConnection, known: Known) -> None:
    """Register the organizations and three tables of meters: all, unshared and shared ones.

    A shared meter reads an event type that other meters read too, or a type or property that differs from its name.
    """
    names = [(name, pa.string()) for name in ("key", "property", "event_type", "quantity_of")]
    schema = pa.schema([*names, ("dimensions", pa.list_(pa.string())), ("needs_quantity", pa.bool_())])
    for name, some in {
        "meters": known.meters,
        "plain_meters": [meter for meter in known.meters if not meter.is_shared],
        "shared_meters": [meter for meter in known.meters if meter.is_shared],
    }.items():
        duck.register(name, pa.Table.from_pylist([asdict(meter) for meter in some], schema=schema))
    organizations = pa.schema([("id", pa.string()), ("existed_from", pa.timestamp("us", "UTC"))])
    duck.register("organizations", pa.Table.from_pylist([*known.organizations], schema=organizations))


def validate_rows(duck: duckdb.DuckDBPyConnection, first_month: BillingMonth, contracts: SourceContracts) -> None:
    """Make `validated` from the staged rows: each with types, or with the reason why it is rejected."""
    duck.execute(sql("measured"))
    duck.execute(sql("validate_usage"), {"first_month": first_month.start})
    contracts.apply(duck)


def replace_rows(
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
    touched = [day for (day,) in duck.execute("select landing_day from replaced order by 1").fetchall()]
    deduplicate(duck, connection, table, days, _find_and_index(duck, index).without(touched))
    return touched


def add_rows(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    table: UsageTableVersion,
    index: KeyIndex,
    days: Sequence[date],
) -> set[date]:
    """Separate the events of files that are new in their days from their duplicates.

    Returns the days that already have one of the keys: which copy is the accepted event depends on the whole day, so
    nothing is deduplicated, and the day has to land whole. If there is none, the rows can be added to these days.
    """
    duck.execute(sql("landing_candidates"))
    table.open_view(duck, "previous_events", days=[])
    matches = _find_and_index(duck, index)
    if repeated := set(matches.distinct_days()).intersection(days):
        return repeated
    deduplicate(duck, connection, table, days, matches)
    duck.executemany("insert into replaced values (?)", [[day] for day in days])  # for the counts by source
    return set()


def _find_and_index(duck: duckdb.DuckDBPyConnection, index: KeyIndex) -> KeyMatches:
    """Find the landing days that may already contain the candidates' keys, and index the candidates.

    Registers `repeated_prefixes`: the first 48 bits of the hashes of keys that may occur more than once among the
    candidates. Grouping all candidates by their keys would take twice as long.
    """
    return find_shared(duck, index, *keys_of(duck))


def keys_of(duck: duckdb.DuckDBPyConnection) -> tuple[Words, Words]:
    """Return the hash of each candidate's key, and its landing day in days since 1970-01-01."""
    found = duck.execute(sql("landing_keys")).to_arrow_table()
    return found["hash"].to_numpy(), found["day"].to_numpy()


def find_shared(duck: duckdb.DuckDBPyConnection, index: KeyIndex, hashes: Words, days: Words) -> KeyMatches:
    """Register the `repeated_prefixes` of these keys, find the landing days that may have them, and index them."""
    register_prefixes(duck, "repeated_prefixes", find_repeated(hashes))
    return index.find_and_add(make_entries(hashes, days))


def deduplicate(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    table: UsageTableVersion,
    days: Sequence[date],
    elsewhere: KeyMatches,
) -> None:
    """Make `deduplicated` from the candidates. `elsewhere` has the keys that other landing days may contain."""
    register_prefixes(duck, "hit_prefixes", np.unique(elsewhere.prefixes))
    _register_rejected(duck, "rejected_before", rows(connection, "rejected_conflicts", days=list(days)))
    table.open_view(duck, "usage_table", days=elsewhere.distinct_days())
    duck.execute(sql("accepted_elsewhere"))
    duck.execute(sql("deduplicate_usage"))
    duck.execute(sql("deduplicated"))


def register_prefixes(duck: duckdb.DuckDBPyConnection, name: str, prefixes: Words) -> None:
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


def find_rejected(duck: duckdb.DuckDBPyConnection) -> None:
    """Make `rejected`: the rejected rows, each with its reason and what to do."""
    duck.execute(sql("rejected_usage"))


def count_files(duck: duckdb.DuckDBPyConnection) -> FileCounts:
    """Return the landed, accepted, duplicate and rejected rows by landing day and path."""
    return {
        (day, path): (landed, accepted, duplicate, rejected)
        for day, path, landed, accepted, duplicate, rejected in duck.execute(sql("count_files")).fetchall()
    }


def record_files(
    connection: Connection, staged: StagedFiles, counts: FileCounts, replaced: Sequence[date] = ()
) -> list[LandedFile]:
    """Record each file with its counts.

    Args:
        replaced: The days whose earlier files are forgotten.
    """
    files = [
        LandedFile(
            file.day,
            file.name,
            content.sha256,
            content.bytes,
            *counts.get((file.day, file.name), (0, 0, 0, 0)),
            stored_at=file.stored.modified_at if file.stored else None,
        )
        for file, content in staged.contents.items()
    ]
    rows(connection, "delete_usage_files", days=list(replaced))
    copy_rows(connection, "usage_files", FILE_COLUMNS, map(_AS_ROW, files))
    return files


def record_rejected(connection: Connection, batches: Iterable[Sequence[tuple[Any, ...]]]) -> None:
    """Record the rejected rows."""
    copy_rows(connection, "rejected_usage", REJECTED_COLUMNS, (row for batch in batches for row in batch))


def count_orphaned_files(duck: duckdb.DuckDBPyConnection) -> list[tuple[date, str, int, int]]:
    """Return the landing day, path, accepted and duplicate rows of each file of a day that was deduplicated again."""
    return duck.execute(sql("count_orphaned_days")).fetchall()


def recount_orphaned_files(connection: Connection, files: Sequence[tuple[date, str, int, int]]) -> None:
    """Record the new counts of these files."""
    for day, path, accepted, duplicate in files:
        rows(connection, "recount_usage_file", day=day, path=path, accepted=accepted, duplicate=duplicate)


def rejected_batches(duck: duckdb.DuckDBPyConnection) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rejected rows in small batches: a whole day may be rejected, and each row keeps its text."""
    found = duck.execute("from rejected")
    while batch := found.fetchmany(ROWS_AT_ONCE):
        yield batch


def count_partitions(duck: duckdb.DuckDBPyConnection) -> dict[PartitionKey, tuple[int, int]]:
    """Count the rows to write, by landing day and usage month: (accepted, accepted and duplicate)."""
    duck.execute(sql("counted"))
    found = duck.execute(sql("count_landed_months")).fetchall()
    return {(day, month): (accepted, number) for day, month, accepted, number in found}
