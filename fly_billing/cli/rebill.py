"""`fly-billing rebill`: what a final invoice would be now, item by item and why; and booking the difference once."""

from __future__ import annotations

import getpass
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from rich.table import Table

from fly_billing.cli.corrections import read_total
from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, lines
from fly_billing.corrections.adjustments import book_adjustments
from fly_billing.corrections.approvals import (
    approve_manual_correction,
    check_manual_correction,
    demand_approval,
    guard_of,
    record_reissue_approval,
)
from fly_billing.corrections.changed_terms import keep_as_billed
from fly_billing.corrections.correction import Actor, Correction, Corrections
from fly_billing.corrections.correction_run import correct_later_months, lock_for_correcting
from fly_billing.corrections.credit_notes import book_credit_note
from fly_billing.corrections.held_corrections import GuardedCorrections
from fly_billing.corrections.recalculation import find_corrections
from fly_billing.corrections.reissue import reissue
from fly_billing.corrections.rules.guard import Hold, total_to_approve
from fly_billing.errors import ActionableError
from fly_billing.invoicing.bill_run import Terms
from fly_billing.money import exact_sum, format_cents, plain, to_cents
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, Row, rows
from fly_billing.postgres.organizations import organization_name
from fly_billing.settings import Settings
from fly_billing.usage.rollups import roll_up
from fly_billing.usage.usage_table import UsageTable


@dataclass(frozen=True)
class RebillOptions:
    """What was asked for: only to show it, as a credit note, to void the invoice and make it anew, or to leave it."""

    is_dry_run: bool = False
    as_credit_note: bool = False
    as_new_invoice: bool = False
    as_json: bool = False
    why: str | None = None
    approved: str | None = None
    as_it_was: bool = False

    @property
    def total(self) -> Decimal | None:
        """What the person says is given back, where it is so much that they have to. Raises ActionableError."""
        return None if self.approved is None else read_total(self.approved)


def rebill(console: Terminal, organization: str, month: BillingMonth, wish: RebillOptions) -> None:
    """Show the differences, and book them as wished. Raises ActionableError where that can't be done.

    Usage is rolled up again first: that changes no invoice that is final.
    """
    with local_platform(stripe=False) as settings:
        database, usage_table = BillingDatabase(settings.database_url), UsageTable.from_settings(settings)
        payer = _payer(database, organization, month)
        who = Actor(getpass.getuser(), datetime.now(UTC), wish.why)
        total, guard = wish.total, guard_of(settings)
        guarded: GuardedCorrections | None = None
        later = Corrections([])
        roll_up(database, usage_table, month, payer["groups"], who.at)
        with database.transaction() as connection:
            groups = [payer["billing_group"]]
            lock_for_correcting(connection, month, groups)
            found = find_corrections(connection, month, groups, usage_table, only={payer["payer_id"]})
            if wish.as_new_invoice and not wish.is_dry_run:
                for one in found.found:  # none where the invoice is void already
                    guarded = check_manual_correction(connection, one, guard)
                    demand_approval(one, guarded, total)
            elif found.failures:
                raise ActionableError(found.failures[0][1].operator_text)
            elif not found.found:
                raise ActionableError(
                    f"{payer['payer_id']} has no final invoice of ours in {month} that is owed: there is nothing to"
                    " correct; one that is void is made anew by --reissue"
                )
            else:
                (correction,) = found.found
                guarded = check_manual_correction(connection, correction, guard)
                if wish.as_it_was:
                    if not wish.is_dry_run:
                        keep_as_billed(connection, correction, who)
                elif not wish.is_dry_run and correction.differences:
                    approve_manual_correction(connection, correction, guarded, who, total)
                    if wish.as_credit_note:
                        book_credit_note(connection, correction, who)
                    else:
                        book_adjustments(connection, [correction], who)
                if not wish.is_dry_run:
                    later = correct_later_months(
                        connection, month, groups, usage_table, who, payer["payer_id"], guard=guard
                    )
        if wish.as_new_invoice and not wish.is_dry_run:
            _make_anew(console, settings, database, payer["payer_id"], month, who)
            if guarded and guarded.holds and total is not None:
                record_reissue_approval(database, found.found[0], who, total)
            with database.transaction() as connection:
                lock_for_correcting(connection, month, groups)
                later = correct_later_months(
                    connection, month, groups, usage_table, who, payer["payer_id"], guard=guard
                )
            _show_later(console, later)
            return
    _show(console, correction, wish, guarded.holds if guarded else [])
    if not wish.as_json:
        _show_later(console, later)


def _payer(database: BillingDatabase, organization: str, month: BillingMonth) -> Row:
    with database.transaction() as connection:
        organization_name(connection, organization)
        (payer,) = rows(connection, "payer_of", organization_id=organization, month=month.first_day)
    return payer


def _make_anew(
    console: Terminal, settings: Settings, database: BillingDatabase, payer: str, month: BillingMonth, who: Actor
) -> None:
    terms = Terms(settings.grace, settings.due_days)
    done = reissue(database, payer, month, terms, who.at, who.name, who.why)
    if done.billed.failures:
        raise ActionableError(f"voided, but not made anew yet: {done.billed.failures[0].error.operator_text}")
    for invoice in done.billed.invoices:
        if invoice.organization_id == payer:
            total = format_cents(invoice.total_cents, invoice.currency)
            console.print(f"{payer} {month}: the invoice is void; revision {invoice.revision} comes to {total}.")
    if done.draft_left:
        console.print(f"Stripe still has its draft {done.draft_left}: `fly-billing repair {month}` removes it.")


def _show(console: Terminal, correction: Correction, wish: RebillOptions, held: Sequence[Hold]) -> None:
    if wish.as_json:
        print(json.dumps(as_data(correction), indent=2))
        return
    name, month, currency = correction.payer.organization_id, correction.month, correction.payer.currency
    if not correction.differences:
        console.print(f"{name} {month}: nothing is different. All that is owed was billed.")
        return
    table = Table(title=f"{name}, {month}", title_justify="left", title_style="bold", show_footer=True)
    table.add_column("Item", footer="Difference")
    for heading in ("Billed", "Adjusted before", "Would be now"):
        table.add_column(heading, justify="right")
    total = to_cents(correction.amount, currency)
    table.add_column("Difference", justify="right", footer=format_cents(total, currency))
    table.add_column("Why")
    for one in correction.differences:
        numbers = [format_cents(to_cents(value, currency), currency) for value in (one.billed, one.adjusted, one.owed)]
        difference = format_cents(to_cents(one.amount, currency), currency)
        changed = one.detail["billed_quantity"] != one.detail["quantity"]
        was = [f"{one.detail['billed_quantity']} -> {one.detail['quantity']} {one.charge.unit}"] if changed else []
        table.add_row(lines(one.charge.description, *was), *numbers, difference, ", ".join(one.causes))
    console.print(table)
    console.print(_what_happens(correction, wish, total))
    if held and wish.is_dry_run:
        amount = plain(total_to_approve([one.proposal.gives_back for one in held], currency))
        console.print(f"It asks for --approve {amount}: {held[0].reason}.", soft_wrap=True)


def _show_later(console: Terminal, later: Corrections) -> None:
    """Say what was booked of later months, whose minimums count this one too."""
    for one in later.booked:
        if one.differences:
            difference = format_cents(to_cents(one.amount, one.payer.currency), one.payer.currency)
            console.print(f"{one.month} counts this month too: {difference} is on the next open invoice as well.")


def _what_happens(correction: Correction, wish: RebillOptions, total: int) -> str:
    if wish.is_dry_run:
        return "Nothing was written (--dry-run). Without it, this is on the next open invoice."
    if wish.as_it_was:
        return "Left as it was billed: nothing was booked, and only another change of terms is asked about."
    if wish.as_credit_note:
        return (
            f"Booked: a credit note of {format_cents(-total, correction.payer.currency)}, drawn by the next invoices."
        )
    return f"Booked: {len(correction.differences)} adjustments, on the next open invoice."


def as_data(correction: Correction) -> dict[str, object]:
    """Return the differences as JSON-ready data; amounts and quantities are exact text."""
    return {
        "organization_id": correction.payer.organization_id,
        "month": str(correction.month),
        "invoice_id": str(correction.invoice_id),
        "currency": correction.payer.currency,
        "difference": plain(exact_sum([one.amount for one in correction.differences])),
        "items": [
            {
                "key": one.charge.key,
                "product": one.charge.product,
                "description": one.charge.description,
                "billed": plain(one.billed),
                "adjusted": plain(one.adjusted),
                "owed": plain(one.owed),
                "difference": plain(one.amount),
                "causes": list(one.causes),
                **one.detail,
            }
            for one in correction.differences
        ],
    }
