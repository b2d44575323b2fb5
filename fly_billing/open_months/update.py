"""Brings the open months up to date: lands the days that changed, rolls up and bills the organizations that changed.

The result equals that of landing, rolling up and billing from scratch; a property test compares both. Months stay open,
also if their grace period has just ended. Not here: what changed (`changes`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from fly_billing.invoicing.bill_run import Billed, bill
from fly_billing.invoicing.checks import rollups_not_priced_once, wrong_totals
from fly_billing.invoicing.group_members import billing_groups, with_groups_paid_for
from fly_billing.invoicing.month_closing import Terms
from fly_billing.invoicing.table_statistics import gather_statistics
from fly_billing.money import counted
from fly_billing.object_store.address import Place
from fly_billing.open_months.changes import Changes, months_with_new_usage
from fly_billing.periods import BillingMonth, open_months
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.landing_folder import has_day_folder
from fly_billing.usage.landing_run import LandingReport, land_and_check
from fly_billing.usage.rollups import RollupReport, roll_up
from fly_billing.usage.rules.declared_sources import NOTHING_DECLARED, DeclaredSources
from fly_billing.usage.usage_table import UsageTable

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Update:
    """The places and terms of an update.

    Attributes:
        run_id: The Dagster run, for the audit log and for failures.
        clock: Returns the current time, in UTC.
    """

    database: BillingDatabase
    usage: UsageTable
    landing_dir: Place
    terms: Terms
    run_id: str
    clock: Callable[[], datetime]
    declared: DeclaredSources = NOTHING_DECLARED
    progress: Callable[[str], None] = lambda _: None


@dataclass(frozen=True)
class UpdatedMonth:
    """A month that was brought up to date.

    Attributes:
        wrong: The rows that fail a check: of invoices whose items do not add up, and of usage not priced once.
    """

    month: BillingMonth
    rolled_up: RollupReport
    billed: Billed
    wrong: Rows

    @property
    def changed(self) -> int:
        """The number of invoices that were calculated."""
        return sum(not invoice.is_unchanged for invoice in self.billed.invoices)

    @property
    def sentence(self) -> str:
        rolled_up = counted(self.rolled_up.organizations, "organization")
        return f"{self.month}: {rolled_up} rolled up, {counted(self.changed, 'invoice')} calculated"


@dataclass(frozen=True)
class UpdateReport:
    """The outcome of an update.

    Attributes:
        landed: None if there was no day to land.
    """

    landed: LandingReport | None = None
    months: Sequence[UpdatedMonth] = field(default_factory=list)

    @property
    def failed_days(self) -> Mapping[date, str]:
        return self.landed.failures if self.landed else {}


def bring_up_to_date(update: Update, changes: Changes, *, all_months: bool = False) -> UpdateReport:
    """Land the changed days, then roll up and bill the open months with new usage, and what failed an hour ago.

    A day that can't be landed and an organization that can't be billed are in the report; the others are done.

    Args:
        all_months: Bill all open months, because prices or terms may have changed.

    Raises:
        LandingError: There is no landing folder, or one without any day.
        UsageTableMismatch: The usage table is not the one that was landed into before.
    """
    database, now = update.database, update.clock()
    landed = None
    if changes.days:
        landed = land_and_check(
            database, update.usage, update.landing_dir, changes.days, now, update.progress, update.declared
        )
    record_look(database, update.landing_dir, changes)
    months = open_months(now, update.terms.grace)
    groups = billing_groups(database)
    whole = months if all_months else months_with_new_usage(database, months)
    due: dict[BillingMonth, Sequence[str]] = {**changes.failed, **dict.fromkeys(whole, groups)}
    return UpdateReport(landed, [_update_month(update, month, due[month]) for month in sorted(due) if due[month]])


def record_look(database: BillingDatabase, landing_dir: Place, changes: Changes) -> None:
    """Record that the folder of today was as it landed when it was looked, so that statements are as of this look.

    A folder that has changed, or is gone though files landed from it, is not recorded. Days that are over are not
    recorded either: they count as complete only once they landed after their end.
    """
    today = changes.at.date()
    is_gone = not has_day_folder(landing_dir, today) and bool(database.rows("landed_files", since=today))
    if today not in changes.days and not is_gone:
        database.rows("mark_days_seen", days=[today], now=changes.at)


def _update_month(update: Update, month: BillingMonth, groups: Sequence[str]) -> UpdatedMonth:
    database, now = update.database, update.clock()
    used = with_groups_paid_for(database, month, groups)
    rolled_up = roll_up(database, update.usage, month, used, now, is_open=True)
    billed = bill(database, month, groups, update.terms, now, update.run_id, finalize=False)
    gather_statistics(database, month, billed.changed)
    wrong = [*wrong_totals(database, month, groups), *rollups_not_priced_once(database, month, groups)]
    updated = UpdatedMonth(month, rolled_up, billed, [{"month": str(month), **row} for row in wrong])
    update.progress(updated.sentence)
    return updated
