"""Shows the difference of a final invoice, or books it: `fly-billing rebill`."""

from __future__ import annotations

import getpass
import json
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.table import Table

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, lines
from fly_billing.corrections.approvals import guard_of
from fly_billing.corrections.correction import Actor, Correction, Corrections
from fly_billing.corrections.rebill import Booking, Rebill, Rebilling
from fly_billing.corrections.rebill import rebill as rebill_invoice
from fly_billing.corrections.reissue import Reissued
from fly_billing.corrections.rules.guard import Hold, total_to_approve
from fly_billing.invoicing.bill_run import Terms
from fly_billing.money import counted, exact_sum, format_cents, plain, to_cents
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.usage_table import UsageTable


def rebill(
    console: Terminal,
    organization: str,
    month: BillingMonth,
    booking: Booking,
    *,
    why: str | None,
    approved: str | None,
    is_dry_run: bool,
    as_json: bool,
) -> None:
    """Recalculate the final invoice, print the differences and book them, unless it is a dry run.

    Args:
        approved: The returned amount that the user approves, if it needs an approval.

    Raises:
        ActionableError: The invoice can't be rebilled (see `corrections.rebill`).
    """
    request = Rebill(organization, month, booking, approved, is_dry_run)
    with local_platform() as settings:
        rebilling = Rebilling(
            BillingDatabase(settings.database_url),
            UsageTable.from_settings(settings),
            Terms(settings.grace, settings.due_days),
            guard_of(settings),
        )
        report = rebill_invoice(rebilling, request, Actor(getpass.getuser(), datetime.now(UTC), why))
    if report.reissued:
        _show_reissued(console, report.payer_id, month, report.reissued)
    elif report.correction and as_json:
        print(json.dumps(as_data(report.correction), indent=2))
        return
    elif report.correction:
        _show_correction(console, report.correction, request, report.holds)
    _show_later(console, report.later)


def _show_reissued(console: Terminal, payer: str, month: BillingMonth, reissued: Reissued) -> None:
    for invoice in reissued.billed.invoices:
        if invoice.organization_id == payer:
            total = format_cents(invoice.total_cents, invoice.currency)
            console.print(f"{payer} {month}: the invoice is void. Revision {invoice.revision} totals {total}.")
    if reissued.draft_left:
        console.print(f"Stripe still has its draft {reissued.draft_left}: `fly-billing repair {month}` removes it.")


def _show_correction(console: Terminal, correction: Correction, request: Rebill, holds: Sequence[Hold]) -> None:
    name, month, currency = correction.payer.organization_id, correction.month, correction.payer.currency
    if not correction.differences:
        console.print(f"{name} {month}: no difference. The invoice is right.")
        return
    table = Table(title=f"{name}, {month}", title_justify="left", title_style="bold", show_footer=True)
    table.add_column("Item", footer="Difference")
    for heading in ("Billed", "Adjusted before", "Would be now"):
        table.add_column(heading, justify="right")
    total = to_cents(correction.amount, currency)
    table.add_column("Difference", justify="right", footer=format_cents(total, currency))
    table.add_column("Why")
    for difference in correction.differences:
        amounts = (difference.billed, difference.adjusted, difference.owed, difference.amount)
        texts = [format_cents(to_cents(amount, currency), currency) for amount in amounts]
        before, now = difference.detail["billed_quantity"], difference.detail["quantity"]
        change = [f"{before} -> {now} {difference.charge.unit}"] if before != now else []
        table.add_row(lines(difference.charge.description, *change), *texts, ", ".join(difference.causes))
    console.print(table)
    console.print(_outcome(correction, request, total))
    if holds and request.is_dry_run:
        amount = f"{total_to_approve([hold.proposal.gives_back for hold in holds], currency):f}"
        console.print(f"Booking it needs --approve {amount}: {holds[0].reason}.", soft_wrap=True)


def _show_later(console: Terminal, later: Corrections) -> None:
    """Print the differences of later months, whose minimums count this month too."""
    for correction in later.booked:
        if correction.differences:
            currency = correction.payer.currency
            difference = format_cents(to_cents(correction.amount, currency), currency)
            console.print(
                f"A minimum of {correction.month} counts this month too: {difference} is on the next open invoice as"
                " well."
            )


def _outcome(correction: Correction, request: Rebill, total: int) -> str:
    if request.is_dry_run:
        return "Nothing was written (--dry-run). Without it, this difference goes on the next open invoice."
    if request.booking == Booking.KEEP:
        return "Kept as billed. Nothing was booked. The invoice waits for a decision again only if other terms change."
    if request.booking == Booking.CREDIT_NOTE:
        credit = format_cents(-total, correction.payer.currency)
        return f"Booked a credit note of {credit}. The next invoices use it."
    adjustments = counted(len(correction.differences), "adjustment")
    return f"Booked {adjustments}, which the next open invoice includes."


def as_data(correction: Correction) -> dict[str, object]:
    """Return the differences as JSON-ready data. Amounts and quantities are exact text."""
    return {
        "organization_id": correction.payer.organization_id,
        "month": str(correction.month),
        "invoice_id": str(correction.invoice_id),
        "currency": correction.payer.currency,
        "difference": plain(exact_sum([difference.amount for difference in correction.differences])),
        "items": [
            {
                "key": difference.charge.key,
                "product": difference.charge.product,
                "description": difference.charge.description,
                "billed": plain(difference.billed),
                "adjusted": plain(difference.adjusted),
                "owed": plain(difference.owed),
                "difference": plain(difference.amount),
                "causes": list(difference.causes),
                **difference.detail,
            }
            for difference in correction.differences
        ],
    }
