"""The totals of a month's rollups by billing group, read from Postgres: the same after every run, whatever it changed.

Not here: rolling up (`rollups`), and how Dagster shows these (`assets`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase


@dataclass(frozen=True, slots=True)
class RollupTotals:
    """The current rollups of a billing group and month.

    Attributes:
        organizations: The number of its organizations that are rolled up.
        failures: The number of its organizations whose rollups failed.
    """

    billing_group: str
    organizations: int = 0
    events: int = 0
    rollups: int = 0
    failures: int = 0


def rollup_totals(database: BillingDatabase, month: BillingMonth, groups: Sequence[str]) -> dict[str, RollupTotals]:
    """Return the totals of each of these billing groups; zeros for one without organizations."""
    found = database.records(RollupTotals, "rollup_totals", month=month.first_day, groups=list(groups))
    return {group: RollupTotals(group) for group in groups} | {row.billing_group: row for row in found}
