"""Bills a month and corrects its final invoices: the use case of the asset `invoices`.

Not here: how invoices are built (`invoicing.bill_run`), how corrections are found and booked (`correction_run`), and
what is checked afterwards (`month_checks`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from fly_billing.corrections.correction import Actor, Corrections
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.held_corrections import held_totals, list_held_corrections
from fly_billing.corrections.rules.guard import CorrectionGuard, HeldTotal
from fly_billing.invoicing.bill_in_parts import bill_in_parts
from fly_billing.invoicing.bill_run import Billed
from fly_billing.invoicing.checks import DamagedUsage, damaged_usage
from fly_billing.invoicing.month_closing import MonthNotClosed, Terms
from fly_billing.invoicing.table_statistics import gather_statistics
from fly_billing.money import counted
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.landing_ledger import open_usage_table
from fly_billing.usage.usage_table import UsageTable


@dataclass(frozen=True)
class BillingRun:
    """The inputs of a run.

    Attributes:
        clock: Returns the current time, in UTC.
        unlanded_days: Landing days with files that are not landed yet; their months can't be closed.
        from_scratch: Calculate open invoices even if their inputs are unchanged.
        processes: The most processes that calculate invoices at once.
    """

    database: BillingDatabase
    usage: UsageTable
    terms: Terms
    guard: CorrectionGuard
    run_id: str
    clock: Callable[[], datetime]
    unlanded_days: Sequence[date] = ()
    from_scratch: bool = False
    processes: int = 1

    def refuse_other_usage(self, months: Collection[BillingMonth]) -> None:
        """Raise UsageTableMismatch if the usage table does not match what was landed for one of these months."""
        table = open_usage_table(self.database, self.usage)
        for month in months:
            table.files(month)


@dataclass(frozen=True)
class MonthReport:
    """The outcome of billing one month for some billing groups.

    Attributes:
        billed: The invoices, or the reason why the month can't be closed; then the run did nothing else.
        corrections: The corrections of final invoices; None if the month has none.
        held_totals: By month, all corrections that wait for an approval.
        damaged: Final invoices that can't be corrected, because their rollups were changed.
    """

    month: BillingMonth
    groups: Sequence[str]
    billed: Billed | MonthNotClosed
    corrections: Corrections | None = None
    held_totals: Mapping[BillingMonth, Sequence[HeldTotal]] = field(default_factory=dict)
    damaged: Sequence[DamagedUsage] = ()

    @property
    def sentence(self) -> str:
        if isinstance(self.billed, MonthNotClosed):
            return str(self.billed)
        invoices, failures = (
            counted(len(self.billed.invoices), "invoice"),
            counted(len(self.billed.failures), "failure"),
        )
        unchanged = sum(invoice.is_unchanged for invoice in self.billed.invoices)
        return f"{self.month}: {invoices}{f' ({unchanged:,} unchanged)' if unchanged else ''}, {failures}"


def bill_and_correct(run: BillingRun, month: BillingMonth, groups: Sequence[str]) -> MonthReport:
    """Bill the month for these billing groups and correct the invoices that were final before.

    A month that can't be closed is in the report, not raised, so that the run's other months are billed.
    """
    try:
        billed = bill_in_parts(
            run.database, month, groups, run.terms, run.clock(), run.run_id, run.unlanded_days,
            from_scratch=run.from_scratch, processes=run.processes,
        )  # fmt: skip
    except MonthNotClosed as problem:
        return MonthReport(month, groups, problem)
    gather_statistics(run.database, month, billed.changed)
    corrections = _correct(run, month, groups, billed)
    totals = _held_totals(run.database, corrections) if corrections else {}
    damaged = damaged_usage(run.database, month, groups)
    return MonthReport(month, groups, billed, corrections, totals, damaged)


def _correct(run: BillingRun, month: BillingMonth, groups: Sequence[str], billed: Billed) -> Corrections | None:
    if not billed.already_final and not billed.finalized:
        return None
    # A newly finalized invoice may count towards minimums of later final months.
    actor = Actor(run.run_id, run.clock(), "materialized again")
    only = set(billed.already_final)
    return correct_month(run.database, month, groups, run.usage, actor, only=only, guard=run.guard)


def _held_totals(database: BillingDatabase, corrections: Corrections) -> dict[BillingMonth, list[HeldTotal]]:
    months = sorted({correction.month for correction in corrections.held})
    return {month: held_totals(list_held_corrections(database, month)) for month in months}
