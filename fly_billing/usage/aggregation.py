"""Aggregates a month's events in DuckDB, per organization, meter and dimensions (`pricing.rules.aggregations`).

Needs the view `events` (the month's rows of the usage table), the table `carried_levels` (`usage.opening_levels`), and
the tables of `register_terms`. Not here: Postgres.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import duckdb
import pyarrow as pa

from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import Row
from fly_billing.postgres.statements import sql
from fly_billing.usage.rules.aggregation_groups import NON_ADDITIVE, aggregation_groups
from fly_billing.usage.usage_table import QUANTITY

METERS = pa.schema(
    [
        *((name, pa.string()) for name in ("key", "aggregation", "property", "event_round")),
        ("time_unit", pa.int64()), ("event_step", QUANTITY),
    ]
)  # fmt: skip
ORGANIZATIONS = pa.schema([("id", pa.string()), ("segmentation", pa.int64())])
AGGREGATION_GROUPS = pa.schema(
    [*((name, pa.string()) for name in ("organization_id", "meter", "dimensions")), ("aggregation_group", pa.int64())]
)
SEGMENTS = pa.schema(
    [("segmentation", pa.int64()), ("meter", pa.string())]
    + [(name, pa.timestamp("us", "UTC")) for name in ("segment_start", "segment_end")]
)
# The order matters: each statement reads the results of the earlier ones.
ADDING_UP = ("create_quantities", "level_readings", "level_time", "added_up_meters", "texts_of_days", "add_up_usage")
# For meters that do more than add up their events.
STATEMENTS = ("number_totals", "usage_by_day", "level_time_by_day")
# Limits the totals whose days are collected at once, so that memory use does not grow with the month.
TOTALS_AT_ONCE = 50_000


def register_terms(
    duck: duckdb.DuckDBPyConnection,
    meters: Sequence[Row],
    segments: Sequence[Row],
    organizations: Sequence[str],
    cuts: Mapping[str, Mapping[str, Collection[datetime]]] | None = None,
) -> None:
    """Register the meters, the segments into which prices divide the month, and the organizations to roll up.

    Organizations with the same segments share a segmentation.

    Args:
        segments: The segments that apply to all organizations.
        cuts: Further boundaries within the month, by organization and meter.
    """
    of_organization, rows = _segmentations(segments, organizations, cuts or {})
    duck.register("meters", pa.Table.from_pylist([dict(row) for row in meters], schema=METERS))
    duck.register("segments", pa.Table.from_pylist(rows, schema=SEGMENTS))
    duck.register("billed_organizations", pa.Table.from_pylist(of_organization, schema=ORGANIZATIONS))


def _segmentations(
    segments: Sequence[Row], organizations: Sequence[str], cuts: Mapping[str, Mapping[str, Collection[datetime]]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the segmentation of each organization, and the segments of each segmentation. Number 0 has no cuts."""
    numbers: dict[frozenset[tuple[str, datetime]], int] = {frozenset(): 0}
    own = []
    for name in organizations:
        moments = frozenset((meter, moment) for meter, some in cuts.get(name, {}).items() for moment in some)
        own.append({"id": name, "segmentation": numbers.setdefault(moments, len(numbers))})
    rows = []
    for moments, number in numbers.items():
        for row in segments:
            start, end = row["segment_start"], row["segment_end"]
            inside = sorted(moment for meter, moment in moments if meter == row["meter"] and start < moment < end)
            edges = [start, *inside, end]
            rows += [
                {"segmentation": number, "meter": row["meter"], "segment_start": begins, "segment_end": ends}
                for begins, ends in pairwise(edges)
            ]
    return own, rows


# (organization, meter, dimensions, moment) -> the key of the price that applies, or None.
PriceOf = Callable[[str, str, Mapping[str, str], datetime], str | None]


def no_price(organization: str, meter: str, dimensions: Mapping[str, str], moment: datetime) -> None:
    """Find no price, so that all dimensions are counted separately."""


def aggregate(
    duck: duckdb.DuckDBPyConnection, month: BillingMonth, as_of: datetime, price_of: PriceOf = no_price
) -> None:
    """Create the table `quantities`: one row per organization, meter, dimensions and segment with usage.

    Args:
        as_of: Levels count up to this moment, at most up to the end of the month.
        price_of: Non-additive meters count dimensions together that have the same price.
    """
    set_bounds(duck, month, as_of)
    duck.execute(sql("accepted_usage"))
    used = duck.execute(sql("used_dimensions")).fetchall() if has_non_additive_meters(duck) else []
    register_aggregation_groups(duck, used, price_of)
    for statement in ADDING_UP:
        duck.execute(sql(statement))
    if has_other_meters(duck):
        _aggregate_other_meters(duck)


def _aggregate_other_meters(duck: duckdb.DuckDBPyConnection) -> None:
    for statement in STATEMENTS:
        duck.execute(sql(statement))
    ((totals,),) = duck.execute("select count(*) from totals").fetchall()
    for after in range(0, totals, TOTALS_AT_ONCE):
        duck.execute(sql("roll_up_usage"), {"after": after, "count": TOTALS_AT_ONCE})
    duck.execute("drop table usage_by_day; drop table totals")  # they are large and no longer needed


def has_other_meters(duck: duckdb.DuckDBPyConnection) -> bool:
    """Return True if there are meters besides those that `add_up_usage` adds up."""
    ((found,),) = duck.execute("select count(*) > 0 from meters anti join added_up_meters using (key)").fetchall()
    return bool(found)


def has_non_additive_meters(duck: duckdb.DuckDBPyConnection) -> bool:
    """Return True if the quantities of a meter can't be summed over dimensions. Grouping reads the events once more."""
    found = duck.execute("select distinct aggregation from meters").fetchall()
    return not {name for (name,) in found}.isdisjoint(NON_ADDITIVE)


def register_aggregation_groups(
    duck: duckdb.DuckDBPyConnection, used: Iterable[tuple[str, str, str, datetime]], price_of: PriceOf
) -> None:
    """Register the table `aggregation_groups`: the number of the group of each of the `used_dimensions`."""
    priced: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for organization, meter, dimensions, moment in used:
        if key := price_of(organization, meter, json.loads(dimensions), moment):
            priced[organization, meter].append((key, dimensions))
    rows = [
        {"organization_id": organization, "meter": meter, "dimensions": dimensions, "aggregation_group": group}
        for (organization, meter), some in priced.items()
        for dimensions, group in aggregation_groups(some).items()
    ]
    duck.register("aggregation_groups", pa.Table.from_pylist(rows, schema=AGGREGATION_GROUPS))


def set_bounds(duck: duckdb.DuckDBPyConnection, month: BillingMonth, as_of: datetime) -> dict[str, datetime | int]:
    """Set and return the variables of the statements: the month's bounds and days, and `counted_until`."""
    bounds: dict[str, datetime | int] = {
        "month_start": month.start,
        "month_end": month.end,
        "days": month.seconds // 86_400,
        "counted_until": max(month.start, min(month.end, as_of)),
    }
    for name, value in bounds.items():
        duck.execute(f"set variable {name} = $value", {"value": value})
    return bounds


def recount(duck: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], tuple[int, Decimal]]:
    """Aggregate again by a simpler method, to compare. Returns (events, quantity) by (organization, meter).

    Call after `aggregate`. Omits meters without events and quantity.
    """
    found = duck.execute(sql("recount_usage")).fetchall()
    return {(organization, meter): (events, quantity) for organization, meter, events, quantity in found}
