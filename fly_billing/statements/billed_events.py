"""Reads an item's events from the version of the usage table that was billed.

Matches events to rollups as `usage/sql_duckdb/roll_up_usage.sql` does. Not here: amounts, and whether every event of a
month is in an item (`invoicing.event_check`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import duckdb
import pyarrow as pa

from fly_billing.invoicing.event_check import (
    UsageUnreadable,
    canonical_dimensions,
    open_billed_version,
    unreadable_version,
)
from fly_billing.money import EXACT, counted, plain
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.statements import sql
from fly_billing.statements.billed_quantities import explain_quantities
from fly_billing.statements.explanation_reader import BilledUsage
from fly_billing.statements.rules.sums import Sum
from fly_billing.usage.data_files import UsageTableMismatch
from fly_billing.usage.landing_ledger import open_usage_table
from fly_billing.usage.usage_table import UsageTable, UsageVersionGone, open_duckdb

# Rows in memory at a time while events are listed.
CHUNK = 10_000
_MOMENT = pa.timestamp("us", "UTC")
BILLED = pa.schema(
    [
        ("organization_id", pa.string()), ("meter", pa.string()), ("dimensions", pa.string()),
        ("segment_start", _MOMENT), ("segment_end", _MOMENT), ("rollup_id", pa.string()),
    ]
)  # fmt: skip


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
        open_billed_version(table, duck, usage.month, usage.usage_table_version)
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
            raise unreadable_version(usage.usage_table_version, problem) from problem
        yield BilledEvents(duck, usage, quantities)


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
        written[organization, meter][canonical_dimensions(text)] = text
    spelled = []
    for rollup in rollups:
        canonical = canonical_dimensions(rollup.dimensions)
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
