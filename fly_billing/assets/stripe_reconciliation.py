"""The fifth asset: compares Stripe with our invoices again, after the sync."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetDep,
    AssetExecutionContext,
    BackfillPolicy,
    FreshnessPolicy,
    MaterializeResult,
    MultiToSingleDimensionPartitionMapping,
    asset,
)

from fly_billing.assets.catalog import OWNERS, STRIPE, WRITES_POSTGRES, billing_table
from fly_billing.assets.external import stripe_account_of
from fly_billing.assets.partition_checks import PartitionCheck, month_places, partition_checks
from fly_billing.assets.partition_metadata import of_reconciliation
from fly_billing.assets.run_report import PartitionOutcomes, explains_failures, report
from fly_billing.assets.stripe_invoices import stripe_invoices
from fly_billing.checks.rules.failures import rows_by_place
from fly_billing.corrections.month_totals import invoice_totals
from fly_billing.invoicing.group_members import billing_groups
from fly_billing.money import counted
from fly_billing.partitions import month_key, month_partitions, months
from fly_billing.postgres.database import BillingDatabase
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.resources.stripe_account import StripeAccount
from fly_billing.stripe_sync.checks import differences_from_stripe, unread_month
from fly_billing.stripe_sync.reader import ReadingFailed
from fly_billing.stripe_sync.reconciliation import reconcile_month, record_reconciliation

STILL_AGREES = "stripe_still_agrees_with_our_invoices"
# Every night while an invoice can still change in Stripe.
COMPARED_NIGHTLY = FreshnessPolicy.time_window(warn_window=timedelta(hours=26), fail_window=timedelta(hours=50))
stripe_account = stripe_account_of(AssetDep(stripe_invoices))


@asset(
    partitions_def=months,
    backfill_policy=BackfillPolicy.single_run(),
    deps=[AssetDep(stripe_invoices, partition_mapping=MultiToSingleDimensionPartitionMapping("month")), stripe_account],
    check_specs=[
        AssetCheckSpec(
            STILL_AGREES,
            asset="stripe_reconciliation",
            description="The invoices that we sent for the month are unchanged in Stripe: not edited, voided, copied or"
            " deleted. Lists each difference with its fix; `fly-billing repair MONTH` applies the safe fixes and asks"
            " before the others.",
        )
    ],
    kinds={"stripe", "postgres"},
    group_name=STRIPE,
    owners=OWNERS,
    tags=WRITES_POSTGRES,
    metadata=billing_table("stripe_reconciliations"),
    freshness_policy=COMPARED_NIGHTLY,
    pool="stripe",
)
@explains_failures
def stripe_reconciliation(
    context: AssetExecutionContext, billing_postgres: BillingPostgres, stripe_account: StripeAccount, clock: Clock
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """Each comparison of a month's invoices in Stripe with ours, kept in `stripe_reconciliations`.

    Reads 100 invoices per request and changes nothing. Runs nightly for months that are unpaid or were sent recently.
    """
    database = billing_postgres.database()
    tools = stripe_account.sync_tools(database, clock, context.run.run_id)
    groups = billing_groups(database)
    requested = month_partitions(context, clock.now())
    outcomes = PartitionOutcomes([month_key(month) for month in requested])
    wrong: list[Mapping[str, Any]] = []
    for month in requested:
        try:
            both = reconcile_month(tools.journal, stripe_account.reader(tools), month, groups, all_lines=False)
        except ReadingFailed as problem:
            outcomes.fail(month_key(month), unread_month(month, problem))
            continue
        number = record_reconciliation(database, month, both, context.run.run_id, clock.now())
        totals = invoice_totals(database, month, groups)
        outcomes.done[month_key(month)] = of_reconciliation(both, number, totals.values())
        wrong += differences_from_stripe(month, both)
        found, compared = counted(len(both.discrepancies), "discrepancy"), counted(len(both.expected), "invoice")
        context.log.info(f"{month}: {found} in {compared}")
    checks = _checks(context, database, outcomes, wrong, clock.now())
    yield from report(context, outcomes, checks, are_recorded=False)


def _checks(
    context: AssetExecutionContext,
    database: BillingDatabase,
    outcomes: PartitionOutcomes,
    wrong: Sequence[Mapping[str, Any]],
    now: datetime,
) -> Iterator[AssetCheckResult]:
    unread = [row for rows in outcomes.failures.values() for row in rows]
    checked = month_places(outcomes.requested)
    agrees = PartitionCheck(STILL_AGREES, rows_by_place([*unread, *wrong], checked, {}))
    return partition_checks(context, database, checked, [agrees], outcomes, now)
