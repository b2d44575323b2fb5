"""Shows at the end of `fly-billing demo` what was billed, and what Stripe has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from fly_billing.cli.terminal import Terminal, styled
from fly_billing.money import format_cents
from fly_billing.postgres.database import BillingDatabase
from fly_billing.statements.platform_summary import read_billed_totals, read_organization_summaries
from fly_billing.stripe_sync.reconciliation import Reconciliation

# Amounts of different currencies can't be added up, so the summary shows one.
CURRENCY = "USD"


@dataclass(frozen=True)
class SummaryTotals:
    """The numbers of the demo's last line, which scripts read: finalized invoices with something to pay, in USD."""

    organizations: int
    invoices: int
    items: int
    total_cents: int
    stripe_invoices: int
    stripe_total_cents: int
    discrepancies: int

    @property
    def is_equal(self) -> bool:
        """Return True if both sides have the same number of invoices and the same total, without a discrepancy."""
        ours = (self.invoices, self.total_cents)
        return ours == (self.stripe_invoices, self.stripe_total_cents) and self.discrepancies == 0

    def line(self) -> str:
        return "demo: " + " ".join(f"{name}={value}" for name, value in vars(self).items())


def summary_totals(database: BillingDatabase, reconciliations: Sequence[Reconciliation]) -> SummaryTotals:
    """Count both sides: ours in Postgres, Stripe's in the reconciliations of all months."""
    ours = read_billed_totals(database, CURRENCY)
    in_stripe = [
        invoice
        for month in reconciliations
        for invoice in month.found
        if invoice.status != "draft" and invoice.currency == CURRENCY
    ]
    return SummaryTotals(
        organizations=ours.organizations,
        invoices=ours.invoices,
        items=ours.items,
        total_cents=ours.total_cents,
        stripe_invoices=len(in_stripe),
        stripe_total_cents=sum(invoice.total_cents for invoice in in_stripe),
        discrepancies=sum(len(month.discrepancies) for month in reconciliations),
    )


def show_summary(console: Terminal, database: BillingDatabase, reconciliations: Sequence[Reconciliation]) -> None:
    """Print a table of organizations, biggest first, and every discrepancy."""
    in_stripe: dict[str, int] = {}
    for invoice in (invoice for month in reconciliations for invoice in month.found if invoice.currency == CURRENCY):
        in_stripe[invoice.organization_id] = in_stripe.get(invoice.organization_id, 0) + invoice.total_cents
    table = Table(title=f"Billed and synced, {CURRENCY}", title_justify="left", show_footer=True)
    for name in ("Organization", "Invoices", "Items", "Billed", "In Stripe", "Upcoming"):
        table.add_column(name, justify="left" if name == "Organization" else "right")
    summaries = read_organization_summaries(database, CURRENCY)
    for summary in summaries:
        amounts = (summary.billed_cents, in_stripe.get(summary.id, 0), summary.upcoming_cents)
        table.add_row(summary.name, str(summary.invoices), str(summary.items), *map(_money, amounts))
    totals = [
        "Total",
        str(sum(summary.invoices for summary in summaries)),
        str(sum(summary.items for summary in summaries)),
        _money(sum(summary.billed_cents for summary in summaries)),
        _money(sum(in_stripe.values())),
        _money(sum(summary.upcoming_cents for summary in summaries)),
    ]
    for column, total in zip(table.columns, totals, strict=True):
        column.footer = total
    console.print(table)
    for discrepancy in (discrepancy for month in reconciliations for discrepancy in month.discrepancies):
        console.print(
            styled(discrepancy.kind, "red"), f"{discrepancy.organization_id}: {discrepancy.message}", soft_wrap=True
        )


def _money(cents: int) -> str:
    return format_cents(cents, CURRENCY)
