"""The third asset: builds invoices from quantities, fees and one-off items."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    BackfillPolicy,
    MaterializeResult,
    asset,
)

from fly_billing.assets.catalog import BILLING, OWNERS, WRITES_POSTGRES, billing_table
from fly_billing.assets.external import organizations, price_books
from fly_billing.assets.invoice_report import (
    are_recorded,
    log_month,
    metadata_of_checks,
    partition_outcomes,
)
from fly_billing.assets.partition_checks import PartitionCheck, partition_checks
from fly_billing.assets.run_report import PartitionOutcomes, explains_failures, report
from fly_billing.assets.usage_rollups import usage_rollups
from fly_billing.checks.rules.failures import Place, rows_by_place
from fly_billing.corrections.month_checks import check_month
from fly_billing.corrections.month_run import BillingRun, MonthReport, bill_and_correct
from fly_billing.invoicing.bill_run import Billed
from fly_billing.invoicing.group_members import groups_by_organization, payers_in_other_groups
from fly_billing.partitions import FROM_SCRATCH, billing_partitions, month_by_org
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.billing_terms import BillingTerms
from fly_billing.resources.clock import Clock
from fly_billing.resources.usage_store import UsageStore
from fly_billing.worklist.due import days_to_land

ITEMS_SUM = "items_sum_to_the_total"
PRICED_ONCE = "every_rollup_is_priced_in_exactly_one_item"
IN_ONE_ITEM = "every_event_is_in_exactly_one_item"
ALL_BILLED = "finalized_invoices_bill_all_usage_known_now"
APPROVED = "no_correction_waits_for_approval"
RECALCULATED = "final_invoices_can_be_recalculated"
DECIDED = "changed_terms_of_closed_months_are_decided"
CHECKS = {
    ITEMS_SUM: "The items of every invoice add up to its total, exactly and in cents.",
    PRICED_ONCE: "Every rollup of a billed month is priced in exactly one item, and an item's quantity is the sum"
    " of its rollups: no usage is forgotten or charged twice.",
    IN_ONE_ITEM: "Every accepted event of a billed month is in exactly one item of its organization's invoice. The"
    " check reads the events again, from the version of the usage table that was billed, and warns if it can't.",
    ALL_BILLED: "Lists usage that arrived or was corrected after its invoice was finalized and that no adjustment bills"
    " yet. The invoice stays as it is; materialize `invoices` again to bill the difference on the next. A warning.",
    APPROVED: "Lists corrections of final invoices that return so much money that someone must approve them first:"
    " usage may have disappeared, or a price may be wrong. `fly-billing corrections` shows them; if they are right,"
    " `fly-billing approve-corrections MONTH --total AMOUNT` lets the next run book them. If the usage comes back, they"
    " disappear. A warning.",
    RECALCULATED: "Lists final invoices that can't be recalculated, so their late usage and corrections are not billed."
    " The invoices stay as they are; fix the cause given with each, then materialize `invoices` of the month again. A"
    " warning.",
    DECIDED: "Lists final invoices that would be different now because terms or prices of their month changed. They"
    " are not corrected automatically: `fly-billing rebill ORG MONTH --dry-run` shows the change, without --dry-run it"
    " books the change, and with `--keep --why REASON` it leaves the invoice as it is. A warning.",
}
# These invoices are right as they are, and anything missing can still be billed.
WARNINGS = {ALL_BILLED, APPROVED, RECALCULATED, DECIDED}


@asset(
    partitions_def=month_by_org,
    backfill_policy=BackfillPolicy.single_run(),
    deps=[usage_rollups, organizations, price_books],
    check_specs=[AssetCheckSpec(name, asset="invoices", description=text) for name, text in CHECKS.items()],
    kinds={"postgres"},
    group_name=BILLING,
    owners=OWNERS,
    tags=WRITES_POSTGRES,
    metadata=billing_table("invoices"),
)
@explains_failures
def invoices(
    context: AssetExecutionContext,
    billing_postgres: BillingPostgres,
    billing_terms: BillingTerms,
    usage_store: UsageStore,
    clock: Clock,
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """One invoice per paying organization and month, with items that add up to the total, to the cent.

    While the month is open or in its grace period, every run recalculates the upcoming invoices whose inputs changed
    (all of them, if the run has the tag `fly_billing/from_scratch`). After that the invoice is final and never changes.
    If usage changes later, the next run books the difference once, as an adjustment on the payer's next open invoice;
    changed terms wait until someone decides. An organization that can't be billed fails alone: its partition stays
    failed, and `billing_failures` and its statement give the reason. Fix the cause and materialize the partition.
    """
    database, usage_table = billing_postgres.database(), usage_store.usage_table()
    parts = billing_partitions(context, clock.now())
    months = [part.month for part in parts]
    run = BillingRun(
        database, usage_table, billing_terms.terms(), billing_terms.correction_guard(), context.run.run_id, clock.now,
        unlanded_days=days_to_land(database, usage_store.landing(), clock.now(), months),
        from_scratch=FROM_SCRATCH in context.run.tags, processes=billing_terms.most_processes(),
    )  # fmt: skip
    run.refuse_other_usage(months)
    reports = []
    for number, part in enumerate(parts, start=1):
        context.log.info(f"{part.month} ({number} of {len(parts)})")
        reports.append(bill_and_correct(run, part.month, part.groups))
        log_month(context.log, database, reports[-1])
    outcomes = partition_outcomes(database, parts, reports)
    checks = _checks(context, run, reports, outcomes)
    yield from report(context, outcomes, checks, are_recorded=are_recorded(outcomes))


def _checks(
    context: AssetExecutionContext, run: BillingRun, reports: Sequence[MonthReport], outcomes: PartitionOutcomes
) -> Iterator[AssetCheckResult]:
    # A month that can't be closed is not checked: it fails as before.
    billed = [month for month in reports if isinstance(month.billed, Billed)]
    checked = [Place(str(month.month), group) for month in billed for group in month.groups]
    group_of = groups_by_organization(run.database)
    payers = payers_in_other_groups(run.database, [month.month for month in billed])
    found = [check_month(run.database, run.usage, month) for month in billed]
    rows: dict[str, Sequence[Mapping[str, Any]]] = {
        ITEMS_SUM: [row for month in found for row in month.wrong_totals],
        PRICED_ONCE: [row for month in found for row in month.not_priced_once],
        IN_ONE_ITEM: [row for month in found for row in month.not_in_one_item],
        ALL_BILLED: [row for month in found for row in month.unbilled],
        APPROVED: [row for month in found for row in month.held],
        RECALCULATED: [row for month in found for row in month.failed_corrections],
        DECIDED: [row for month in found for row in month.undecided],
    }
    wrong = {name: rows_by_place(rows[name], checked, group_of, payers) for name in CHECKS}
    # A sensor reads waiting corrections from Postgres and sends the alert.
    facts = metadata_of_checks(reports)
    checks = [
        PartitionCheck(name, wrong[name], _warnings(name, wrong[name]), name == APPROVED, facts) for name in CHECKS
    ]
    return partition_checks(context, run.database, checked, checks, outcomes, run.clock())


def _warnings(name: str, wrong: Mapping[Place, Sequence[Mapping[str, Any]]]) -> set[Place]:
    if name in WARNINGS:
        return set(wrong)
    # An unreadable version of the usage table does not make the invoice wrong.
    return {
        place
        for place, rows in wrong.items()
        if name == IN_ONE_ITEM and all(row["organization_id"] is None for row in rows)
    }
