"""Reads an item's events from the version of the usage table that was billed, and checks that no event is missing.

Matches events to rollups as `usage/sql_duckdb/roll_up_usage.sql` does. Not here: amounts.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

import duckdb
import pyarrow as pa

from fly_billing.money import EXACT, counted, plain
from fly_billing.periods import BillingMonth
from fly_billing.postgres.copy_into_duckdb import copy_statement
from fly_billing.postgres.database import BillingDatabase, Row, rows
from fly_billing.postgres.isolation import readable_rows
from fly_billing.postgres.statements import sql
from fly_billing.statements.billed_quantities import explain_quantities
from fly_billing.statements.explanation_reader import BilledUsage
from fly_billing.statements.rules.sums import Sum
from fly_billing.usage.data_files import UsageTableMismatch
from fly_billing.usage.landing_ledger import open_usage_table
from fly_billing.usage.usage_table import UsageTable, UsageTableVersion, UsageVersionGone, open_duckdb

# Rows in memory at a time while events are listed.
CHUNK = 10_000
_MOMENT = pa.timestamp("us", "UTC")
BILLED = pa.schema(
    [
        ("organization_id", pa.string()), ("meter", pa.string()), ("dimensions", pa.string()),
        ("segment_start", _MOMENT), ("segment_end", _MOMENT), ("rollup_id", pa.string()),
    ]
)  # fmt: skip
# The columns of the statement of the same name, and their types in DuckDB.
ROLLUPS_OF_INVOICES = {
    "invoice_id": "VARCHAR", "organization_id": "VARCHAR", "lake_version": "BIGINT", "rollup_id": "VARCHAR",
    "meter": "VARCHAR", "dimensions": "VARCHAR", "segment_start": "VARCHAR", "segment_end": "VARCHAR",
    "events": "BIGINT", "item_id": "VARCHAR",
}  # fmt: skip
SPELLINGS = pa.schema([("text", pa.string()), ("canonical", pa.string())])


class UsageUnreadable(Exception):
    """The version of the usage table that was billed can no longer be read. The message says why."""


@dataclass(frozen=True)
class BilledEvent:
    """One event of an item.

    Attributes:
        quantity: The quantity as the meter counts it.
        path: The file, below the folder of its landing day; `line` counts from 1.
        value: The value of the property that the meter's aggregation names (`BilledUsage.distinguished_by`).
        measured: The quantity as it landed. Differs from `quantity` where the meter rounds each event.
        so_far: The running sum of `quantity`.
    """

    time: datetime
    source: str
    id: str
    quantity: Decimal
    landing_day: date
    path: str
    line: int
    value: str | None
    measured: Decimal
    so_far: Decimal

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data; quantities are text."""
        numbers = {"quantity": plain(self.quantity), "measured": plain(self.measured), "so_far": plain(self.so_far)}
        return {**vars(self), "time": self.time.isoformat(), "landing_day": self.landing_day.isoformat(), **numbers}


@dataclass(frozen=True)
class UsageFile:
    """A landed file with events of the item.

    Attributes:
        events: The number of its events that are in the item.
        quantity: Their total.
    """

    landing_day: date
    path: str
    events: int
    quantity: Decimal

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data; the quantity is text."""
        return {**vars(self), "landing_day": self.landing_day.isoformat(), "quantity": plain(self.quantity)}


class BilledEvents:
    """The events of one item, in an open DuckDB. Made by `open_billed_events`.

    Attributes:
        quantities: The sum that explains each rollup's quantity, by the rollup's id. Empty if the meter just sums or
            counts events.
    """

    def __init__(self, duck: duckdb.DuckDBPyConnection, usage: BilledUsage, quantities: Mapping[UUID, Sum]) -> None:
        self._duck = duck
        self._usage = usage
        self.quantities = quantities

    def files(self) -> list[UsageFile]:
        return [UsageFile(*row) for row in self._duck.execute(sql("files_of_billed_events")).fetchall()]

    def events(self) -> Iterator[BilledEvent]:
        """Yield all events in order of time, with their running sum."""
        cursor = self._duck.execute(
            "select time, source, id, quantity, landing_day, path, line, value, measured from billed_events"
            " order by time, source, id"
        )
        so_far = Decimal(0)
        while chunk := cursor.fetchmany(CHUNK):
            for time, source, event_id, quantity, day, path, line, value, measured in chunk:
                so_far = EXACT.add(so_far, quantity)
                yield BilledEvent(time, source, event_id, quantity, day, path, line, value, measured, so_far)

    def problems(self) -> list[str]:
        """Return a sentence for each rollup whose events differ from what was billed, in number or in quantity."""
        totals = {
            UUID(rollup): (events, quantity)
            for rollup, events, quantity in self._duck.execute(
                "select rollup_id, count(*), sum(quantity) from billed_events group by rollup_id"
            ).fetchall()
        }
        problems = []
        for rollup in self._usage.rollups:
            events, quantity = totals.get(rollup.usage.id, (0, Decimal(0)))
            aggregated = {"sum": quantity, "count": Decimal(events)}.get(self._usage.aggregation.name)
            differs = aggregated is not None and aggregated != rollup.usage.quantity
            if events != rollup.events or differs:
                problems.append(
                    f"Events: {dict(rollup.usage.dimensions)} was billed as {plain(rollup.usage.quantity)} from"
                    f" {counted(rollup.events, 'event')}; the usage table has {counted(events, 'event')} with"
                    f" a total of {plain(quantity)}"
                )
        return problems + [problem for sum_ in self.quantities.values() for problem in sum_.problems()]


@contextmanager
def open_billed_events(
    database: BillingDatabase, usage_table: UsageTable, usage: BilledUsage
) -> Iterator[BilledEvents]:
    """Yield the events of the item's usage. Raises UsageUnreadable."""
    with open_duckdb(usage_table.memory_mb) as duck:
        try:
            table = open_usage_table(database, usage_table)
        except UsageTableMismatch as problem:
            raise UsageUnreadable(str(problem)) from None
        _open(table, duck, usage.month, usage.usage_table_version)
        rollups = [
            _RollupRow(
                organization_id=usage.organization_id,
                rollup_id=rollup.usage.id,
                meter=rollup.usage.meter,
                dimensions=json.dumps(dict(rollup.usage.dimensions)),
                segment_start=rollup.usage.segment_start,
                segment_end=rollup.usage.segment_end,
            )
            for rollup in usage.rollups
        ]
        try:
            _register(duck, rollups)
            duck.execute("set variable property = $value", {"value": usage.distinguished_by})
            rounding = usage.aggregation.round_each_event
            duck.execute("set variable event_step = $value", {"value": rounding and rounding.step})
            duck.execute("set variable event_round = $value", {"value": rounding and rounding.round})
            duck.execute(sql("counted_quantity"))
            duck.execute(sql("billed_events"))
            quantities = explain_quantities(duck, table, usage)
        except (UsageTableMismatch, UsageVersionGone, duckdb.IOException) as problem:
            raise _unreadable(usage.usage_table_version, problem) from problem
        yield BilledEvents(duck, usage, quantities)


def check_items_per_event(
    database: BillingDatabase, usage_table: UsageTable, month: BillingMonth, groups: Sequence[str]
) -> list[Row]:
    """Find accepted events that are not in exactly one item of their organization's invoice of the month.

    Compares each invoice with the version of the usage table that it billed.

    Returns:
        One row per invoice and set of dimensions with such events; none if the items are complete and disjoint. A
        version that can no longer be read is a row without an organization, as its events are unknown.

    Raises:
        UsageTableMismatch: The usage table is not the one that was billed.
    """
    with open_duckdb(usage_table.memory_mb) as duck:
        unreadable = _load_rollups(duck, database, month, groups)
        wrong: list[Row] = [
            {"organization_id": name, "events": 0, "problem": f"its rollups can't be read: {reason}; correct the row"}
            for name, reason in sorted(unreadable.items())
        ]
        table = open_usage_table(database, usage_table)
        for version, events in duck.execute(sql("versions_of_rollups")).fetchall():
            try:
                wrong += _not_in_one_item(table, duck, month, version)
            except UsageUnreadable as problem:
                wrong.append({"organization_id": None, "events": events, "problem": str(problem)})
    return wrong


_ROLLUP_COLUMNS = frozenset({"rollup_id", "meter", "dimensions", "segment_start", "segment_end", "events"})


def _load_rollups(
    duck: duckdb.DuckDBPyConnection, database: BillingDatabase, month: BillingMonth, groups: Sequence[str]
) -> dict[str, str]:
    """Copy the rollups that invoices bill into DuckDB. Returns the reason for each organization with unreadable rows.

    The rollups of those organizations are left out.
    """
    of_invoices = {"month": month.first_day, "groups": list(groups)}
    with database.transaction() as connection:
        copy_statement(connection, "rollups_of_invoices", duck, "copied_rollups", ROLLUPS_OF_INVOICES, **of_invoices)
        duck.execute(sql("rollups_of_invoices_in_duckdb"))
        ((is_any_unusual,),) = duck.execute(sql("is_any_rollup_unusual")).fetchall()
        if not is_any_unusual:
            return {}
        found = rows(connection, "rollups_of_invoices", **of_invoices)
    # A snapshot without usage has a row without a rollup.
    _, bad = readable_rows([row for row in found if row["rollup_id"] is not None], {"item_id"})
    _, worse = readable_rows([row for row in found if row["rollup_id"] is None], {"item_id", *_ROLLUP_COLUMNS})
    reasons = {row.organization_id: row.reason for row in bad + worse}
    duck.execute(sql("delete_unreadable_rollups"), {"organizations": list(reasons)})
    return reasons


def _not_in_one_item(
    table: UsageTableVersion, duck: duckdb.DuckDBPyConnection, month: BillingMonth, version: int
) -> list[Row]:
    _open(table, duck, month, version)
    duck.execute("set variable lake_version = $version", {"version": version})
    try:
        duck.execute(sql("count_events_of_rollups"))
        found = [text for (text,) in duck.execute(sql("dimensions_to_compare")).fetchall()]
        spelled = {"text": found, "canonical": list(map(_canonical, found))}
        duck.register("spellings", pa.table(spelled, schema=SPELLINGS))
        duck.execute(sql("spelled_rollups"))
        cursor = duck.execute(sql("items_per_event"))
    except duckdb.IOException as problem:
        raise _unreadable(version, problem) from problem
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _open(table: UsageTableVersion, duck: duckdb.DuckDBPyConnection, month: BillingMonth, version: int) -> None:
    try:
        table.open_view(duck, "events", month, version=version, by_meter=True)
    except (UsageTableMismatch, UsageVersionGone, duckdb.IOException) as problem:
        raise _unreadable(version, problem) from problem


def _unreadable(version: int, problem: Exception) -> UsageUnreadable:
    reason = str(problem).splitlines()[0]
    return UsageUnreadable(f"version {version} of the usage table can no longer be read (vacuumed?): {reason}")


@dataclass(frozen=True, slots=True)
class _RollupRow:
    """A rollup of an item. `dimensions` is a JSON object."""

    organization_id: str
    rollup_id: UUID
    meter: str
    dimensions: str
    segment_start: datetime
    segment_end: datetime


def _register(duck: duckdb.DuckDBPyConnection, rollups: Sequence[_RollupRow]) -> None:
    """Register the rollups as the table `billed`, with their dimensions in the usage table's spelling.

    Postgres formats the same JSON differently, so dimensions are compared by value.
    """
    names = sorted({rollup.organization_id for rollup in rollups})
    duck.register("wanted", pa.table({"organization_id": pa.array(names, pa.string())}))
    written: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for organization, meter, text in duck.execute(
        "select distinct organization_id, meter, dimensions from events semi join wanted using (organization_id)"
        " where not is_duplicate"
    ).fetchall():
        written[organization, meter][_canonical(text)] = text
    spelled = []
    for rollup in rollups:
        canonical = _canonical(rollup.dimensions)
        spelled.append(written[rollup.organization_id, rollup.meter].get(canonical, canonical))
    columns: dict[str, list[Any]] = {
        "organization_id": [rollup.organization_id for rollup in rollups],
        "meter": [rollup.meter for rollup in rollups],
        "dimensions": spelled,
        "segment_start": [rollup.segment_start for rollup in rollups],
        "segment_end": [rollup.segment_end for rollup in rollups],
        "rollup_id": [str(rollup.rollup_id) for rollup in rollups],
    }
    duck.register("billed", pa.table(columns, schema=BILLED))


@lru_cache(maxsize=65_536)
def _canonical(dimensions: str) -> str:
    """Return the JSON object with sorted keys, so that equal objects are equal texts. Most months have few of them."""
    return json.dumps(json.loads(dimensions), sort_keys=True)
