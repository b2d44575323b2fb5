"""Checks that every accepted event of a month is in exactly one item, from the version of the usage table billed.

Matches events to rollups as `usage/sql_duckdb/roll_up_usage.sql` does. Not here: the events of one item
(`statements.billed_events`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache

import duckdb
import pyarrow as pa

from fly_billing.periods import BillingMonth
from fly_billing.postgres.copy_into_duckdb import copy_statement
from fly_billing.postgres.database import BillingDatabase, Row, rows
from fly_billing.postgres.isolation import readable_rows
from fly_billing.postgres.statements import sql
from fly_billing.usage.data_files import UsageTableMismatch
from fly_billing.usage.landing_ledger import open_usage_table
from fly_billing.usage.usage_table import UsageTable, UsageTableVersion, UsageVersionGone, open_duckdb

# The columns of the statement of the same name, and their types in DuckDB.
ROLLUPS_OF_INVOICES = {
    "invoice_id": "VARCHAR", "organization_id": "VARCHAR", "lake_version": "BIGINT", "rollup_id": "VARCHAR",
    "meter": "VARCHAR", "dimensions": "VARCHAR", "segment_start": "VARCHAR", "segment_end": "VARCHAR",
    "events": "BIGINT", "item_id": "VARCHAR",
}  # fmt: skip
SPELLINGS = pa.schema([("text", pa.string()), ("canonical", pa.string())])


class UsageUnreadable(Exception):
    """The version of the usage table that was billed can no longer be read. The message says why."""


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
    open_billed_version(table, duck, month, version)
    duck.execute("set variable lake_version = $version", {"version": version})
    try:
        duck.execute(sql("count_events_of_rollups"))
        found = [text for (text,) in duck.execute(sql("dimensions_to_compare")).fetchall()]
        spelled = {"text": found, "canonical": list(map(canonical_dimensions, found))}
        duck.register("spellings", pa.table(spelled, schema=SPELLINGS))
        duck.execute(sql("spelled_rollups"))
        cursor = duck.execute(sql("items_per_event"))
    except duckdb.IOException as problem:
        raise unreadable_version(version, problem) from problem
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def open_billed_version(
    table: UsageTableVersion, duck: duckdb.DuckDBPyConnection, month: BillingMonth, version: int
) -> None:
    """Open the month's events in this version of the usage table as the view `events`. Raises UsageUnreadable."""
    try:
        table.open_view(duck, "events", month, version=version, by_meter=True)
    except (UsageTableMismatch, UsageVersionGone, duckdb.IOException) as problem:
        raise unreadable_version(version, problem) from problem


def unreadable_version(version: int, problem: Exception) -> UsageUnreadable:
    """Return the error for a version of the usage table that can't be read because of this problem."""
    reason = str(problem).splitlines()[0]
    return UsageUnreadable(f"version {version} of the usage table can no longer be read (vacuumed?): {reason}")


@lru_cache(maxsize=65_536)
def canonical_dimensions(dimensions: str) -> str:
    """Return the JSON object with sorted keys, so that equal objects are equal texts. Most months have few of them."""
    return json.dumps(json.loads(dimensions), sort_keys=True)
