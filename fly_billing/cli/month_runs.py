"""Runs a job for a month: `fly-billing bill`, `sync`, `reconcile --record` and `finance report`."""

from __future__ import annotations

from datetime import UTC, datetime

from fly_billing.cli.run_results import progress_terminal, show_bill_result, show_outcome, show_sync_result
from fly_billing.cli.runs import open_runs
from fly_billing.cli.terminal import Terminal, busy
from fly_billing.finance.report.files import report_name
from fly_billing.operations.run_results import read_bill_result, read_sync_result
from fly_billing.partitions import FROM_SCRATCH
from fly_billing.periods import BillingMonth


def bill_month(console: Terminal, month: BillingMonth, *, from_scratch: bool = False, as_json: bool) -> bool:
    """Bill a month for all organizations. Returns True if no run or check failed.

    `from_scratch` also calculates open invoices whose inputs did not change since the last run. Prints the month's
    rejected usage that is unresolved, because no invoice has it.
    """
    with open_runs() as (runs, _, database):
        since = datetime.now(UTC)
        runs.register_organizations()
        with busy(progress_terminal(console, as_json=as_json), f"Billing {month}"):
            runs.bill(month, {FROM_SCRATCH: "true"} if from_scratch else None)
        result = read_bill_result(database, month, since)
    return show_bill_result(console, month, result, runs.record, as_json=as_json)


def sync_month(console: Terminal, month: BillingMonth, *, as_json: bool) -> bool:
    """Sync a month's final invoices to Stripe. Returns True if no run or check failed."""
    with open_runs(stripe=True) as (runs, _, database):
        since = datetime.now(UTC)
        runs.register_organizations()
        with busy(progress_terminal(console, as_json=as_json), f"Syncing {month}"):
            runs.sync(month)
        result = read_sync_result(database, month, since)
    return show_sync_result(console, month, result, runs.record, as_json=as_json)


def reconcile_month(console: Terminal, month: BillingMonth) -> bool:
    """Compare a month with Stripe in Dagster, where the result and its check stay. Returns True if both agree."""
    with open_runs(stripe=True) as (runs, _, _), busy(console, f"Comparing {month} with Stripe"):
        runs.reconcile(month)
    return show_outcome(console, runs.record, f"reconcile_month {month} done: Stripe agrees with our invoices")


def report_month(console: Terminal, month: BillingMonth) -> bool:
    """Write a month's report for finance, and check its sums. Returns True if they tie."""
    with open_runs() as (runs, settings, _), busy(console, f"Reporting {month}"):
        runs.report(month)
    return show_outcome(console, runs.record, f"report written to {settings.reports_dir / report_name(month)}")
