"""The report for finance: a month's revenue, taxes, receivables and credits."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetDep,
    AssetExecutionContext,
    BackfillPolicy,
    MaterializeResult,
    MultiToSingleDimensionPartitionMapping,
    asset,
)

from fly_billing.accounting.recognition import defer_revenue, recognition_problems
from fly_billing.assets.catalog import FINANCE, OWNERS, WRITES_FILES, billing_table
from fly_billing.assets.invoices import invoices
from fly_billing.assets.partition_checks import PartitionCheck, month_places, partition_checks
from fly_billing.assets.partition_metadata import of_finance_month
from fly_billing.assets.run_report import PartitionOutcomes, explains_failures, report
from fly_billing.assets.stripe_reconciliation import stripe_reconciliation
from fly_billing.checks.rules.failures import rows_by_place
from fly_billing.finance.month_report import read_month_report
from fly_billing.finance.report.files import write_report
from fly_billing.finance.rules.month_sums import untied
from fly_billing.ledger.checks import ledger_differences
from fly_billing.ledger.expired_credits import record_expired_credits
from fly_billing.ledger.owed_and_asked import asked_differences
from fly_billing.ledger.rules.owed_and_asked import BALANCE, CURRENCY, DELETED, TRIAL
from fly_billing.partitions import month_key, month_partitions, months
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.resources.reports import Reports

TIED = "revenue_and_tax_add_up_to_the_invoices"
BALANCES = "ledger_balances"
RECOGNIZED = "recognized_deferred_and_breakage_are_what_was_billed"
OWED = "owed_equals_what_stripe_asks_for"
STRIPE_BALANCES = "stripe_balances_match"
TRIAL_BALANCE = "trial_balance_is_zero"
CHECKS = {
    TIED: "In every currency, the month's revenue, tax and prepaid credit add up to the totals of its final invoices,"
    " revenue by product to revenue, and tax by rate to tax, to the cent.",
    BALANCES: "The ledger's entries of the month's invoices, credit notes, prepaid credits, and refunds, disputes and"
    " balances at Stripe sum to zero, and equal the ones rebuilt from these sources, one by one. Lists each difference"
    " with its organization and amounts.",
    RECOGNIZED: "For each organization and currency, recognized revenue, deferred revenue and breakage add up to what"
    " was billed up to the month's end, and each of its invoices is spread over the months that supply its items, to"
    " the cent.",
    OWED: "Every organization owes for invoices the amount that Stripe asks for, plus final invoices not sent yet."
    " Lists each difference with its cause, amounts and fix. Of all months, shown in the newest month of the run.",
    STRIPE_BALANCES: "The ledger's Stripe customer balance of every organization equals the one in Stripe, and is in"
    " the currency of its invoices. Lists each difference. Of all months, shown in the newest month of the run.",
    TRIAL_BALANCE: "All accounts of every organization add up to zero in the ledger. Of all months, shown in the newest"
    " month of the run.",
}


@asset(
    partitions_def=months,
    backfill_policy=BackfillPolicy.single_run(),
    deps=[
        AssetDep(invoices, partition_mapping=MultiToSingleDimensionPartitionMapping("month")),
        stripe_reconciliation,
    ],
    # Blocking: `finance_journals` is not written from books that differ.
    check_specs=[
        AssetCheckSpec(name, asset="finance_months", description=text, blocking=True) for name, text in CHECKS.items()
    ],
    kinds={"postgres", "html"},
    group_name=FINANCE,
    owners=OWNERS,
    tags=WRITES_FILES,
    metadata=billing_table("finance_months"),
)
@explains_failures
def finance_months(
    context: AssetExecutionContext, billing_postgres: BillingPostgres, reports: Reports, clock: Clock
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """A month for finance: revenue, tax, prepaid credit, receivables and credits of its final invoices.

    The numbers come from the views named `finance_*`, which dashboards can read. Each month has an HTML report with
    tables and plots, named in its metadata. Runs nightly, after the comparison with Stripe, for months that are unpaid
    or changed recently.
    """
    database = billing_postgres.database()
    record_expired_credits(database, clock.now())
    requested = month_partitions(context, clock.now())
    outcomes = PartitionOutcomes([month_key(month) for month in requested])
    wrong: dict[str, list[Mapping[str, Any]]] = {name: [] for name in CHECKS}
    for month in requested:
        defer_revenue(database, month)
        found = read_month_report(database, month, clock.now())
        path = write_report(reports.folder(), found)
        outcomes.done[month_key(month)] = of_finance_month(found, path, reports.link(path))
        wrong[TIED] += untied(month, found.sums)
        wrong[BALANCES] += [each.as_row(month) for each in ledger_differences(database, month)]
        wrong[RECOGNIZED] += recognition_problems(database, month)
        context.log.info(f"{month}: report written to {path}")
    checked = month_places(outcomes.requested)
    wrong |= _against_stripe(database, requested)
    found_wrong = [PartitionCheck(name, rows_by_place(rows, checked, {})) for name, rows in wrong.items()]
    checks = partition_checks(context, database, checked, found_wrong, outcomes, clock.now())
    yield from report(context, outcomes, checks, are_recorded=False)


def _against_stripe(database: BillingDatabase, requested: Sequence[BillingMonth]) -> dict[str, list[Mapping[str, Any]]]:
    """Return what differs between the ledger and Stripe by check, as rows of the newest of these months."""
    newest, found = max(requested), asked_differences(database)
    of_balances = {TRIAL: TRIAL_BALANCE, BALANCE: STRIPE_BALANCES, CURRENCY: STRIPE_BALANCES, DELETED: STRIPE_BALANCES}
    return {
        check: [each.as_row(newest) for each in found if of_balances.get(each.kind, OWED) == check]
        for check in (OWED, STRIPE_BALANCES, TRIAL_BALANCE)
    }
