"""Turns staged rows into events: registers what is known, finds duplicates, and accounts for every row.

`landing` lands whole days with it, and `landing_additions` the new files of days. Not here: reading files
(`landing_staging`), validating rows (`sql_duckdb/validate_usage.sql`), writing the usage table (`new_data_files`,
`usage_table`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
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


def properties_of_quantities(meters: Sequence[LandingMeter]) -> dict[str, frozenset[str]]:
    """Map each property that a meter reads quantities from, other than `quantity`, to the event types that have it."""
    found: dict[str, set[str]] = defaultdict(set)
    for meter in meters:
        if meter.quantity_of is not None:
            found[meter.quantity_of].add(meter.event_type)
    return {name: frozenset(types) for name, types in found.items()}


def read_meters(connection: Connection) -> Sequence[LandingMeter]:
    return records(connection, LandingMeter, "meters")


def register_known(duck: duckdb.DuckDBPyConnection, connection: Connection, meters: Sequence[LandingMeter]) -> None:
    """Register the organizations and three tables of meters: all, unshared and shared ones.

    A shared meter reads an event type that other meters read too, or a type or property that differs from its name.
    """
    names = [(name, pa.string()) for name in ("key", "property", "event_type", "quantity_of")]
    schema = pa.schema([*names, ("dimensions", pa.list_(pa.string())), ("needs_quantity", pa.bool_())])
    for name, some in {
        "meters": meters,
        "plain_meters": [meter for meter in meters if not meter.is_shared],
        "shared_meters": [meter for meter in meters if meter.is_shared],
    }.items():
        duck.register(name, pa.Table.from_pylist([asdict(meter) for meter in some], schema=schema))
    organizations = pa.schema([("id", pa.string()), ("existed_from", pa.timestamp("us", "UTC"))])
    duck.register("organizations", pa.Table.from_pylist(_dicts(connection, "organization_ids"), schema=organizations))


def _dicts(connection: Connection, name: str) -> list[dict[str, Any]]:
    return [dict(row) for row in rows(connection, name)]


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
    _deduplicate(duck, connection, table, days, _find_and_index(duck, index).without(touched))
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
    _deduplicate(duck, connection, table, days, matches)
    duck.executemany("insert into replaced values (?)", [[day] for day in days])  # for the counts by source
    return set()


def _find_and_index(duck: duckdb.DuckDBPyConnection, index: KeyIndex) -> KeyMatches:
    """Find the landing days that may already contain the candidates' keys, and index the candidates.

    Registers `repeated_prefixes`: the first 48 bits of the hashes of keys that may occur more than once among the
    candidates. Grouping all candidates by their keys would take twice as long.
    """
    found = duck.execute(sql("landing_keys")).to_arrow_table()
    hashes = found["hash"].to_numpy()
    _register_prefixes(duck, "repeated_prefixes", find_repeated(hashes))
    return index.find_and_add(make_entries(hashes, found["day"].to_numpy()))


def _deduplicate(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    table: UsageTableVersion,
    days: Sequence[date],
    elsewhere: KeyMatches,
) -> None:
    """Make `deduplicated` from the candidates. `elsewhere` has the keys that other landing days may contain."""
    _register_prefixes(duck, "hit_prefixes", np.unique(elsewhere.prefixes))
    _register_rejected(duck, "rejected_before", rows(connection, "rejected_conflicts", days=list(days)))
    table.open_view(duck, "usage_table", days=elsewhere.distinct_days())
    duck.execute(sql("accepted_elsewhere"))
    duck.execute(sql("deduplicate_usage"))


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


def account_rows(
    duck: duckdb.DuckDBPyConnection,
    connection: Connection,
    staged: StagedFiles,
    replaced: Sequence[date] = (),
) -> list[LandedFile]:
    """Record the outcome of every row: the counts of each file, and the reason of each rejected row.

    Args:
        replaced: The days whose earlier files are forgotten.
    """
    duck.execute(sql("rejected_usage"))
    counts: dict[tuple[date, str], tuple[int, int, int, int]] = {
        (day, path): (landed, accepted, duplicate, rejected)
        for day, path, landed, accepted, duplicate, rejected in duck.execute(sql("count_files")).fetchall()
    }
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
    copy_rows(connection, "rejected_usage", REJECTED_COLUMNS, _in_batches(duck.execute("from rejected")))
    for day, path, accepted, duplicate in duck.execute(sql("count_orphaned_days")).fetchall():
        rows(connection, "recount_usage_file", day=day, path=path, accepted=accepted, duplicate=duplicate)
    return files


def _in_batches(found: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    """Yield rows in small batches: a whole day may be rejected, and each rejected row keeps its text."""
    while batch := found.fetchmany(ROWS_AT_ONCE):
        yield from batch


def count_partitions(duck: duckdb.DuckDBPyConnection) -> dict[PartitionKey, tuple[int, int]]:
    """Count the rows to write, by landing day and usage month: (accepted, accepted and duplicate)."""
    duck.execute(sql("counted"))
    found = duck.execute(sql("count_landed_months")).fetchall()
    return {(day, month): (accepted, number) for day, month, accepted, number in found}
