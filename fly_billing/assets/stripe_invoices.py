"""The last stage: finished invoices go to Stripe, once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dagster import AssetCheckResult, AssetCheckSpec, AssetExecutionContext, BackfillPolicy, MaterializeResult, asset

from fly_billing.assets.invoices import invoices
from fly_billing.assets.outcomes import check, report
from fly_billing.domain.money import format_cents
from fly_billing.domain.periods import BillingMonth
from fly_billing.partitions import BillingPartition, billing_partitions, month_by_org, partition_key
from fly_billing.resources.dagster_resources import BillingPostgres, Clock, StripeAccount
from fly_billing.resources.reconciling import Reconciliation, reconcile_month
from fly_billing.resources.stripe_sync import SyncReport, sync_month

AGREES = "stripe_agrees_with_our_invoices"


@asset(
    partitions_def=month_by_org,
    backfill_policy=BackfillPolicy.single_run(),
    deps=[invoices],
    check_specs=[
        AssetCheckSpec(
            AGREES,
            asset="stripe_invoices",
            description="What Stripe holds of the month, read there independently, equals what we billed in count,"
            " currency, lines and totals. Lists what is missing, duplicate, differing, stuck or orphaned.",
        )
    ],
    kinds={"stripe", "postgres"},
    group_name="fly_billing",
    pool="stripe",
)
def stripe_invoices(
    context: AssetExecutionContext, billing_postgres: BillingPostgres, stripe_account: StripeAccount, clock: Clock
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """The finished invoices as Stripe has them: each exactly once, equal to ours to the cent.

    Sends only finalized invoices that Stripe does not have yet, so it can be run again at any time. An invoice that
    fails leaves the others synced; its partition fails, and why and what to do stand in `stripe_invoices` and in the
    alert.
    """
    database = billing_postgres.database()
    tools = stripe_account.sync_tools(database, clock, context.run.run_id)
    groups = {row["id"]: row["billing_group"] for row in database.rows("billing_groups")}
    metadata: dict[str, Any] = {}
    wrong: list[Mapping[str, Any]] = []
    failures: list[Mapping[str, Any]] = []
    for part in billing_partitions(context):
        synced = sync_month(tools, part.month, part.groups, _progress(context, part))
        both = reconcile_month(tools.journal, stripe_account.reader(tools), part.month, part.groups)
        metadata |= _describe(part, synced, both)
        wrong += _discrepancies(part, both)
        failures += _failures(part, synced)
    failed = {str(partition_key(BillingMonth.parse(row["month"]), groups[row["organization"]])) for row in failures}
    yield from report(context, metadata, [check("stripe_invoices", AGREES, wrong, **metadata)], failed, failures)


def _progress(context: AssetExecutionContext, part: BillingPartition) -> Any:
    def tell(done: int, total: int) -> None:
        if done == total or done % 100 == 0:
            context.log.info(f"{part.month}: {done} of {total} invoices handled")

    return tell


def _describe(part: BillingPartition, synced: SyncReport, both: Reconciliation) -> dict[str, Any]:
    states = ", ".join(f"{count} {state}" for state, count in sorted(synced.states.items())) or "nothing to send"
    return {
        f"{part.month} this run": f"{states}, {len(synced.failures)} failed, {len(synced.not_tried)} not tried",
        f"{part.month} billed here": _total([(one.currency, one.total_cents) for one in both.expected]),
        f"{part.month} found in Stripe": _total([(one.currency, one.total_cents) for one in both.found]),
        f"{part.month} discrepancies": len(both.discrepancies),
    }


def _total(amounts: Sequence[tuple[str, int]]) -> str:
    totals: dict[str, int] = {}
    for currency, cents in amounts:
        totals[currency] = totals.get(currency, 0) + cents
    return f"{len(amounts)} invoices, " + (
        ", ".join(format_cents(cents, name) for name, cents in totals.items()) or "0"
    )


def _discrepancies(part: BillingPartition, both: Reconciliation) -> list[Mapping[str, Any]]:
    return [
        {
            "month": str(part.month),
            "kind": one.kind,
            "organization": one.organization_id,
            "stripe": ", ".join(one.stripe_ids),
            "what": one.message,
            "what to do": one.what_to_do,
        }
        for one in both.discrepancies
    ]


def _failures(part: BillingPartition, synced: SyncReport) -> list[Mapping[str, Any]]:
    told = [(one.invoice, one.failure.code, one.failure.operator_text) for one in synced.failures]
    told += [(one, "not_tried", "the run stopped before it: launch the partition again") for one in synced.not_tried]
    return [
        {
            "month": str(part.month),
            "organization": invoice.organization_id,
            "amount": format_cents(invoice.total_cents, invoice.currency),
            "code": code,
            "what to do": what_to_do,
        }
        for invoice, code, what_to_do in told
    ]
