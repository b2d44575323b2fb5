"""The third stage: quantities, fees and one-off items become invoices."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    BackfillPolicy,
    MaterializeResult,
    asset,
)

from fly_billing.assets.invoice_report import are_recorded, failed_partitions, failures_of, metadata_of
from fly_billing.assets.run_report import REPORTED_BY_SENSOR, check, report
from fly_billing.assets.usage_rollups import usage_rollups
from fly_billing.corrections.month_run import BillingRun, MonthReport, bill_and_correct
from fly_billing.invoicing.bill_run import Billed
from fly_billing.partitions import billing_partitions, month_by_org
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.billing_terms import BillingTerms
from fly_billing.resources.clock import Clock
from fly_billing.resources.usage_store import UsageStore
from fly_billing.statements.billed_events import check_items_per_event
from fly_billing.worklist.due import days_to_land

ITEMS_SUM = "items_sum_to_the_total"
PRICED_ONCE = "every_rollup_is_priced_in_exactly_one_item"
IN_ONE_ITEM = "every_event_is_in_exactly_one_item"
ALL_BILLED = "finalized_invoices_bill_all_usage_known_now"
WAITS = "no_correction_waits_for_a_person"
WORKED_OUT = "final_invoices_can_be_worked_out_again"
DECIDED = "changed_terms_of_closed_months_are_decided"
CHECKS = {
    ITEMS_SUM: "Every invoice's items add up to its total, exactly and in cents.",
    PRICED_ONCE: "Every rollup of a billed month is priced in exactly one item, and an item's quantity is the sum"
    " of its rollups: nothing is forgotten, nothing charged twice.",
    IN_ONE_ITEM: "Every accepted event of a billed month is in exactly one item of its organization's invoice: the"
    " events are read again, from just the version of the usage table that was billed. A warning where that can't be"
    " read.",
    ALL_BILLED: "Usage that came in (or was corrected) after its invoice was finalized, and that no adjustment bills"
    " yet. The invoice stays as it is; materialize `invoices` again, and the difference is on the next one. A warning.",
    WAITS: "Corrections of final invoices that would give back so much that they are not booked before a person"
    " approves them: usage may have disappeared, or a price may be wrong. `fly-billing corrections` lists them; if they"
    " are right, `fly-billing approve-corrections MONTH --total AMOUNT` lets the next run book them. If the usage comes"
    " back, they disappear by themselves. A warning.",
    WORKED_OUT: "Final invoices of which nobody can say what they would be now, so late usage and corrections of them"
    " are not billed. They stay as they are; mend what is named with each, then materialize `invoices` of the month"
    " again. A warning.",
    DECIDED: "Final invoices that would be different now because terms or prices of their month changed. They are not"
    " corrected by themselves: `fly-billing rebill ORG MONTH --dry-run` shows what would change, without --dry-run it"
    " is booked, and `--keep --why REASON` leaves the invoice as it is. A warning.",
}
# What is no error of an invoice: it stays as it is, and what is missing can still be billed.
WARNINGS = {ALL_BILLED, WAITS, WORKED_OUT, DECIDED}


@asset(
    partitions_def=month_by_org,
    backfill_policy=BackfillPolicy.single_run(),
    deps=[usage_rollups],
    check_specs=[AssetCheckSpec(name, asset="invoices", description=text) for name, text in CHECKS.items()],
    kinds={"postgres"},
    group_name="fly_billing",
)
def invoices(
    context: AssetExecutionContext,
    billing_postgres: BillingPostgres,
    billing_terms: BillingTerms,
    usage_store: UsageStore,
    clock: Clock,
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """What each organization owes for the month, and why: one invoice with items that add up to the cent.

    While the month is open (and in its grace period) this is the upcoming invoice, computed anew each time.
    Afterwards it is finalized and never changes: materialized again, what changed usage makes is booked as adjustments
    on the next open invoice of whoever paid, once; changed terms wait for a person's decision. An organization that
    can't be billed fails alone: its partition stays failed, with the reason in `billing_failures` and on its statement;
    mend what the reason names and materialize the partition.
    """
    database, lake = billing_postgres.database(), usage_store.lake()
    groups = {row["id"]: row["billing_group"] for row in database.rows("billing_groups")}
    run = BillingRun(
        database, lake, billing_terms.terms(), billing_terms.correction_guard(), context.run.run_id, clock.now,
        unlanded_days=days_to_land(database, usage_store.landing(), clock.now()),
    )  # fmt: skip
    parts = billing_partitions(context)
    run.refuse_other_usage([part.month for part in parts])
    reports = []
    for number, part in enumerate(parts, start=1):
        context.log.info(f"{part.month} ({number} of {len(parts)})")
        reports.append(bill_and_correct(run, part.month, part.groups))
        context.log.info(reports[-1].sentence)
    metadata, failures = metadata_of(reports), failures_of(reports)
    checks, failed = _check_results(reports, _events_not_in_one_item(run, reports)), failed_partitions(reports, groups)
    yield from report(context, metadata, checks, failed, failures, are_recorded=are_recorded(failures))


def _events_not_in_one_item(run: BillingRun, reports: Sequence[MonthReport]) -> list[Mapping[str, Any]]:
    return [
        {"month": str(billed.month), **row}
        for billed in reports
        if isinstance(billed.billed, Billed)
        for row in check_items_per_event(run.database, run.usage, billed.month, billed.groups)
    ]


def _check_results(reports: Sequence[MonthReport], events: Sequence[Mapping[str, Any]]) -> list[AssetCheckResult]:
    checked = [month.checks for month in reports]
    wrong: dict[str, list[Mapping[str, Any]]] = {
        ITEMS_SUM: [row for month in checked for row in month.wrong_totals],
        PRICED_ONCE: [row for month in checked for row in month.not_priced_once],
        IN_ONE_ITEM: list(events),
        ALL_BILLED: [row for month in checked for row in month.unbilled],
        WAITS: [row for month in checked for row in month.held],
        WORKED_OUT: [row for month in checked for row in month.failed_corrections],
        DECIDED: [row for month in checked for row in month.undecided],
    }
    # A version of the usage table that can't be read is no error of an invoice.
    is_unread = bool(events) and all(row["organization_id"] is None for row in events)
    warnings = WARNINGS | ({IN_ONE_ITEM} if is_unread else set())
    severity = {name: AssetCheckSeverity.WARN if name in warnings else AssetCheckSeverity.ERROR for name in CHECKS}
    # A sensor reads from Postgres what waits, and alerts people.
    extra = {WAITS: {REPORTED_BY_SENSOR: True}}
    metadata = metadata_of(reports)
    return [check("invoices", name, wrong[name], severity[name], **metadata, **extra.get(name, {})) for name in CHECKS]
