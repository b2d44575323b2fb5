"""Shows what a sync would send, and approves a month's total: `fly-billing sync --dry-run` and `approve`."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.table import Table

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, styled
from fly_billing.errors import ActionableError
from fly_billing.money import format_cents
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import Settings
from fly_billing.stripe_sync.approvals import approve_totals, guard_results, plan_of_sync
from fly_billing.stripe_sync.rules.spending_guard import (
    GuardResult,
    SendPlan,
    describe_totals,
    read_approved_total,
)

# The endpoint of Stripe that each step calls.
ENDPOINTS = {
    "create_customer": "POST /v1/customers",
    "create": "POST /v1/invoices",
    "add_lines": "POST /v1/invoices/{id}/add_lines",
    "finalize": "POST /v1/invoices/{id}/finalize",
    "retrieve": "GET /v1/invoices/{id}",
}


def show_plan(console: Terminal, month: BillingMonth) -> bool:
    """Print what a sync of the month would send, without contacting Stripe.

    Returns:
        True if the spending guard lets the month sync and every invoice can be read.
    """
    with local_platform(stripe=True) as settings:  # for the rate limits of the sandbox or of Stripe
        database = BillingDatabase(settings.database_url)
        plan = plan_of_sync(database, month)
        results = guard_results(database, month, settings.guard_percent) if plan.invoices else []
        console.print(_table(month, plan, _rate_limits(settings)))
        for result in results:
            console.print(_sentence(result))
            for organization in result.contributors:
                console.print(f"  {describe_totals(organization)}")
        for problem in plan.unreadable:
            console.print(styled("can't be read", "red"), problem, soft_wrap=True)
    return all(result.passes for result in results) and not plan.unreadable


def _rate_limits(settings: Settings) -> tuple[int, int]:
    return settings.stripe_requests_per_second, settings.stripe_requests_per_endpoint


def _table(month: BillingMonth, plan: SendPlan, rate_limits: tuple[int, int]) -> Table:
    table = Table(title=f"{month}: planned sync (nothing was sent)", title_justify="left", show_header=False)
    table.add_column("Step")
    table.add_column("Number", justify="right")
    table.add_row("customers to create", f"{len(plan.customers):,}")
    table.add_row("invoices", f"{plan.invoices:,}")
    table.add_row("lines", f"{plan.lines:,}")
    for currency, cents in plan.totals.items():
        table.add_row(f"total in {currency}", format_cents(cents, currency))
    for step, count in plan.calls.items():
        if count or step != "retrieve":
            table.add_row(f"calls of {ENDPOINTS[step]}", f"{count:,}")
    table.add_row("reads before the first call", "1 per 100 invoices and customers in Stripe")
    table.add_row("calls in total", f"{sum(plan.calls.values()):,}")
    seconds = f"{plan.floor_seconds(*rate_limits):,} s"
    table.add_row(f"shortest time at {rate_limits[0]} calls a second, {rate_limits[1]} per endpoint", seconds)
    if plan.nothing_to_pay:
        table.add_row("invoices with nothing to pay, not sent", f"{plan.nothing_to_pay:,}")
    if plan.to_settle:
        table.add_row("of these invoices, to read in Stripe first (calls not counted)", f"{plan.to_settle:,}")
    return table


def approve(console: Terminal, month: BillingMonth, currency: str, total: str, by: str) -> bool:
    """Record the approval.

    Args:
        currency: The currency of `total` if it names none.
        total: As `read_approved_total` reads it.

    Returns:
        True if the spending guard lets the month sync now.

    Raises:
        ActionableError: `by` is empty, `total` is not an amount, or the month has no invoice in its currency.
    """
    if not by.strip():
        raise ActionableError("an approval needs a name: --by NAME")
    try:
        approved = read_approved_total(total, currency)
    except ValueError as problem:
        raise ActionableError(f"--total: {problem}") from problem
    with local_platform() as settings:
        database = BillingDatabase(settings.database_url)
        approve_totals(database, [month], approved, by, datetime.now(UTC))
        amounts = ", ".join(format_cents(cents, code) for code, cents in approved.items())
        console.print(f"{month}: {by} approved up to {amounts}.")
        results = guard_results(database, month, settings.guard_percent)
    for result in results:
        console.print(_sentence(result))
    return all(result.passes for result in results)


def _sentence(result: GuardResult) -> str:
    return f"spending guard ({result.currency}): {'passes' if result.passes else 'blocked'}: {result.reason}"
