"""The levels with which a month begins: what its time-weighted meters still hold from before.

They are kept in Postgres for every month, each with the version of the usage table that it was worked out from. A
month's first levels are those of the month before, and the last ones that its events told: one month's events are read,
of the time-weighted meters only, and none while no usage of an earlier month was landed. Usage that comes late for an
earlier month, or vanishes from it, makes the levels of all months after it unknown: they are worked out again from
there on. So the cost does not grow with history, and what is kept can be made again from the usage table at any time.

Reading all earlier months each time would need no table, but in its second year a platform would read twelve times what
it reads at first. Levels of 0 are not kept: a Machine that was stopped is gone.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa
from sqlalchemy import Connection

from fly_billing.periods import BillingMonth, months_between
from fly_billing.postgres.database import BillingDatabase, copy_rows, lock_until_commit, rows
from fly_billing.postgres.statements import sql
from fly_billing.usage.usage_table import QUANTITY, UsageTableVersion

LEVEL_COLUMNS = ("organization_id", "meter", "dimensions", "series", "level")
LEVELS = pa.schema([*((name, pa.string()) for name in LEVEL_COLUMNS[:-1]), ("level", QUANTITY)])


def open_carried_levels(
    duck: duckdb.DuckDBPyConnection, database: BillingDatabase, table: UsageTableVersion, month: BillingMonth
) -> None:
    """Make the table `carried_levels` in DuckDB: the levels of all organizations at the month's start.

    They are worked out from `table`; the view or table `meters` must be there. Months worked out on the way are
    kept in Postgres, in a transaction of their own: they are true whatever becomes of the roll-up.
    """
    weighted = duck.execute("select count(*) from meters where aggregation = 'time_weighted'").fetchall()
    _make(duck, LEVELS.empty_table())
    if weighted == [(0,)]:
        return
    with database.transaction() as connection:
        lock_until_commit(connection, "carried_levels")
        known = _known_month(connection, month)
        if known is None:
            return
        _make(duck, pa.Table.from_pylist(_levels(connection, known), schema=LEVELS))
        for earlier in months_between(known, month.plus(-1)):
            table.open_view(duck, "earlier_events", earlier, by_meter=True)
            duck.execute(sql("carry_levels"))
            _keep(duck, connection, earlier.next(), table.version)


def _make(duck: duckdb.DuckDBPyConnection, levels: pa.Table) -> None:
    duck.register("known_levels", levels)
    duck.execute("create or replace temp table carried_levels as from known_levels")


def _known_month(connection: Connection, month: BillingMonth) -> BillingMonth | None:
    """Return the last month whose first levels are known: at the latest the first one with usage, which has none."""
    found = rows(connection, "known_carried_month", month=month.first_day) or rows(connection, "first_landed_month")
    first = found[0]["month"]
    return BillingMonth(first.year, first.month) if first else None


def _levels(connection: Connection, month: BillingMonth) -> list[dict[str, object]]:
    return [dict(row) for row in rows(connection, "carried_levels_of_month", month=month.first_day)]


def _keep(duck: duckdb.DuckDBPyConnection, connection: Connection, month: BillingMonth, version: int) -> None:
    rows(connection, "forget_carried_month", month=month.first_day)
    rows(connection, "add_carried_month", month=month.first_day, lake_version=version)
    cursor = duck.execute("select $month, * from carried_levels", {"month": month.first_day})
    while chunk := cursor.fetchmany(50_000):
        copy_rows(connection, "carried_levels", ("month", *LEVEL_COLUMNS), chunk)
