"""The last asset: compares Stripe with our invoices again, after the sync."""

from collections.abc import Iterator, Mapping
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

from fly_billing.assets.reconciliation_metadata import described_sides
from fly_billing.assets.run_report import check
from fly_billing.assets.stripe_invoices import stripe_invoices
from fly_billing.invoicing.group_members import billing_groups
from fly_billing.partitions import months
from fly_billing.periods import BillingMonth
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.resources.stripe_account import StripeAccount
from fly_billing.stripe_sync.checks import differences_from_stripe, unread_month
from fly_billing.stripe_sync.reader import ReadingFailed
from fly_billing.stripe_sync.reconciliation import reconcile_month, record_reconciliation

STILL_AGREES = "stripe_still_agrees_with_our_invoices"


@asset(
    partitions_def=months,
    backfill_policy=BackfillPolicy.single_run(),
    deps=[AssetDep(stripe_invoices, partition_mapping=MultiToSingleDimensionPartitionMapping("month"))],
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
    group_name="fly_billing",
    pool="stripe",
)
def stripe_reconciliation(
    context: AssetExecutionContext, billing_postgres: BillingPostgres, stripe_account: StripeAccount, clock: Clock
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """Each comparison of a month's invoices in Stripe with ours, kept in `stripe_reconciliations`.

    Reads 100 invoices per request and changes nothing. Runs nightly for months that are unpaid or were sent recently.
    """
    database = billing_postgres.database()
    tools = stripe_account.sync_tools(database, clock, context.run.run_id)
    groups = billing_groups(database)
    metadata: dict[str, Any] = {}
    wrong: list[Mapping[str, Any]] = []
    for month in sorted(BillingMonth.parse(key) for key in context.partition_keys):
        try:
            both = reconcile_month(tools.journal, stripe_account.reader(tools), month, groups, all_lines=False)
        except ReadingFailed as problem:
            wrong.append(unread_month(month, problem))
            continue
        record_reconciliation(database, month, both, context.run.run_id, clock.now())
        metadata |= described_sides(month, both)
        wrong += differences_from_stripe(month, both)
        context.log.info(f"{month}: {len(both.discrepancies)} discrepancies in {len(both.expected)} invoices")
    yield MaterializeResult(
        metadata=metadata, check_results=[check("stripe_reconciliation", STILL_AGREES, wrong, **metadata)]
    )
