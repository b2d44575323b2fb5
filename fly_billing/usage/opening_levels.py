"""The levels at the start of a month: what its time-weighted meters carry over from earlier months.

Postgres keeps them for every month, with the version of the usage table that they were calculated from. The opening
levels of a month are those of the month before, updated by the last level of each series in that month's events. So a
roll-up reads one more month at most, and only if the platform has time-weighted meters. Usage that later lands for an
earlier month, or disappears from it, invalidates the levels of all later months; they are recalculated from there on.

Reading all earlier months each time would need no table, but would read twelve times as much in the second year.
Levels of 0 are not kept: a stopped Machine is gone.
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


def load_opening_levels(
    duck: duckdb.DuckDBPyConnection, database: BillingDatabase, table: UsageTableVersion, month: BillingMonth
) -> None:
    """Create DuckDB's table `carried_levels`: the levels of all organizations at the start of the month.

    Needs the table or view `meters`. Calculates missing months from `table` and stores them in Postgres in a separate
    transaction: they stay correct even if the roll-up fails.
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
    """Return the last month whose opening levels are known. The first month with usage always is: it has none."""
    found = rows(connection, "last_carried_month", month=month.first_day) or rows(connection, "first_landed_month")
    first = found[0]["month"]
    return BillingMonth(first.year, first.month) if first else None


def _levels(connection: Connection, month: BillingMonth) -> list[dict[str, object]]:
    return [dict(row) for row in rows(connection, "month_opening_levels", month=month.first_day)]


def _keep(duck: duckdb.DuckDBPyConnection, connection: Connection, month: BillingMonth, version: int) -> None:
    rows(connection, "delete_carried_month", month=month.first_day)
    rows(connection, "record_carried_month", month=month.first_day, lake_version=version)
    cursor = duck.execute("select $month, * from carried_levels", {"month": month.first_day})
    while chunk := cursor.fetchmany(50_000):
        copy_rows(connection, "carried_levels", ("month", *LEVEL_COLUMNS), chunk)
