"""Rolls usage up: events of the lake -> exact quantities per organization, meter and dimensions, in Postgres.

What an organization used in a month is a snapshot, named after its content: rolling up unchanged usage again changes
nothing, and a snapshot that a finalized invoice billed stays for ever. Keeps out: what the aggregations are
(`domain.aggregations`), how and where events are added up (`rollup_engines`), prices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import duckdb
from sqlalchemy import Connection

from fly_billing.domain.errors import ToBeMended
from fly_billing.domain.periods import BillingMonth
from fly_billing.resources.adding_up import register_terms
from fly_billing.resources.carried_levels import open_carried_levels
from fly_billing.resources.duckdb_to_postgres import copy_table
from fly_billing.resources.postgres import BillingDatabase, Row, lock_until_commit, rows
from fly_billing.resources.rollup_engines import OnDuckDB, RollupEngine
from fly_billing.resources.statements import sql
from fly_billing.resources.usage_lake import UsageLake, open_duckdb
from fly_billing.resources.usage_ledger import open_against_ledger

ROLLUP_COLUMNS = (
    "id", "snapshot_id", "meter", "dimensions", "segment_start", "segment_end", "quantity", "events", "daily",
)  # fmt: skip
# Organizations whose snapshots are made at once.
ORGANIZATIONS_AT_ONCE = 2000
SNAPSHOT_COLUMNS = ("id", "organization_id", "fingerprint", "events")


class RollupMismatch(ToBeMended):
    """Rollups do not hold what the usage table holds. Nothing was written; `rows` says where they differ."""

    def __init__(self, month: BillingMonth, rows: list[Row]) -> None:
        first = ", ".join(f"{name} {value}" for name, value in rows[0].items())
        super().__init__(
            f"{len(rows)} rollups of {month} differ from the usage table, nothing was written; the first: {first}"
        )
        self.rows = rows


@dataclass(frozen=True)
class RolledUp:
    """What a run rolled up: organizations, their events and rollups, and the table version all of it is from."""

    lake_version: int
    organizations: int
    events: int
    rollups: int
    changed: int


def roll_up(
    database: BillingDatabase,
    lake: UsageLake,
    month: BillingMonth,
    groups: Sequence[str],
    now: datetime,
    engine: RollupEngine | None = None,
) -> RolledUp:
    """Roll the month up for all organizations of these billing groups, as of `now` where the month is not over.

    Events are added up by `engine`, by DuckDB unless told otherwise.

    Before it is committed, what stands in Postgres is compared with the events, added up once more. Raises
    RollupMismatch where an organization would be billed for anything else than it used, and UsageTableMismatch where
    the usage table is not what was landed.
    """
    engine = engine or OnDuckDB()
    with open_duckdb() as duck, database.transaction() as connection:
        lock_until_commit(connection, f"usage_rollups {month}")
        table = open_against_ledger(connection, lake)
        version = engine.read(duck, table, month)
        _register(duck, connection, month, groups)
        open_carried_levels(duck, database, table, month)
        engine.add_up(duck, month, now)
        _snapshot(duck, month)
        changed = _write(connection, duck, month, version, now)
        wrong = _compare(connection, engine.add_up_again(duck), month)
        if wrong:
            raise RollupMismatch(month, wrong)
        ((organizations, events),) = duck.execute("select count(*), sum(events)::bigint from snapshots").fetchall()
        ((rollups,),) = duck.execute("select count(*) from quantities").fetchall()
    return RolledUp(version, organizations, events or 0, rollups, changed)


def _snapshot(duck: duckdb.DuckDBPyConnection, month: BillingMonth) -> None:
    duck.execute("set variable month = $month", {"month": str(month)})
    duck.execute(sql("make_snapshots"))
    names = [name for (name,) in duck.execute("select id from billed_organizations order by id").fetchall()]
    for start in range(0, len(names), ORGANIZATIONS_AT_ONCE):
        block = names[start : start + ORGANIZATIONS_AT_ONCE]
        duck.execute(sql("snapshot_usage"), {"first": block[0], "last": block[-1]})


def _compare(
    connection: Connection, added_up_again: Mapping[tuple[str, str], tuple[int, Decimal]], month: BillingMonth
) -> list[Row]:
    """Compare events, quantity, and the quantity day by day."""
    used = {key: (events, quantity, quantity) for key, (events, quantity) in added_up_again.items()}
    rolled_up = {
        (row["organization_id"], row["meter"]): (row["events"], row["quantity"], row["quantity_by_day"])
        for row in rows(connection, "rolled_up_usage", month=month.first_day)
    }
    return [
        {
            "month": str(month),
            "organization": key[0],
            "meter": key[1],
            "used": used.get(key),
            "rolled_up": rolled_up.get(key),
        }
        for key in sorted(used.keys() | rolled_up.keys())
        if used.get(key) != rolled_up.get(key)
    ]


def _register(
    duck: duckdb.DuckDBPyConnection, connection: Connection, month: BillingMonth, groups: Sequence[str]
) -> None:
    organizations = rows(connection, "organizations_of_groups", groups=list(groups), month_end=month.end)
    segments = rows(connection, "price_segments", month_start=month.start, month_end=month.end)
    register_terms(duck, rows(connection, "meters"), segments, [row["id"] for row in organizations])


def _write(
    connection: Connection,
    duck: duckdb.DuckDBPyConnection,
    month: BillingMonth,
    version: int,
    now: datetime,
) -> int:
    rows(connection, "make_rolled_up")
    copy_table(duck, "snapshots", connection, "rolled_up_snapshots", SNAPSHOT_COLUMNS)
    copy_table(duck, "rollups", connection, "rolled_up_rollups", ROLLUP_COLUMNS)
    parameters = {"month": month.first_day, "lake_version": version, "now": now}
    rows(connection, "retire_changed_snapshots", month=month.first_day)
    changed = [row for row in rows(connection, "add_snapshots", **parameters) if row["is_new"]]
    rows(connection, "add_rollups")
    rows(connection, "drop_unused_snapshots", month=month.first_day)
    return len(changed)
