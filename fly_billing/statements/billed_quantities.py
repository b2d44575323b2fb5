"""Reads the events that determine an item's quantities if its meter does not just sum or count them.

Reads the month's events and, for levels from before the month, the events that reported them, from the version of the
usage table that was billed. Does not read `carried_levels` in Postgres, which may be newer: late usage of an earlier
month changes these levels, but not what a final invoice billed.

Needs in DuckDB: `events` (of the month), `billed`, and the macro and variables of `statements.billed_events`.
Not here: the sums that explain the quantities (`statements.rules.quantities`).
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
from fly_billing.usage.rules.aggregation_groups import NON_ADDITIVE, aggregation_groups
from fly_billing.usage.usage_table import UsageTableVersion

# Dimensions as (name, value) pairs, however their JSON is written.
Dimensions = frozenset[tuple[str, str]]


def explain_quantities(
    duck: duckdb.DuckDBPyConnection, table: UsageTableVersion, usage: BilledUsage
) -> dict[UUID, Sum]:
    """Return the sum that explains each rollup's quantity, by its id; empty if the meter just sums or counts events."""
    if usage.aggregation.name in ("sum", "count"):
        return {}
    meter = {"organization": usage.organization_id, "meter": usage.meter}
    groups = aggregation_groups((key, frozenset(dimensions.items())) for key, dimensions in usage.priced)
    _register_aggregation_groups(duck, usage, groups)
    landed = _read(duck, "deciding_events", {**meter, "aggregation": usage.aggregation.name})
    opening_levels: dict[Dimensions, list[LandedMeasurement]] = {}
    if usage.aggregation.name == "time_weighted":
        table.open_view(duck, "earlier_events", version=usage.usage_table_version, by_meter=True)
        opening_levels = _read(duck, "reported_before_month", {**meter, "month_start": usage.month.start})
    explained = {}
    for rollup in usage.rollups:
        dimensions = frozenset(rollup.usage.dimensions.items())
        elsewhere = [
            event
            for other, events in landed.items()
            if other != dimensions
            and (usage.aggregation.name not in NON_ADDITIVE or groups.get(other, -1) == groups.get(dimensions))
            for event in events
        ]
        deciding = DecidingEvents(
            usage.aggregation, usage.month, usage.rolled_up_at,
            landed.get(dimensions, []), opening_levels.get(dimensions, []), elsewhere,
        )  # fmt: skip
        explained[rollup.usage.id] = explain_quantity(rollup.usage, rollup.events, usage.unit, deciding)
    return explained


def _register_aggregation_groups(
    duck: duckdb.DuckDBPyConnection, usage: BilledUsage, groups: Mapping[Dimensions, int]
) -> None:
    """Register `aggregation_groups`: the dimensions counted with the item's, as the usage table writes them.

    `aggregation_group` is the number of the group. Dimensions of the item that are in no group get a negative number
    each.
    """
    ours = {frozenset(rollup.usage.dimensions.items()) for rollup in usage.rollups}
    wanted = {groups[dimensions] for dimensions in ours if dimensions in groups}
    written = duck.execute(
        "select distinct dimensions from events where not is_duplicate and organization_id = $organization"
        " and meter = $meter",
        {"organization": usage.organization_id, "meter": usage.meter},
    ).fetchall()
    rows = []
    for place, (text,) in enumerate(written):
        dimensions = frozenset(json.loads(text).items())
        if groups.get(dimensions) in wanted:
            rows.append({"dimensions": text, "aggregation_group": groups[dimensions]})
        elif dimensions in ours:
            rows.append({"dimensions": text, "aggregation_group": -1 - place})
    schema = pa.schema([("dimensions", pa.string()), ("aggregation_group", pa.int64())])
    duck.register("aggregation_groups", pa.Table.from_pylist(rows, schema=schema))


def _read(
    duck: duckdb.DuckDBPyConnection, statement: str, parameters: Mapping[str, Any]
) -> dict[Dimensions, list[LandedMeasurement]]:
    """Run a statement and return its events by their dimensions."""
    events: dict[Dimensions, list[LandedMeasurement]] = defaultdict(list)
    for text, *columns in duck.execute(sql(statement), dict(parameters)).fetchall():
        events[frozenset(json.loads(text).items())].append(LandedMeasurement(*columns))
    return events
