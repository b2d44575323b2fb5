"""Finds how usage changed after its invoice was finalized: late rows, corrected rows, changed levels.

Compares two versions of the usage table. Not here: what the change costs (`recalculation`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.corrections.rules.causes import CORRECTED_ROWS, LATE_LEVEL, LATE_ROWS
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import records
from fly_billing.postgres.statements import sql
from fly_billing.usage.landing_ledger import open_against_ledger
from fly_billing.usage.usage_table import UsageTable, UsageTableVersion, UsageVersionGone, open_duckdb

# The causes of changed usage, by organization and meter.
UsageChanges = Mapping[tuple[str, str], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _ChangedSnapshot:
    organization_id: str
    billed_version: int
    version: int


def find_usage_changes(
    connection: Connection, month: BillingMonth, invoices: Sequence[UUID], usage_table: UsageTable
) -> UsageChanges:
    """Find how usage changed since these invoices billed it.

    Organizations whose billed version of the usage table can't be read any more are not in the result. Raises
    UsageTableMismatch.
    """
    by_version: dict[tuple[int, int], list[str]] = defaultdict(list)
    for snapshot in records(
        connection, _ChangedSnapshot, "snapshots_changed_since", invoices=list(invoices), month=month.first_day
    ):
        by_version[snapshot.billed_version, snapshot.version].append(snapshot.organization_id)
    table = open_against_ledger(connection, usage_table)
    level_meters = records(connection, lambda key: str(key), "meters_of_levels") if by_version else []
    changes: dict[tuple[str, str], tuple[str, ...]] = {}
    for (before, after), organizations in by_version.items():
        try:
            compared = _compare_versions(table, month, before, after, organizations)
        except UsageVersionGone:
            continue
        # If no event of the month explains the change of a level, it continues from an earlier month.
        changes |= {(name, meter): (LATE_LEVEL,) for name in organizations for meter in level_meters} | compared
    return changes


def _compare_versions(
    table: UsageTableVersion, month: BillingMonth, before: int, after: int, organizations: Sequence[str]
) -> dict[tuple[str, str], tuple[str, ...]]:
    with open_duckdb(table.memory_mb) as duck:
        table.open_view(duck, "billed", month, version=before, by_meter=True)
        table.open_view(duck, "now", month, version=after, by_meter=True)
        changed = duck.execute(sql("compare_usage_versions"), {"organizations": list(organizations)}).fetchall()
    causes: dict[tuple[str, str], tuple[str, ...]] = {}
    for organization, meter, late, corrected in changed:
        counts = [(LATE_ROWS, late), (CORRECTED_ROWS, corrected)]
        causes[organization, meter] = tuple(cause for cause, count in counts if count)
    return causes
