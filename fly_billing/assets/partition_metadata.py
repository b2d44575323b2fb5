"""The metadata of a partition: its own numbers, under keys that are the same in every month and for every organization.

So Dagster's plots show a partition over time. Add the numbers of an asset's partitions here. Not here: numbers of a
whole run or month, which are true for no single partition; a run logs them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dagster import MetadataValue

from fly_billing.corrections.month_totals import InvoiceTotals
from fly_billing.finance.journal_files import JournalFile
from fly_billing.finance.month_report import FinanceReport
from fly_billing.money import counted, exact_sum, format_cents, from_cents, plain
from fly_billing.stripe_sync.money_sweep import KINDS_OF_SWEEP, MoneySweep
from fly_billing.stripe_sync.reconciliation import Reconciliation
from fly_billing.stripe_sync.rules.reconciliation import Discrepancy, ExpectedInvoice, FoundInvoice
from fly_billing.usage.maintenance import Maintained
from fly_billing.usage.rollup_totals import RollupTotals

# The rows of the partition in the asset's table, under the key that Dagster's catalog knows.
PARTITION_ROWS = "dagster/partition_row_count"

OfOrganization = TypeVar("OfOrganization", ExpectedInvoice, FoundInvoice, Discrepancy)


def money(name: str, totals: Mapping[str, int], currencies: Collection[str]) -> dict[str, Any]:
    """Return an amount as a number and as text.

    Args:
        name: The metadata's key, such as `total`. With several currencies the numbers are `total EUR` and `total USD`,
            because amounts of different currencies don't add up.
        totals: Currency -> cents.
        currencies: Every currency that the partition bills in, also those without an amount.
    """
    every = sorted({*currencies, *totals})
    # A float is for Dagster's plots only, which accept no decimals. The text beside it is exact.
    numbers = {
        name if len(every) == 1 else f"{name} {currency}": float(from_cents(totals.get(currency, 0), currency))
        for currency in every
    }
    exact = ", ".join(format_cents(totals.get(currency, 0), currency) for currency in every)
    return {**(numbers or {name: 0.0}), f"{name} (exact)": exact or "0"}


def of_rollups(totals: RollupTotals) -> dict[str, Any]:
    """Return the metadata of a partition of `usage_rollups`."""
    return {
        "organizations": totals.organizations,
        "accepted": totals.events,
        "rollups": totals.rollups,
        "failures": totals.failures,
        PARTITION_ROWS: totals.rollups,
    }


def of_invoices(totals: InvoiceTotals) -> dict[str, Any]:
    """Return the metadata of a partition of `invoices`."""
    return {
        "invoices": totals.invoices,
        "final": totals.final,
        "items": totals.items,
        **money("total", totals.totals, totals.currencies),
        **money("tax", totals.taxes, totals.currencies),
        "accepted": totals.accepted,
        "rejected": totals.rejected,
        "adjustments": totals.adjustments,
        "failures": totals.failures,
        PARTITION_ROWS: totals.invoices,
    }


def of_synced(both: Reconciliation | None, failures: int, totals: InvoiceTotals) -> dict[str, Any]:
    """Return the metadata of a partition of `stripe_invoices`.

    Args:
        both: The partition's part of the month's comparison; None if Stripe could not be read.
        failures: The number of its invoices that this run could not sync.
        totals: The partition's invoices, for its currencies.
    """
    if both is None:
        return {"failures": failures, "comparison": "Stripe could not be read"}
    sent = sum(1 for invoice in both.expected if invoice.stripe_id)
    return {**_both_sides(both, totals.currencies), "failures": failures, PARTITION_ROWS: sent}


def of_reconciliation(both: Reconciliation, number: int, totals: Iterable[InvoiceTotals]) -> dict[str, Any]:
    """Return the metadata of a partition of `stripe_reconciliation`, of which the table now has this number of rows."""
    currencies = {currency for group in totals for currency in group.currencies}
    return {**_both_sides(both, currencies), PARTITION_ROWS: number}


def of_money_sweep(sweep: MoneySweep) -> dict[str, Any]:
    """Return the metadata of `stripe_money`: by kind of object, how many were compared and missed."""
    names = {kind: kind.replace("_", " ") for kind in KINDS_OF_SWEEP}
    compared = {f"{name} compared": sweep.read[kind] for kind, name in names.items()}
    return {**compared, **{f"{name} missed": sweep.missed[kind] for kind, name in names.items()}}


def of_maintenance(maintained: Maintained) -> dict[str, Any]:
    """Return the metadata of `usage_table_files`: files and bytes before and after, and what was joined and deleted."""
    return {
        "files before": maintained.files[0],
        "files": maintained.files[1],
        "bytes before": maintained.bytes[0],
        "bytes": maintained.bytes[1],
        "files deleted": maintained.deleted,
        "landing days joined": [day.isoformat() for day in maintained.days],
        "versions kept": len(maintained.kept_versions),
        "versions lost": len(maintained.lost_versions),
    }


def of_journal(written: JournalFile, link: str | None) -> dict[str, Any]:
    """Return the metadata of a partition of `finance_journals`.

    Args:
        written: The journal's file.
        link: The address that serves the file; None: there is none.
    """
    return {
        "lines": written.lines,
        **money("debits", written.debits, []),
        "state": written.state,
        "journal": MetadataValue.url(link) if link else MetadataValue.path(written.path),
    }


def of_finance_month(report: FinanceReport, path: Path, link: str | None) -> dict[str, Any]:
    """Return the metadata of a partition of `finance_months`.

    `receivables` is the part of the month's own invoices that is not paid now. `deferred` is what later months will
    recognize, of all invoices.

    Args:
        report: The month.
        path: The file of its report.
        link: The address that serves the file; None: there is none.
    """
    amounts = {
        "revenue": {sums.currency: sums.revenue_cents for sums in report.sums},
        "tax": {sums.currency: sums.tax_cents for sums in report.sums},
        "prepaid credit": {sums.currency: sums.prepaid_cents for sums in report.sums},
        "total": {sums.currency: sums.total_cents for sums in report.sums},
        "receivables": {sums.currency: sums.due_cents for sums in report.sums},
        "recognized": _recognized(report, "recognized_cents"),
        "deferred": _recognized(report, "deferred_cents"),
    }
    metadata: dict[str, Any] = {
        "invoices": sum(sums.invoices for sums in report.sums),
        "open invoices": report.open_invoices,
    }
    for name, cents in amounts.items():
        metadata |= money(name, cents, report.currencies)
    return {
        **metadata,
        **_credits_used(report),
        # Browsers open no local file from Dagster's page, so without an address it is only named.
        "report": MetadataValue.url(link) if link else MetadataValue.path(path),
    }


def _recognized(report: FinanceReport, name: str) -> dict[str, int]:
    """Return an amount of the month by currency; without revenue in the month, deferred is that of the last one."""
    newest: dict[str, int] = {}
    for row in reversed(report.recognized.rows):
        newest[row["currency"]] = row[name] if name == "deferred_cents" or row["month"] == report.month.first_day else 0
    return {currency: newest.get(currency, 0) for currency in report.currencies}


def _credits_used(report: FinanceReport) -> dict[str, Any]:
    """Return the credits that the month's invoices used, as numbers and as text. They can be fractions of a cent."""
    used = {
        currency: exact_sum(
            [
                credits.amount
                for credits in report.credits_used
                if (credits.currency, credits.month) == (currency, report.month.first_day)
            ]
        )
        for currency in report.currencies
    }
    numbers = {
        "credits used" if len(used) == 1 else f"credits used {currency}": float(amount)
        for currency, amount in used.items()
    }
    exact = ", ".join(f"{currency} {plain(amount)}" for currency, amount in used.items())
    return {**(numbers or {"credits used": 0.0}), "credits used (exact)": exact or "0"}


def _both_sides(both: Reconciliation, currencies: Collection[str]) -> dict[str, Any]:
    every = {*currencies, *both.totals_here, *both.totals_in_stripe}
    count = len(both.discrepancies)
    return {
        "comparison": counted(count, "discrepancy") if count else "equal",
        "invoices": len(both.expected),
        **money("total", both.totals_here, every),
        "invoices in Stripe": len(both.found),
        **money("total in Stripe", both.totals_in_stripe, every),
        "discrepancies": count,
    }


def by_group(both: Reconciliation, groups: Sequence[str], group_of: Mapping[str, str]) -> dict[str, Reconciliation]:
    """Split a reconciliation into its billing groups. What belongs to no known organization is in none of them."""
    expected = _split(both.expected, group_of)
    found = _split(both.found, group_of)
    discrepancies = _split(both.discrepancies, group_of)
    return {group: Reconciliation(expected[group], found[group], discrepancies[group]) for group in groups}


def _split(rows: Iterable[OfOrganization], group_of: Mapping[str, str]) -> Mapping[str, list[OfOrganization]]:
    parts: dict[str, list[OfOrganization]] = defaultdict(list)
    for row in rows:
        if group := group_of.get(row.organization_id):
            parts[group].append(row)
    return parts
