"""The fourth asset: sends each finalized invoice to Stripe exactly once."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    BackfillPolicy,
    Failure,
    MaterializeResult,
    asset,
)

from fly_billing.assets.catalog import OWNERS, STRIPE, WRITES_STRIPE, billing_table
from fly_billing.assets.invoices import invoices
from fly_billing.assets.partition_checks import PartitionCheck, month_places, partition_checks
from fly_billing.assets.partition_metadata import by_group, of_synced
from fly_billing.assets.run_report import PartitionOutcomes, explains_failures, report, table
from fly_billing.checks.rules.failures import rows_by_place
from fly_billing.corrections.month_totals import invoice_totals
from fly_billing.errors import ActionableError
from fly_billing.invoicing.group_members import groups_by_organization
from fly_billing.money import counted, format_cents
from fly_billing.partitions import BillingPartition, billing_partitions, month_by_org, partition_key
from fly_billing.postgres.database import BillingDatabase
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.billing_terms import BillingTerms
from fly_billing.resources.clock import Clock
from fly_billing.resources.stripe_account import StripeAccount
from fly_billing.stripe_sync.approvals import UnusualTotals, approve_totals, require_usual_totals
from fly_billing.stripe_sync.checks import differences_from_stripe, unread_month
from fly_billing.stripe_sync.invoice_sync import SyncTools
from fly_billing.stripe_sync.month_sync import SyncReport, sync_month
from fly_billing.stripe_sync.reader import ReadingFailed
from fly_billing.stripe_sync.reconciliation import Reconciliation, reconcile_month
from fly_billing.stripe_sync.rules.spending_guard import describe_totals, read_approved_total

AGREES = "stripe_agrees_with_our_invoices"

# Run tags for the launchpad: the approved total of the month, and who approves it.
APPROVED_TOTAL, APPROVED_BY = "fly_billing/approved_total", "fly_billing/approved_by"


@asset(
    partitions_def=month_by_org,
    backfill_policy=BackfillPolicy.single_run(),
    deps=[invoices],
    check_specs=[
        AssetCheckSpec(
            AGREES,
            asset="stripe_invoices",
            description="The month's invoices in Stripe, read from there independently, equal ours in count, currency,"
            " number of lines and totals. Lists missing, duplicate, different, edited, stuck and orphaned invoices.",
        )
    ],
    kinds={"stripe", "postgres"},
    group_name=STRIPE,
    owners=OWNERS,
    tags=WRITES_STRIPE,
    metadata=billing_table("stripe_invoices"),
    pool="stripe",
)
@explains_failures
def stripe_invoices(
    context: AssetExecutionContext,
    billing_postgres: BillingPostgres,
    billing_terms: BillingTerms,
    stripe_account: StripeAccount,
    clock: Clock,
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """The finalized invoices in Stripe: each exactly once, equal to ours to the cent.

    Sends only finalized invoices that Stripe does not have yet, so you can run it again at any time. If an invoice
    fails, the others are still synced; its partition fails, and the table `stripe_invoices` and the alert give the
    reason and the fix. If a month's total differs too much from last month's (FLY_BILLING_GUARD_PERCENT), nothing is
    sent until someone approves the total: with `fly-billing approve`, or with the run tag
    `fly_billing/approved_total` (such as 5850.00, or USD=5850.00, JPY=585000).
    """
    database = billing_postgres.database()
    tools = stripe_account.sync_tools(database, clock, context.run.run_id)
    parts = billing_partitions(context, clock.now())
    wrong: list[Mapping[str, Any]] = []
    outcomes = PartitionOutcomes([key for part in parts for key in part.keys])
    reasons = _guard(context, tools, parts, billing_terms.spending_guard_percent())
    for part in parts:
        synced = sync_month(tools, part.month, part.groups, _progress(context, part))
        try:
            reader = stripe_account.reader(tools)
            both = reconcile_month(tools.journal, reader, part.month, part.groups, all_lines=False)
            wrong += differences_from_stripe(part.month, both)
        except ReadingFailed as problem:
            both = None
            wrong.append(unread_month(part.month, problem))
        _add_outcomes(database, outcomes, part, synced, both)
        context.log.info(_described(part, synced))
    yield from report(context, outcomes, _checks(context, tools, outcomes, wrong, reasons))


def _checks(
    context: AssetExecutionContext,
    tools: SyncTools,
    outcomes: PartitionOutcomes,
    wrong: Sequence[Mapping[str, Any]],
    reasons: Mapping[str, Any],
) -> Iterator[AssetCheckResult]:
    database, checked = tools.journal.database, month_places(outcomes.requested)
    agrees = PartitionCheck(AGREES, rows_by_place(wrong, checked, groups_by_organization(database)), facts=reasons)
    return partition_checks(context, database, checked, [agrees], outcomes, tools.clock())


def _add_outcomes(
    database: BillingDatabase,
    outcomes: PartitionOutcomes,
    part: BillingPartition,
    synced: SyncReport,
    both: Reconciliation | None,
) -> None:
    group_of = groups_by_organization(database)
    compared = by_group(both, part.groups, group_of) if both else {}
    failures = _failures(part, synced)
    failed = Counter(group_of[row["organization"]] for row in failures)
    for group, totals in invoice_totals(database, part.month, part.groups).items():
        metadata = of_synced(compared.get(group), failed[group], totals)
        outcomes.done[str(partition_key(part.month, group))] = metadata
    for row in failures:
        outcomes.fail(str(partition_key(part.month, group_of[row["organization"]])), row)


def _guard(
    context: AssetExecutionContext, tools: SyncTools, requested: Sequence[BillingPartition], percent: int
) -> dict[str, Any]:
    """Return why each month of this run may be sent. Raises Failure before anything is sent if one may not."""
    parts = [part for part in requested if tools.journal.invoices_to_sync(part.month, part.groups)]
    _approve_by_tag(context, tools, parts)
    reasons: list[str] = []
    for part in parts:
        try:
            results = require_usual_totals(tools.journal.database, part.month, percent)
        except UnusualTotals as stop:
            raise Failure(str(stop), metadata=_unusual_totals(stop), allow_retries=False) from None
        reasons += [f"{part.month}, {result.currency}: {result.reason}" for result in results]
    return {"spending guard": "; ".join(reasons) or "nothing to send"}


def _approve_by_tag(context: AssetExecutionContext, tools: SyncTools, parts: Sequence[BillingPartition]) -> None:
    """Record the total that the run's tag approves. Launching the run again approves no other total."""
    text = context.run.tags.get(APPROVED_TOTAL)
    if text is None:
        return
    try:
        approved = read_approved_total(text)
        by = context.run.tags.get(APPROVED_BY) or f"Dagster run {context.run.run_id}"
        approve_totals(tools.journal.database, {part.month for part in parts}, approved, by, tools.clock())
    except (ValueError, ActionableError) as problem:
        raise Failure(f"tag {APPROVED_TOTAL}: {problem}", allow_retries=False) from None


def _unusual_totals(stop: UnusualTotals) -> dict[str, Any]:
    rows = [
        {
            "month": str(stop.month),
            "currency": result.currency,
            "total": result.reason,
            "largest changes": ", ".join(map(describe_totals, result.contributors)),
        }
        for result in stop.results
    ]
    return {"unusual totals": table(rows)}


def _progress(context: AssetExecutionContext, part: BillingPartition) -> Any:
    def log(done: int, total: int) -> None:
        if done == total or done % 100 == 0:
            context.log.info(f"{part.month}: {done} of {counted(total, 'invoice')} handled")

    return log


def _described(part: BillingPartition, synced: SyncReport) -> str:
    states = ", ".join(f"{count} {state}" for state, count in sorted(synced.states.items())) or "nothing to send"
    return f"{part.month}: {states}, {len(synced.failures)} failed, {len(synced.not_tried)} not tried"


def _failures(part: BillingPartition, synced: SyncReport) -> list[Mapping[str, Any]]:
    failed = [
        (sync.invoice, sync.failure.code, sync.failure.operator_text, sync.failure.customer_text)
        for sync in synced.failures
    ]
    failed += [
        (invoice, "not_tried", "the run stopped before it: launch the partition again", "")
        for invoice in synced.not_tried
    ]
    return [
        {
            "month": str(part.month),
            "organization": invoice.organization_id,
            "amount": format_cents(invoice.total_cents, invoice.currency),
            "code": code,
            "what to do": what_to_do,
            "message to the customer": customer_text,
        }
        for invoice, code, what_to_do, customer_text in failed
    ]
