"""Shows billed months in Dagster: the outcome of each partition, and the metadata of the run's checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dagster import DagsterLogManager

from fly_billing.assets.partition_metadata import of_invoices
from fly_billing.assets.run_report import PartitionOutcomes, table
from fly_billing.corrections.correction import Corrections
from fly_billing.corrections.month_run import MonthReport
from fly_billing.corrections.month_totals import invoice_totals
from fly_billing.invoicing.bill_run import Billed
from fly_billing.invoicing.group_members import groups_by_organization
from fly_billing.invoicing.month_closing import MonthNotClosed, RejectedUsageUnresolved, UsageNotLanded
from fly_billing.money import plain
from fly_billing.partitions import BillingPartition, partition_key
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.rejections import list_unresolved

# Failures that have no row in `billing_failures`: of a whole month, or of an invoice that is final.
REPORTED_BY_THE_RUN = {UsageNotLanded.code, RejectedUsageUnresolved.code, "usage_rollups_damaged_later"}


def metadata_of_checks(reports: Iterable[MonthReport]) -> dict[str, Any]:
    """Return what the run's checks rest on: the adjustments that it booked and the corrections that wait."""
    listed = list(reports)
    booked = [row for report in listed if report.corrections for row in _adjustments(report.corrections)]
    waiting = [held.sentence for report in listed for totals in report.held_totals.values() for held in totals]
    return {"adjustments of this run": table(booked, most=20), "corrections that wait": " ".join(waiting) or "none"}


def log_month(log: DagsterLogManager, database: BillingDatabase, report: MonthReport) -> None:
    """Log what the run did in the month, and the rejected usage that its final invoices lack.

    These are numbers of all billing groups of the run, so they are no partition's metadata.
    """
    log.info(report.sentence)
    if isinstance(report.billed, Billed) and report.billed.finalized:
        for group in list_unresolved(database, report.month):
            log.warning(f"{report.month}: rejected usage that is not billed: {group.sentence}")


def partition_outcomes(
    database: BillingDatabase, parts: Iterable[BillingPartition], reports: Iterable[MonthReport]
) -> PartitionOutcomes:
    """Return the outcome of every partition, with the totals that Postgres has now."""
    group_of = groups_by_organization(database)
    outcomes = PartitionOutcomes([key for part in parts for key in part.keys])
    for report in reports:
        for group, totals in invoice_totals(database, report.month, report.groups).items():
            outcomes.done[str(partition_key(report.month, group))] = of_invoices(totals)
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
    if isinstance(report.billed, MonthNotClosed):
        return [{"month": month, "code": report.billed.code, "what to do": str(report.billed)}]
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


def _adjustments(corrections: Corrections) -> list[dict[str, Any]]:
    return [
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
