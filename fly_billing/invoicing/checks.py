"""Checks of a month's invoices: each function returns a row per error, and none where the invoices are right.

Add a check of invoices here, with its statement in `sql/`; `assets/invoices.py` shows it in Dagster. Not here: checks
of corrections (`corrections.checks`) and of single events (`event_check`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, Row


@dataclass(frozen=True)
class DamagedUsage:
    """An organization with a final invoice whose rollups were changed afterwards; `reason` says how to repair them."""

    organization_id: str
    reason: str


def wrong_totals(database: BillingDatabase, month: BillingMonth, groups: Sequence[str]) -> list[Row]:
    """Return the invoices whose items do not add up to their total, exactly and in cents."""
    return database.rows("check_items_sum", month=month.first_day, groups=list(groups))


def rollups_not_priced_once(database: BillingDatabase, month: BillingMonth, groups: Sequence[str]) -> list[Row]:
    """Return the rollups that no item or several items price, and the items whose quantity differs from the rollups."""
    return database.rows("check_rollups_priced", month=month.first_day, groups=list(groups))


def damaged_usage(database: BillingDatabase, month: BillingMonth, groups: Sequence[str]) -> list[DamagedUsage]:
    """Return the organizations on final invoices of the month whose rollups were changed afterwards."""
    return database.records(DamagedUsage, "final_with_damaged_rollups", month=month.first_day, groups=list(groups))
