"""Adds a month's events up in DuckDB, per organization, meter and dimensions, as `domain.aggregations` says.

Wants there: `events` (the usage table's rows of the month), `carried_levels` (`resources.carried_levels`), and what
`register_terms` brings. Keeps out: Postgres.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import duckdb
import pyarrow as pa

from fly_billing.domain.periods import BillingMonth
from fly_billing.resources.postgres import Row
from fly_billing.resources.statements import sql

METERS = pa.schema([*((name, pa.string()) for name in ("key", "aggregation", "property")), ("time_unit", pa.int64())])
SEGMENTS = pa.schema(
    [("meter", pa.string())] + [(name, pa.timestamp("us", "UTC")) for name in ("segment_start", "segment_end")]
)
# In this order: each makes what the next one reads.
STATEMENTS = (
    "accepted_usage", "told_levels", "number_totals", "level_time", "usage_by_day", "level_time_by_day",
    "make_quantities",
)  # fmt: skip
# Totals whose days are put together at once: what that takes of memory does not grow with the month.
TOTALS_AT_ONCE = 50_000


def register_terms(
    duck: duckdb.DuckDBPyConnection, meters: Sequence[Row], segments: Sequence[Row], organizations: Sequence[str]
) -> None:
    """Register how meters add up, where prices cut the month, and whose usage is added up."""
    duck.register("meters", pa.Table.from_pylist([dict(row) for row in meters], schema=METERS))
    duck.register("segments", pa.Table.from_pylist([dict(row) for row in segments], schema=SEGMENTS))
    duck.register("billed_organizations", pa.table({"id": pa.array(organizations, pa.string())}))


def add_up(duck: duckdb.DuckDBPyConnection, month: BillingMonth, as_of: datetime) -> None:
    """Make the table `quantities`: one row per organization, meter, dimensions and segment with usage.

    Levels are counted until `as_of`, and no further than the month's end.
    """
    set_bounds(duck, month, as_of)
    for statement in STATEMENTS:
        duck.execute(sql(statement))
    ((totals,),) = duck.execute("select count(*) from totals").fetchall()
    for after in range(0, totals, TOTALS_AT_ONCE):
        duck.execute(sql("roll_up_usage"), {"after": after, "count": TOTALS_AT_ONCE})
    duck.execute("drop table usage_by_day; drop table totals")  # large, and done with


def set_bounds(duck: duckdb.DuckDBPyConnection, month: BillingMonth, as_of: datetime) -> dict[str, datetime | int]:
    """Set the variables that the statements read, and return them: the month's edges and days, and `counted_until`."""
    bounds: dict[str, datetime | int] = {
        "month_start": month.start,
        "month_end": month.end,
        "days": month.seconds // 86_400,
        "counted_until": max(month.start, min(month.end, as_of)),
    }
    for name, value in bounds.items():
        duck.execute(f"set variable {name} = $value", {"value": value})
    return bounds


def add_up_again(duck: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], tuple[int, Decimal]]:
    """Return (organization, meter) -> (events, quantity), added up another way, for the comparison.

    After `add_up`. What has neither events nor a quantity is left out.
    """
    found = duck.execute(sql("sum_usage_again")).fetchall()
    return {(organization, meter): (events, quantity) for organization, meter, events, quantity in found}
