"""Shows billed months in Dagster: totals as metadata, check results, and failures with their fix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fly_billing.assets.run_report import PartitionOutcomes, table
from fly_billing.corrections.correction import Corrections
from fly_billing.corrections.month_run import MonthReport
from fly_billing.invoicing.bill_run import Billed, UsageNotLanded
from fly_billing.money import format_cents, plain
from fly_billing.partitions import BillingPartition, partition_key
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.rejections import list_unresolved

# Failures that have no row in `billing_failures`: of a whole month, or of an invoice that is final.
REPORTED_BY_THE_RUN = {"usage_not_landed", "usage_rollups_damaged_later"}


def metadata_of(reports: Iterable[MonthReport]) -> dict[str, Any]:
    """Return the metadata of a run over these months."""
    metadata: dict[str, Any] = {}
    for report in reports:
        if isinstance(report.billed, Billed):
            metadata |= _invoices(report.month, report.billed)
        if report.corrections:
            metadata |= _adjustments(report.month, report.corrections)
        for month, totals in report.held_totals.items():
            metadata[f"{month} corrections that wait"] = " ".join(held.sentence for held in totals)
    return metadata


def unresolved_rejections(database: BillingDatabase, reports: Iterable[MonthReport]) -> dict[str, Any]:
    """Return the rejected usage that the final invoices of these months lack: a sentence per source and reason."""
    found = {
        report.month: list_unresolved(database, report.month)
        for report in reports
        if isinstance(report.billed, Billed) and report.billed.finalized
    }
    return {
        f"{month} rejected usage that is not billed": table(
            [{"rejected usage": group.sentence} for group in groups], most=20
        )
        for month, groups in found.items()
        if groups
    }


def partition_outcomes(
    parts: Iterable[BillingPartition],
    reports: Iterable[MonthReport],
    group_of: Mapping[str, str],
    metadata: Callable[[MonthReport], Mapping[str, Any]],
) -> PartitionOutcomes:
    """Return the outcome of every partition.

    Args:
        group_of: The billing group of each organization.
        metadata: Returns the metadata of a month's partitions.
    """
    outcomes = PartitionOutcomes([key for part in parts for key in part.keys])
    for report in reports:
        outcomes.done |= dict.fromkeys(
            (str(partition_key(report.month, group)) for group in report.groups), metadata(report)
        )
        for row in _failures(report):
            # A month that can't be closed fails all its partitions.
            groups = [group_of[row["organization"]]] if "organization" in row else report.groups
            for group in groups:
                outcomes.fail(str(partition_key(report.month, group)), row)
    return outcomes


def are_recorded(outcomes: PartitionOutcomes) -> bool:
    """Return True if every failure has a row in Postgres, from which a sensor alerts people."""
    return all(row["code"] not in REPORTED_BY_THE_RUN for rows in outcomes.failures.values() for row in rows)


def _failures(report: MonthReport) -> Sequence[Mapping[str, Any]]:
    month = str(report.month)
    if isinstance(report.billed, UsageNotLanded):
        return [{"month": month, "code": "usage_not_landed", "what to do": str(report.billed)}]
    failed = [
        {
            "month": month,
            "organization": failure.organization_id,
            "code": failure.error.code,
            "what to do": failure.error.operator_text,
            "message to the customer": failure.error.customer_text,
        }
        for failure in report.billed.failures
    ]
    # Final invoices whose rollups were damaged since: they stay as they are, but can't be corrected.
    damaged = [
        {
            "month": month,
            "organization": rollups.organization_id,
            "code": "usage_rollups_damaged_later",
            "what to do": f"{rollups.reason}; its invoice is final and stays as it is, but late usage is not billed",
        }
        for rollups in report.damaged
    ]
    return failed + damaged


def _invoices(month: BillingMonth, billed: Billed) -> dict[str, Any]:
    totals: dict[str, int] = {}
    for invoice in billed.invoices:
        totals[invoice.currency] = totals.get(invoice.currency, 0) + invoice.total_cents
    rows = [
        {
            "organization": invoice.organization_id,
            "items": invoice.items,
            "total": format_cents(invoice.total_cents, invoice.currency),
        }
        for invoice in sorted(billed.invoices, key=lambda invoice: -invoice.total_cents)
    ]
    state = "finalized" if billed.finalized else "open"
    return {
        f"{month} invoices": f"{len(billed.invoices)} {state}, {len(billed.already_final)} were final already",
        f"{month} total": ", ".join(format_cents(cents, currency) for currency, cents in totals.items())
        or "nothing new",
        f"{month} largest": table(rows, most=20),
    }


def _adjustments(month: BillingMonth, corrections: Corrections) -> dict[str, Any]:
    rows = [
        {
            "month": str(correction.month),
            "organization": correction.payer.organization_id,
            "item": difference.charge.description,
            "difference": plain(difference.amount),
            "causes": ", ".join(difference.causes),
        }
        for correction in sorted(corrections.booked, key=lambda correction: -abs(correction.amount))
        for difference in correction.differences
    ]
    return {f"{month} adjustments": table(rows, most=20)} if rows else {}
