"""Checks a billed month: its items, its usage, single events and corrections. The checks run side by side.

Not here: what each check looks at (`checks`, `invoicing.checks`, `invoicing.event_check`), and how Dagster shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from fly_billing.corrections.checks import corrections_to_approve, failed_corrections, unbilled_usage, undecided_terms
from fly_billing.corrections.correction import Corrections
from fly_billing.corrections.month_run import MonthReport
from fly_billing.invoicing.checks import rollups_not_priced_once, wrong_totals
from fly_billing.invoicing.event_check import check_items_per_event
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.usage_table import UsageTable

Rows = Sequence[Mapping[str, Any]]

# The checks that read much. Each has a connection of its own.
CONNECTIONS = 4


@dataclass(frozen=True)
class CheckedMonth:
    """The rows that fail the checks of a month, each with the month.

    Attributes:
        not_in_one_item: Events that are in no item, or in several.
        held: Corrections that wait for an approval.
        failed_corrections: Final invoices that can't be recalculated.
        undecided: Final invoices with differences from changed terms.
    """

    wrong_totals: Rows
    not_priced_once: Rows
    not_in_one_item: Rows
    unbilled: Rows
    held: Rows
    failed_corrections: Rows
    undecided: Rows


def check_month(database: BillingDatabase, usage: UsageTable, report: MonthReport) -> CheckedMonth:
    """Check a month that was billed.

    Raises:
        UsageTableMismatch: The usage table is not the one that was billed.
    """
    month, groups = report.month, report.groups
    corrections = report.corrections or Corrections([])
    held = {name for correction in corrections.held for name in correction.payer.member_names}
    # Postgres and DuckDB do the work, not Python.
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        totals = pool.submit(wrong_totals, database, month, groups)
        priced = pool.submit(rollups_not_priced_once, database, month, groups)
        unbilled = pool.submit(unbilled_usage, database, month, groups, held)
        in_items = pool.submit(check_items_per_event, database, usage, month, groups)
    return CheckedMonth(
        wrong_totals=_of_month(month, totals.result()),
        not_priced_once=_of_month(month, priced.result()),
        not_in_one_item=_of_month(month, in_items.result()),
        unbilled=_of_month(month, unbilled.result()),
        held=[
            row
            for held_month, of_month in report.held_totals.items()
            for row in corrections_to_approve(held_month, corrections, of_month)
        ],
        failed_corrections=failed_corrections(month, corrections),
        undecided=undecided_terms(month, corrections),
    )


def _of_month(month: BillingMonth, rows: Rows) -> Rows:
    return [{"month": str(month), **row} for row in rows]
