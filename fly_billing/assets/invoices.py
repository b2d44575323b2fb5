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

from fly_billing.assets.run_report import REPORTED_BY_SENSOR, check, report, table
from fly_billing.assets.usage_rollups import usage_rollups
from fly_billing.corrections.adjustments import Actor, Corrections, correct_month
from fly_billing.corrections.approvals import waiting, waiting_sums
from fly_billing.corrections.rules.guard import HeldSum
from fly_billing.invoicing.bill_run import Billed, UsageNotLanded, bill
from fly_billing.money import exact_sum, format_cents, plain
from fly_billing.partitions import billing_partitions, month_by_org, partition_key
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import Row
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.billing_terms import BillingTerms
from fly_billing.resources.clock import Clock
from fly_billing.resources.usage_store import UsageStore
from fly_billing.statements.billed_events import check_items_per_event
from fly_billing.usage.landing_ledger import open_usage_table
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

# Failures that do not stand in `billing_failures`: of a whole month, or of an invoice that is final.
REPORTED_BY_THE_RUN = {"usage_not_landed", "usage_rollups_damaged_later"}

STATEMENTS = {ITEMS_SUM: "check_items_sum", PRICED_ONCE: "check_rollups_priced", ALL_BILLED: "check_late_usage"}


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
    database, terms = billing_postgres.database(), billing_terms.terms()
    groups = {row["id"]: row["billing_group"] for row in database.rows("billing_groups")}
    metadata: dict[str, Any] = {}
    wrong: dict[str, list[Mapping[str, Any]]] = {name: [] for name in CHECKS}
    failures: list[Mapping[str, Any]] = []
    unlanded = days_to_land(database, usage_store.landing(), clock.now())
    failed: set[str] = set()
    parts = billing_partitions(context)
    usage = open_usage_table(database, usage_store.lake())
    for part in parts:
        usage.files(part.month)  # raises where the table is not what was landed: then no month is closed or corrected
    for number, part in enumerate(parts, start=1):
        context.log.info(f"{part.month} ({number} of {len(parts)})")
        try:
            billed = bill(
                database, part.month, part.groups, terms, clock.now(), context.run.run_id, unlanded_days=unlanded
            )
        except UsageNotLanded as problem:
            failed |= {str(partition_key(part.month, group)) for group in part.groups}
            failures.append({"month": str(part.month), "code": "usage_not_landed", "what to do": str(problem)})
            continue
        metadata |= _describe(part.month, billed)
        withheld: set[str] = set()
        if (
            billed.already_final or billed.finalized
        ):  # what was just made final may count in later months that are final
            who = Actor(context.run.run_id, clock.now(), "materialized again")
            corrected = correct_month(
                database,
                part.month,
                part.groups,
                usage_store.lake(),
                who,
                only=set(billed.already_final),
                guard=billing_terms.correction_guard(),
            )
            metadata |= _describe_corrections(part.month, corrected)
            wrong[WORKED_OUT] += _not_worked_out(part.month, corrected)
            wrong[DECIDED] += _undecided(part.month, corrected)
            if corrected.held:
                for month in sorted({one.month for one in corrected.waiting}):
                    sums = waiting_sums(waiting(database, month))
                    wrong[WAITS] += _waiting(month, corrected, sums)
                    metadata[f"{month} corrections that wait"] = " ".join(one.sentence for one in sums)
            withheld |= {name for one in corrected.waiting for name in one.payer.member_names}
        damaged = database.rows("final_with_damaged_rollups", month=part.month.first_day, groups=list(part.groups))
        failed |= {str(partition_key(part.month, groups[one.organization_id])) for one in billed.failures}
        failed |= {str(partition_key(part.month, groups[row["organization_id"]])) for row in damaged}
        failures += [*_failures(part.month, billed), *_damaged(part.month, damaged)]
        for name, statement in STATEMENTS.items():
            found = database.rows(statement, month=part.month.first_day, groups=list(part.groups))
            # What waits for a person is told by the check of its own.
            found = [row for row in found if row.get("organization_id") not in withheld or name != ALL_BILLED]
            wrong[name] += [{"month": str(part.month), **row} for row in found]
        events = check_items_per_event(database, usage_store.lake(), part.month, part.groups)
        wrong[IN_ONE_ITEM] += [{"month": str(part.month), **row} for row in events]
        context.log.info(f"{part.month}: {len(billed.invoices)} invoices, {len(billed.failures)} failures")
    unread = [row for row in wrong[IN_ONE_ITEM] if row["organization_id"] is None]
    warnings = WARNINGS | ({IN_ONE_ITEM} if unread and unread == wrong[IN_ONE_ITEM] else set())
    severity = {name: AssetCheckSeverity.WARN if name in warnings else AssetCheckSeverity.ERROR for name in CHECKS}
    # A sensor reads from Postgres what waits, and alerts people.
    extra = {WAITS: {REPORTED_BY_SENSOR: True}}
    checks = [
        check("invoices", name, wrong[name], severity[name], **metadata, **extra.get(name, {})) for name in CHECKS
    ]
    are_recorded = all(failure["code"] not in REPORTED_BY_THE_RUN for failure in failures)
    yield from report(context, metadata, checks, failed, failures, are_recorded=are_recorded)


def _describe(month: BillingMonth, billed: Billed) -> dict[str, Any]:
    totals: dict[str, int] = {}
    for invoice in billed.invoices:
        totals[invoice.currency] = totals.get(invoice.currency, 0) + invoice.total_cents
    largest = sorted(billed.invoices, key=lambda one: -one.total_cents)
    rows = [
        {
            "organization": one.organization_id,
            "items": one.items,
            "total": format_cents(one.total_cents, one.currency),
        }
        for one in largest
    ]
    what = "finalized" if billed.finalized else "open"
    return {
        f"{month} invoices": f"{len(billed.invoices)} {what}, {len(billed.already_final)} were final already",
        f"{month} total": ", ".join(format_cents(cents, currency) for currency, cents in totals.items())
        or "nothing new",
        f"{month} largest": table(rows, most=20),
    }


def _describe_corrections(month: BillingMonth, corrections: Corrections) -> dict[str, Any]:
    rows = [
        {
            "month": str(one.month),
            "organization": one.payer.organization_id,
            "item": difference.charge.description,
            "difference": plain(difference.amount),
            "causes": ", ".join(difference.causes),
        }
        for one in sorted(corrections.booked, key=lambda one: -abs(one.amount))
        for difference in one.differences
    ]
    return {f"{month} adjustments": table(rows, most=20)} if rows else {}


def _waiting(month: BillingMonth, corrections: Corrections, sums: Sequence[HeldSum]) -> Sequence[Mapping[str, Any]]:
    """List what of this run waits for a person, the largest first, with the sentence that says how to let it pass.

    `sums`: all that waits of the month, also what other runs found.
    """
    what_to_do = {one.currency: one.sentence for one in sums}
    invoices = {one.invoice_id for one in corrections.waiting if one.month == month}
    return [
        {
            "month": str(month),
            "organization_id": one.proposal.organization_id,
            "gives back": plain(one.proposal.gives_back),
            "currency": one.proposal.currency,
            "causes": ", ".join(one.proposal.causes),
            "what to do": what_to_do[one.proposal.currency],
        }
        for one in sorted(corrections.held, key=lambda one: -one.proposal.gives_back)
        if one.proposal.invoice_id in invoices
    ]


def _undecided(month: BillingMonth, corrections: Corrections) -> Sequence[Mapping[str, Any]]:
    return [
        {
            "month": str(month),
            "organization_id": one.payer.organization_id,
            "difference": plain(exact_sum([each.amount for each in one.terms])),
            "currency": one.payer.currency,
            "what to do": f"fly-billing rebill {one.payer.organization_id} {month} --dry-run",
        }
        for one in corrections.undecided
    ]


def _not_worked_out(month: BillingMonth, corrections: Corrections) -> Sequence[Mapping[str, Any]]:
    return [
        {"month": str(month), "organization_id": name, "code": error.code, "what to do": error.operator_text}
        for name, error in corrections.failures
    ]


def _failures(month: BillingMonth, billed: Billed) -> Sequence[Mapping[str, Any]]:
    return [
        {
            "month": str(month),
            "organization": failure.organization_id,
            "code": failure.error.code,
            "what to do": failure.error.operator_text,
            "the customer is told": failure.error.customer_text,
        }
        for failure in billed.failures
    ]


def _damaged(month: BillingMonth, damaged: Sequence[Row]) -> Sequence[Mapping[str, Any]]:
    """List final invoices whose rollups were damaged since: they stay as they are, but can't be corrected."""
    return [
        {
            "month": str(month),
            "organization": row["organization_id"],
            "code": "usage_rollups_damaged_later",
            "what to do": f"{row['reason']}; its invoice is final and stays as it is, but late usage is not billed",
        }
        for row in damaged
    ]
