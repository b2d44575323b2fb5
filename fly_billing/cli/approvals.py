"""`fly-billing sync --dry-run` and `approve`: what a sync would send, and a human's word for a total out of line."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.table import Table

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, styled
from fly_billing.money import format_cents
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import Settings
from fly_billing.stripe_sync.approvals import approve_total, plan_of_sync, verdicts_of
from fly_billing.stripe_sync.rules.spending_guard import SendPlan, described

# Which of Stripe's endpoints a step calls.
ENDPOINTS = {
    "create_customer": "POST /v1/customers",
    "create": "POST /v1/invoices",
    "add_lines": "POST /v1/invoices/{id}/add_lines",
    "finalize": "POST /v1/invoices/{id}/finalize",
    "retrieve": "GET /v1/invoices/{id}",
}


def show_plan(console: Terminal, month: BillingMonth) -> bool:
    """Print what a sync of the month would send; return whether it may. Stripe is not asked."""
    with local_platform(stripe=True) as settings:  # for the limits that the sync itself would keep
        database = BillingDatabase(settings.database_url)
        plan = plan_of_sync(database, month)
        verdicts = verdicts_of(database, month, settings.guard_percent) if plan.invoices else []
        console.print(_table(month, plan, _pace(settings)))
        for one in verdicts:
            console.print(f"guard, {one.currency}: {'passes' if one.passes else 'stops it'}: {one.reason}")
            for each in one.contributors:
                console.print(f"  {described(each)}")
        for problem in plan.unreadable:
            console.print(styled("can't be read", "red"), problem, soft_wrap=True)
    return all(one.passes for one in verdicts) and not plan.unreadable


def _pace(settings: Settings) -> tuple[int, int]:
    return settings.stripe_requests_per_second, settings.stripe_requests_per_endpoint


def _table(month: BillingMonth, plan: SendPlan, pace: tuple[int, int]) -> Table:
    table = Table(title=f"{month}: what a sync would send; nothing was sent", title_justify="left", show_header=False)
    table.add_column("What")
    table.add_column("How many", justify="right")
    table.add_row("customers to make", f"{len(plan.customers):,}")
    table.add_row("invoices", f"{plan.invoices:,}")
    table.add_row("lines", f"{plan.lines:,}")
    for currency, cents in plan.totals.items():
        table.add_row(f"total in {currency}", format_cents(cents, currency))
    for step, count in plan.calls.items():
        if count or step != "retrieve":
            table.add_row(f"calls of {ENDPOINTS[step]}", f"{count:,}")
    table.add_row("reads before the first one", "1 for each 100 invoices and customers in Stripe")
    table.add_row("calls in all", f"{sum(plan.calls.values()):,}")
    seconds = f"{plan.floor_seconds(*pace):,} s"
    table.add_row(f"floor at {pace[0]} a second, {pace[1]} per endpoint", seconds)
    if plan.nothing_to_pay:
        table.add_row("invoices with nothing to pay, not sent", f"{plan.nothing_to_pay:,}")
    if plan.to_settle:
        table.add_row("of the invoices: read in Stripe first, calls not counted", f"{plan.to_settle:,}")
    return table


def approve(console: Terminal, month: BillingMonth, currency: str, cents: int, by: str) -> bool:
    """Write an approval down; return whether the month may be sent now."""
    with local_platform() as settings:
        database = BillingDatabase(settings.database_url)
        approve_total(database, month, currency, cents, by, datetime.now(UTC))
        console.print(f"{month}: {by} approved up to {format_cents(cents, currency)}.")
        verdicts = verdicts_of(database, month, settings.guard_percent)
    for one in verdicts:
        console.print(f"guard, {one.currency}: {'passes' if one.passes else 'stops it'}: {one.reason}")
    return all(one.passes for one in verdicts)
