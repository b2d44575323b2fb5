"""What `fly-billing demo` shows at the end: organizations, invoices, totals, both sides compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from fly_billing.cli.terminal import Terminal, styled
from fly_billing.invoicing.group_members import billing_groups
from fly_billing.money import format_cents
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sync.journal import StripeJournal
from fly_billing.stripe_sync.reader import StripeReader
from fly_billing.stripe_sync.reconciliation import Reconciliation, reconcile_month

# Amounts of different currencies can't be added up: the summary shows one.
CURRENCY = "USD"


@dataclass(frozen=True)
class SummaryTotals:
    """The last line, for machines: finalized invoices with something to pay, in USD, as the sample platform is."""

    organizations: int
    invoices: int
    items: int
    total_cents: int
    stripe_invoices: int
    stripe_total_cents: int
    discrepancies: int

    @property
    def is_equal(self) -> bool:
        """Whether both sides hold the same: count, cents, and no discrepancy in between."""
        return (self.invoices, self.total_cents, 0) == (
            self.stripe_invoices,
            self.stripe_total_cents,
            self.discrepancies,
        )

    def line(self) -> str:
        return "demo: " + " ".join(f"{name}={value}" for name, value in vars(self).items())


def reconcile_all(database: BillingDatabase, reader: StripeReader) -> list[Reconciliation]:
    """Read every month that has finalized invoices from Stripe and compare it with ours."""
    months = [BillingMonth.containing(row["month"]) for row in database.rows("months_in_stripe")]
    groups = billing_groups(database)
    return [reconcile_month(StripeJournal(database), reader, month, groups) for month in months]


def totals(database: BillingDatabase, both: Sequence[Reconciliation]) -> SummaryTotals:
    """Count both sides: ours from Postgres, Stripe's from what was read there."""
    (ours,) = database.rows("billed_totals", currency=CURRENCY)
    found = [one for month in both for one in month.found if one.status != "draft" and one.currency == CURRENCY]
    return SummaryTotals(
        organizations=ours["organizations"],
        invoices=ours["invoices"],
        items=ours["items"],
        total_cents=ours["total_cents"],
        stripe_invoices=len(found),
        stripe_total_cents=sum(one.total_cents for one in found),
        discrepancies=sum(len(month.discrepancies) for month in both),
    )


def show_summary(console: Terminal, database: BillingDatabase, both: Sequence[Reconciliation]) -> None:
    """Print a table of organizations, biggest first, and every discrepancy."""
    in_stripe: dict[str, int] = {}
    for one in (found for month in both for found in month.found if found.currency == CURRENCY):
        in_stripe[one.organization_id] = in_stripe.get(one.organization_id, 0) + one.total_cents
    table = Table(title=f"Billed and synced, {CURRENCY}", title_justify="left", show_footer=True)
    for name in ("Organization", "Invoices", "Items", "Billed", "In Stripe", "Upcoming"):
        table.add_column(name, justify="left" if name == "Organization" else "right")
    rows = [row for row in database.rows("organization_summary") if row["currency"] == CURRENCY]
    for row in rows:
        money = [row["billed_cents"], in_stripe.get(row["id"], 0), row["upcoming_cents"]]
        table.add_row(
            row["name"], str(row["invoices"]), str(row["items"]), *(format_cents(m, row["currency"]) for m in money)
        )
    sums = [sum(row[name] for row in rows) for name in ("invoices", "items", "billed_cents", "upcoming_cents")]
    footers = [
        "Total", str(sums[0]), str(sums[1]), format_cents(sums[2], CURRENCY),
        format_cents(sum(in_stripe.values()), CURRENCY), format_cents(sums[3], CURRENCY),
    ]  # fmt: skip
    for column, footer in zip(table.columns, footers, strict=True):
        column.footer = footer
    console.print(table)
    for discrepancy in (one for month in both for one in month.discrepancies):
        console.print(
            styled(discrepancy.kind, "red"), f"{discrepancy.organization_id}: {discrepancy.message}", soft_wrap=True
        )
