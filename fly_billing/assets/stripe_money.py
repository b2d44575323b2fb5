"""The asset beside the reconciliation: what people and banks did at Stripe, as far as no event brought it."""

from collections.abc import Iterator

from dagster import AssetCheckResult, AssetExecutionContext, AssetKey, Failure, MaterializeResult, asset

from fly_billing.assets.catalog import OWNERS, STRIPE, WRITES_POSTGRES, billing_table
from fly_billing.assets.partition_metadata import of_money_sweep
from fly_billing.assets.run_report import described_failures, explains_failures, table
from fly_billing.assets.stripe_reconciliation import COMPARED_NIGHTLY
from fly_billing.money import counted
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.resources.stripe_account import StripeAccount
from fly_billing.stripe_sync.missed_statuses import apply_missed_statuses
from fly_billing.stripe_sync.money_sweep import sweep_money


@asset(
    deps=[AssetKey("stripe_account")],
    kinds={"stripe", "postgres"},
    group_name=STRIPE,
    owners=OWNERS,
    tags=WRITES_POSTGRES,
    metadata=billing_table("stripe_money"),
    freshness_policy=COMPARED_NIGHTLY,
    pool="stripe",
)
@explains_failures
def stripe_money(
    context: AssetExecutionContext, billing_postgres: BillingPostgres, stripe_account: StripeAccount, clock: Clock
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """Credit notes, refunds, disputes and balance changes at Stripe, in each state, and what its invoices ask for.

    Webhooks and polling record most of them within minutes. Every night, this reads what happened in the last 30 days
    and records what they missed: 100 objects per request. An invoice that was paid, voided or written off there without
    an event gets this status. It changes nothing at Stripe. The numbers named `missed` are 0 while events arrive; if
    they are not, look at the webhook endpoint and at `poll_stripe_events`.
    """
    database = billing_postgres.database()
    tools = stripe_account.sync_tools(database, clock, context.run.run_id)
    sweep = sweep_money(database, stripe_account.reader(tools), clock.now(), context.log.info)
    applied = apply_missed_statuses(database, clock.now())  # also after a failure, which concerns other objects
    context.log.info(f"{counted(applied, 'invoice')} changed status, because of events that never arrived")
    if sweep.problems:
        raise Failure(
            described_failures(sweep.problems), metadata={"failures": table(sweep.problems)}, allow_retries=False
        )
    yield MaterializeResult(metadata=of_money_sweep(sweep))
