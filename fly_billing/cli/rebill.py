"""Shows the difference of a final invoice, or books it: `fly-billing rebill`."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from rich.table import Table
from sqlalchemy import Connection

from fly_billing.cli.credit_notes import credit_outcome, credit_tools
from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, lines
from fly_billing.corrections.approvals import guard_of
from fly_billing.corrections.correction import Actor, Correction, Corrections
from fly_billing.corrections.rebill import Booking, Rebill, Rebilling, RebillReport
from fly_billing.corrections.rebill import rebill as rebill_invoice
from fly_billing.corrections.reissue import Reissued
from fly_billing.corrections.rules.gross_amounts import gives_credit_back
from fly_billing.corrections.rules.guard import Hold, total_to_approve
from fly_billing.errors import ActionableError
from fly_billing.invoicing.month_closing import Terms
from fly_billing.money import counted, exact_sum, format_cents, plain, to_cents
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import Settings
from fly_billing.stripe_sync.credit_notes import (
    CreditPlan,
    plan_credit,
    request_correction,
    send_credit,
    send_unfinished_of,
)
from fly_billing.stripe_sync.invoice_sync import SyncTools
from fly_billing.stripe_sync.rules.credit_requests import ISSUED, TO_BALANCE, WAITING, CreditRequest
from fly_billing.usage.usage_table import UsageTable


@dataclass(frozen=True)
class RebillOrder:
    """The rebilling that the command was asked for.

    Attributes:
        pays_back: With Booking.AT_STRIPE: where the paid part goes.
        approved: The returned amount that the user approves, if it needs an approval.
    """

    organization: str
    month: BillingMonth
    booking: Booking
    pays_back: str | None = None
    why: str | None = None
    approved: str | None = None
    is_dry_run: bool = False

    @property
    def request(self) -> Rebill:
        return Rebill(self.organization, self.month, self.booking, self.approved, self.is_dry_run)

    @property
    def actor(self) -> Actor:
        return Actor(getpass.getuser(), datetime.now(UTC), self.why)


def rebill(console: Terminal, order: RebillOrder, *, as_json: bool) -> bool:
    """Recalculate the final invoice, print the differences and book them, unless it is a dry run.

    Returns:
        False if the difference is booked as a credit note that Stripe does not have yet.

    Raises:
        ActionableError: The invoice can't be rebilled (see `corrections.rebill`).
    """
    if order.booking == Booking.AT_STRIPE:
        with credit_tools("rebill") as (tools, limit_cents):
            report, credits = _at_stripe(order, tools, limit_cents)
    else:
        with local_platform() as settings:
            report, credits = rebill_invoice(_rebilling(settings), order.request, order.actor), []
    _show(console, order, report, credits, as_json=as_json)
    return all(credit.state in (ISSUED, WAITING) for credit in credits)


def _rebilling(settings: Settings) -> Rebilling:
    return Rebilling(
        BillingDatabase(settings.database_url),
        UsageTable.from_settings(settings),
        Terms(settings.grace, settings.due_days, seller=settings.seller),
        guard_of(settings),
    )


def _at_stripe(
    order: RebillOrder, tools: SyncTools, limit_cents: Callable[[str], int]
) -> tuple[RebillReport, list[CreditRequest]]:
    """Book the difference with a request for a credit note at Stripe, and send it.

    The invoice is read at Stripe first, so that nothing is booked that can't be credited. If the command is killed
    after booking, the same command, or the poll of events, sends the request that was booked.
    """
    rebilling = _rebilling(Settings.from_environment())
    found = rebill_invoice(rebilling, replace(order.request, is_dry_run=True), order.actor)
    correction = found.correction
    assert correction is not None, "only a reissued invoice has none"
    if not correction.differences:
        return found, [] if order.is_dry_run else send_unfinished_of(tools, correction.invoice_id)
    plan = plan_correction(tools, order, correction, limit_cents)
    if order.is_dry_run:
        return found, []

    def ask(connection: Connection, booked: Correction) -> UUID:
        if correction_cents(booked) != plan.credit.amount_cents or booked.taxes != correction.taxes:
            raise ActionableError("the month's usage or terms changed at this moment: give the same command again")
        return request_correction(connection, plan, tools.clock())

    report = rebill_invoice(rebilling, order.request, order.actor, ask)
    return report, [send_credit(tools, plan.credit.id)]


def plan_correction(
    tools: SyncTools, order: RebillOrder, correction: Correction, limit_cents: Callable[[str], int]
) -> CreditPlan:
    """Plan the credit note of a correction, its taxes included. Raises ActionableError if it can't be one at Stripe."""
    cents = correction_cents(correction)
    return plan_credit(
        tools, correction.payer.organization_id, order.month, lambda currency, asked: cents,
        order.pays_back or TO_BALANCE, why=order.why or f"Correction of {order.month}", made_by=getpass.getuser(),
        limit_cents=limit_cents, corrected=correction.taxes,
    )  # fmt: skip


def correction_cents(correction: Correction) -> int:
    """Return the amount of a correction's credit note at Stripe, taxes included.

    Raises ActionableError if it is a charge, or if credit that paid the invoice gets a part of it back.
    """
    name = f"{correction.payer.organization_id} {correction.month}"
    if gives_credit_back(correction.differences):
        raise ActionableError(
            f"{name}: credit paid a part of this invoice and gets it back, so not all of it is money. Leave out --to;"
            " the credit note then stays here, and the next invoice uses it"
        )
    if correction.gross_cents <= 0:
        raise ActionableError(
            f"{name}: the correction is a charge, and a credit note can't charge. Leave out --credit-note; the next"
            " open invoice then charges the difference"
        )
    return correction.gross_cents


def _show(
    console: Terminal, order: RebillOrder, report: RebillReport, credits: Sequence[CreditRequest], *, as_json: bool
) -> None:
    if report.reissued:
        _show_reissued(console, report.payer_id, order.month, report.reissued)
    elif report.correction and as_json:
        print(json.dumps(as_data(report.correction), indent=2))
        return
    elif report.correction:
        _show_correction(console, report.correction, order.request, report.holds)
    for credit in credits:
        console.print(f"Credit note of {credit.amount}: {credit_outcome(credit)}", soft_wrap=True)
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
    console.print(_outcome(correction, request, total), soft_wrap=True)
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
    if request.is_dry_run and request.booking == Booking.AT_STRIPE:
        gross = format_cents(correction.gross_cents, correction.payer.currency)
        return f"Nothing was written or sent (--dry-run). It would be a credit note at Stripe of {gross}, with taxes."
    if request.is_dry_run:
        return "Nothing was written (--dry-run). Without it, this difference goes on the next open invoice."
    if request.booking == Booking.KEEP:
        return "Kept as billed. Nothing was booked. The invoice waits for a decision again only if other terms change."
    if request.booking == Booking.AT_STRIPE:
        return "Booked as a credit note at Stripe, taxes included."
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
