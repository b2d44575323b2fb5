"""The events behind an item, read from the usage table at just the version that was billed; and whether any is missing.

The events are matched to the item's rollups as `sql_duckdb/roll_up_usage.sql` adds them up. Keeps out: amounts.
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

from fly_billing.money import EXACT, plain
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, Row
from fly_billing.postgres.isolation import readable_rows
from fly_billing.postgres.statements import sql
from fly_billing.statements.billed_quantities import explain_quantities
from fly_billing.statements.explanation_reader import BilledUsage
from fly_billing.statements.rules.sums import Sum
from fly_billing.usage.landing_ledger import open_usage_table
from fly_billing.usage.usage_table import (
    UsageTable,
    UsageTableMismatch,
    UsageTableVersion,
    UsageVersionGone,
    open_duckdb,
)

# Rows that are held in memory at once while events are listed.
CHUNK = 10_000
_MOMENT = pa.timestamp("us", "UTC")
BILLED = pa.schema(
    [
        ("invoice_id", pa.string()), ("organization_id", pa.string()), ("meter", pa.string()),
        ("dimensions", pa.string()), ("segment_start", _MOMENT), ("segment_end", _MOMENT), ("rollup_id", pa.string()),
        ("events", pa.int64()), ("item_id", pa.string()),
    ]
)  # fmt: skip
COVERED = pa.schema([("invoice_id", pa.string()), ("organization_id", pa.string())])


class UsageUnreadable(Exception):
    """The version of the usage table that was billed can't be read any more. The message says why."""


@dataclass(frozen=True)
class BilledEvent:
    """One event as it landed: `path` below its landing day's folder, `line` from 1; `so_far` is the running sum.

    `quantity` is as the meter counts it, `measured` as it landed: they differ where the meter rounds each event.
    `value` is that of the property by which the meter tells values or series apart, if it does.
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
    """One landed file, with how many of its rows are in the item and what they add up to."""

    landing_day: date
    path: str
    events: int
    quantity: Decimal

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data; the quantity is text."""
        return {**vars(self), "landing_day": self.landing_day.isoformat(), "quantity": plain(self.quantity)}


class BilledEvents:
    """The events of one item, in an open DuckDB. Made by `open_billed_events`.

    `quantities` says of each rollup, by its id, how its events come to its quantity; empty where they are summed or
    counted.
    """

    def __init__(self, duck: duckdb.DuckDBPyConnection, usage: BilledUsage, quantities: Mapping[UUID, Sum]) -> None:
        self._duck = duck
        self._usage = usage
        self.quantities = quantities

    def files(self) -> list[UsageFile]:
        return [UsageFile(*row) for row in self._duck.execute(sql("files_of_billed_events")).fetchall()]

    def events(self) -> Iterator[BilledEvent]:
        """Yield all events in the order of their times, with the running sum of their quantities."""
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
        """Return a sentence for each rollup that the events do not come to, in number or in quantity."""
        found = {
            UUID(rollup): (events, quantity)
            for rollup, events, quantity in self._duck.execute(
                "select rollup_id, count(*), sum(quantity) from billed_events group by rollup_id"
            ).fetchall()
        }
        wrong = []
        for one in self._usage.rollups:
            events, quantity = found.get(one.usage.id, (0, Decimal(0)))
            added_up = {"sum": quantity, "count": Decimal(events)}.get(self._usage.aggregation.name)
            differs = added_up is not None and added_up != one.usage.quantity
            if events != one.events or differs:
                wrong.append(
                    f"Events: {dict(one.usage.dimensions)} was billed as {plain(one.usage.quantity)} from"
                    f" {one.events} events; the usage table has {events} that add up to {plain(quantity)}"
                )
        return wrong + [problem for one in self.quantities.values() for problem in one.problems()]


@contextmanager
def open_billed_events(database: BillingDatabase, lake: UsageTable, usage: BilledUsage) -> Iterator[BilledEvents]:
    """Yield the events that the item's usage was added up from. Raises UsageUnreadable."""
    with open_duckdb(lake.memory_mb) as duck:
        try:
            table = open_usage_table(database, lake)
        except UsageTableMismatch as problem:
            raise UsageUnreadable(str(problem)) from None
        _open(table, duck, usage.month, usage.lake_version)
        wanted = [
            {
                "organization_id": usage.organization_id,
                "meter": one.usage.meter,
                "dimensions": json.dumps(dict(one.usage.dimensions)),
                "segment_start": one.usage.segment_start,
                "segment_end": one.usage.segment_end,
                "rollup_id": str(one.usage.id),
            }
            for one in usage.rollups
        ]
        try:
            _register(duck, wanted)
            duck.execute("set variable property = $value", {"value": usage.told_apart_by})
            rounding = usage.aggregation.round_each_event
            duck.execute("set variable event_step = $value", {"value": rounding and rounding.step})
            duck.execute("set variable event_round = $value", {"value": rounding and rounding.round})
            duck.execute(sql("counted_quantity"))
            duck.execute(sql("billed_events"))
            quantities = explain_quantities(duck, table, usage)
        except (UsageTableMismatch, UsageVersionGone, duckdb.IOException) as problem:
            raise _unreadable(usage.lake_version, problem) from problem
        yield BilledEvents(duck, usage, quantities)


def check_items_per_event(
    database: BillingDatabase, lake: UsageTable, month: BillingMonth, groups: Sequence[str]
) -> list[Row]:
    """Find accepted events that are not in exactly one item of their organization's invoice of the month.

    Every invoice is held against the version of the usage table that it billed. Returns one row per invoice and set of
    dimensions with such events; empty: the items are complete and disjoint. A version that can't be read any more is a
    row too, without an organization: nothing is known of its events. Raises UsageTableMismatch.
    """
    by_version: dict[int, list[Row]] = defaultdict(list)
    wrong: list[Row] = []
    found, unread = _rollups_of_invoices(database, month, groups)
    wrong += [
        {"organization_id": name, "events": 0, "problem": f"its rollups can't be read: {reason}; correct the row"}
        for name, reason in sorted(unread.items())
    ]
    for row in found:
        if row["organization_id"] not in unread:
            by_version[row["lake_version"]].append(row)
    table = open_usage_table(database, lake)
    for version, billed in sorted(by_version.items()):
        try:
            wrong += _not_in_one_item(table, month, version, billed)
        except UsageUnreadable as problem:
            events = sum(row["events"] or 0 for row in billed)
            wrong.append({"organization_id": None, "events": events, "problem": str(problem)})
    return wrong


def _rollups_of_invoices(
    database: BillingDatabase, month: BillingMonth, groups: Sequence[str]
) -> tuple[list[Row], dict[str, str]]:
    """Read the rollups that invoices bill, and by organization why some can't be read."""
    known = database.rows("rollups_of_invoices", month=month.first_day, groups=list(groups))
    # A snapshot without usage has a row without a rollup.
    of_rollup = {"rollup_id", "meter", "dimensions", "segment_start", "segment_end", "events"}
    used, bad = readable_rows([row for row in known if row["rollup_id"] is not None], {"item_id"})
    unused, worse = readable_rows([row for row in known if row["rollup_id"] is None], {"item_id", *of_rollup})
    return used + unused, {one.organization_id: one.reason for one in bad + worse}


def _not_in_one_item(table: UsageTableVersion, month: BillingMonth, version: int, found: Sequence[Row]) -> list[Row]:
    with open_duckdb(table.memory_mb) as duck:
        _open(table, duck, month, version)
        pairs = {(str(row["invoice_id"]), row["organization_id"]) for row in found}
        covered = [{"invoice_id": invoice, "organization_id": name} for invoice, name in sorted(pairs)]
        duck.register("covered", pa.Table.from_pylist(covered, schema=COVERED))
        try:
            _register(duck, [row for row in found if row["rollup_id"] is not None])
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
    return UsageUnreadable(f"version {version} of the usage table can't be read any more (vacuumed?): {reason}")


def _register(duck: duckdb.DuckDBPyConnection, wanted: Sequence[Mapping[str, Any]]) -> None:
    """Make the table `billed` of these rollups, with their dimensions as the usage table writes them.

    Postgres writes the same JSON otherwise: both are compared by what they say.
    """
    names = sorted({one["organization_id"] for one in wanted})
    duck.register("wanted", pa.table({"organization_id": pa.array(names, pa.string())}))
    written: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for organization, meter, text in duck.execute(
        "select distinct organization_id, meter, dimensions from events semi join wanted using (organization_id)"
        " where not is_duplicate"
    ).fetchall():
        written[organization, meter][_canonical(text)] = text
    rows = []
    for one in wanted:
        canonical = _canonical(one["dimensions"])
        text = written[one["organization_id"], one["meter"]].get(canonical, canonical)
        strings = {name: str(one[name]) for name in ("invoice_id", "rollup_id", "item_id") if one.get(name) is not None}
        rows.append({**one, **strings, "dimensions": text})
    duck.register("billed", pa.Table.from_pylist(rows, schema=BILLED))


@lru_cache(maxsize=65_536)
def _canonical(dimensions: str) -> str:
    """Write a JSON object in the one way that all who say the same have in common. Mostly they are few."""
    return json.dumps(json.loads(dimensions), sort_keys=True)
