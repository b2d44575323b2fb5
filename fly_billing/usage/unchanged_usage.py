"""Finds the organizations whose usage of a month need not be rolled up again, because nothing of it has changed.

An organization is unchanged if its rollups are from the same rules (meters, prices and code), and it has no event in
the data files that were added to the usage table or removed from it since. A replaced landing day has other files, so
all organizations with usage on it are rolled up again. The quantity of a level grows with time, without an event.

Not here: rolling up (`rollups`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb
from sqlalchemy import Connection

from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import records, rows, values
from fly_billing.postgres.statements import sql
from fly_billing.usage.data_files import UsageTableMismatch
from fly_billing.usage.usage_table import UsageTableVersion, UsageVersionGone


@dataclass(frozen=True)
class _RolledUpBefore:
    """An organization's current snapshot: the version of the usage table and the rules that it is from."""

    organization_id: str
    lake_version: int
    rules: str


def find_unchanged(
    connection: Connection,
    duck: duckdb.DuckDBPyConnection,
    table: UsageTableVersion,
    month: BillingMonth,
    rules: Mapping[str, str],
) -> set[str]:
    """Return the organizations of `rules` whose rollups of the month are as rolling up again would make them.

    Args:
        rules: The fingerprint of the rules of each organization to roll up.
    """
    before = records(connection, _RolledUpBefore, "rolled_up_before", month=month.first_day, organizations=list(rules))
    same = [found for found in before if found.rules == rules[found.organization_id]]
    changed = {
        version: _changed_since(duck, table, month, version) for version in {found.lake_version for found in same}
    }
    return {
        found.organization_id
        for found in same
        if (others := changed[found.lake_version]) is not None and found.organization_id not in others
    }


def _changed_since(
    duck: duckdb.DuckDBPyConnection, table: UsageTableVersion, month: BillingMonth, version: int
) -> Collection[str] | None:
    """Return the organizations with events in files of the month that were added or removed since this version.

    Returns None if that is unknown, because the version, or a file of it or of the present version, is gone or damaged.
    """
    try:
        table.open_changes(duck, "changed_events", month, version)
    except (UsageVersionGone, UsageTableMismatch):
        return None
    return {name for (name,) in duck.execute("select distinct organization_id from changed_events").fetchall()}


def find_levels(
    connection: Connection,
    duck: duckdb.DuckDBPyConnection,
    table: UsageTableVersion,
    month: BillingMonth,
    meters: Sequence[str],
) -> set[str]:
    """Return the organizations with levels of these time-weighted meters in the month, now or at the last roll-up.

    Needs DuckDB's table `carried_levels` (`opening_levels`).
    """
    table.open_view(duck, "events_of_month", month, by_meter=True)
    found = duck.execute(sql("organizations_with_levels"), {"meters": list(meters)}).fetchall()
    before = values(connection, "organizations_with_rollups", month=month.first_day, meters=list(meters))
    return {name for (name,) in found}.union(before)


def confirm_unchanged(
    connection: Connection,
    month: BillingMonth,
    organizations: Collection[str],
    unchanged: Collection[str],
    version: int,
    now: datetime,
) -> None:
    """Record that the current rollups of the unchanged organizations are also those of this version of the usage table.

    If every organization with rollups of the month was looked at, that takes one row, however many are unchanged. Not
    while another run rolls up or bills the month: its organizations may be new.

    Args:
        organizations: Those that were looked at. Each of them is unchanged, was rolled up, or is in `rollup_failures`.
    """
    seen = {"month": month.first_day, "lake_version": version, "now": now}
    (is_alone,) = values(connection, "try_lock_until_commit", name=f"usage_rollups {month}")
    whose = {"month": month.first_day, "organizations": list(organizations)}
    if is_alone and all(values(connection, "are_all_rolled_up", **whose)):
        rows(connection, "confirm_snapshots", **seen)
    else:
        rows(connection, "mark_snapshots_unchanged", organizations=list(unchanged), **seen)
