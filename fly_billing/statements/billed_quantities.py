"""Reads which events decided an item's quantities, where they are no plain sum, for `statements.rules.quantities`.

Read are the month's events, and for levels that were held from before the events that told them: all from the version
of the usage table that was billed. `carried_levels` in Postgres may be newer than that: usage that came late for an
earlier month changes them, and not what a final invoice billed. Wants in DuckDB: `events` (the month's), `billed`
(`statements.billed_events`). Keeps out: what is made of the events.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import duckdb
import pyarrow as pa

from fly_billing.postgres.statements import sql
from fly_billing.statements.explanation_reader import BilledUsage
from fly_billing.statements.rules.quantities import DecidingEvents, LandedMeasurement, explain_quantity
from fly_billing.statements.rules.sums import Sum
from fly_billing.usage.rules.counted_together import NOT_ADDED, counted_together
from fly_billing.usage.usage_table import UsageTableVersion

# A set of dimensions, however it is written.
Dimensions = frozenset[tuple[str, str]]


def explain_quantities(
    duck: duckdb.DuckDBPyConnection, table: UsageTableVersion, usage: BilledUsage
) -> dict[UUID, Sum]:
    """Return how each rollup's quantity comes about, by its id; empty where events are just summed or counted."""
    if usage.aggregation.name in ("sum", "count"):
        return {}
    whose = {"organization": usage.organization_id, "meter": usage.meter}
    groups = counted_together((key, frozenset(dimensions.items())) for key, dimensions in usage.priced)
    _register_together(duck, usage, groups)
    decided = _read(duck, "deciding_events", {**whose, "aggregation": usage.aggregation.name})
    told: dict[Dimensions, list[LandedMeasurement]] = {}
    if usage.aggregation.name == "time_weighted":
        table.open_view(duck, "earlier_events", version=usage.lake_version, by_meter=True)
        told = _read(duck, "reported_before_month", {**whose, "month_start": usage.month.start})
    explained = {}
    for one in usage.rollups:
        dimensions = frozenset(one.usage.dimensions.items())
        elsewhere = [
            event
            for other, events in decided.items()
            if other != dimensions
            and (usage.aggregation.name not in NOT_ADDED or groups.get(other, -1) == groups.get(dimensions))
            for event in events
        ]
        deciding = DecidingEvents(
            usage.aggregation, usage.month, usage.rolled_up_at,
            decided.get(dimensions, []), told.get(dimensions, []), elsewhere,
        )  # fmt: skip
        explained[one.usage.id] = explain_quantity(one.usage, one.events, usage.unit, deciding)
    return explained


def _register_together(duck: duckdb.DuckDBPyConnection, usage: BilledUsage, groups: Mapping[Dimensions, int]) -> None:
    """Register `counted_together`: what counts together with the item's usage, as the table writes dimensions."""
    ours = {frozenset(one.usage.dimensions.items()) for one in usage.rollups}
    wanted = {groups[one] for one in ours if one in groups}
    written = duck.execute(
        "select distinct dimensions from events where not is_duplicate and organization_id = $organization"
        " and meter = $meter",
        {"organization": usage.organization_id, "meter": usage.meter},
    ).fetchall()
    rows = []
    for place, (text,) in enumerate(written):
        dimensions = frozenset(json.loads(text).items())
        if groups.get(dimensions) in wanted:
            rows.append({"dimensions": text, "together": groups[dimensions]})
        elif dimensions in ours:
            rows.append({"dimensions": text, "together": -1 - place})
    schema = pa.schema([("dimensions", pa.string()), ("together", pa.int64())])
    duck.register("counted_together", pa.Table.from_pylist(rows, schema=schema))


def _read(
    duck: duckdb.DuckDBPyConnection, statement: str, parameters: Mapping[str, Any]
) -> dict[Dimensions, list[LandedMeasurement]]:
    found: dict[Dimensions, list[LandedMeasurement]] = defaultdict(list)
    for text, *event in duck.execute(sql(statement), dict(parameters)).fetchall():
        found[frozenset(json.loads(text).items())].append(LandedMeasurement(*event))
    return found
