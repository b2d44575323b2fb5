"""Commands that correct final invoices, or show what a correction would be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fly_billing.cli.commands.stripe import CREDIT_TO
from fly_billing.cli.parameters import (
    BegunMonth,
    Currency,
    ExactJson,
    JsonInCents,
    Month,
    OptionalMonth,
    Organization,
    console,
    exit_with,
    wide_console,
)
from fly_billing.foreign_text import visible

if TYPE_CHECKING:
    from fly_billing.corrections.rebill import Booking

PANEL = "Corrections"

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def rebill(
    organization: Organization,
    month: BegunMonth,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the difference and write nothing")] = False,
    credit_note: Annotated[bool, typer.Option("--credit-note", help="Issue the difference as a credit note")] = False,
    to: Annotated[
        str | None,
        typer.Option(help="With --credit-note: at Stripe, the paid part to balance, refund (to the card), out-of-band"),
    ] = None,
    reissue: Annotated[
        bool,
        typer.Option(
            "--reissue",
            help="Void the invoice (if it is not void yet) and issue a new revision. Only for invoices not in Stripe",
        ),
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the invoice as billed although its terms changed. Needs --why")
    ] = False,
    why: Annotated[str | None, typer.Option(help="The reason, recorded with the booking")] = None,
    approve: Annotated[
        str | None,
        typer.Option("--approve", metavar="AMOUNT", help="Approve the returned amount, if it needs an approval"),
    ] = None,
    as_json: ExactJson = False,
) -> None:
    """Recalculate a final invoice and book the difference, once, on the next open invoice."""
    from fly_billing.cli.rebill import RebillOrder
    from fly_billing.cli.rebill import rebill as run_rebill

    if credit_note + reissue + keep > 1:
        raise typer.BadParameter("--credit-note, --reissue and --keep exclude each other: choose one")
    if keep and not (why and why.strip()):
        raise typer.BadParameter("--keep needs a reason: --why REASON")
    booking = _booking(to, credit_note=credit_note, reissue=reissue, keep=keep)
    order = RebillOrder(organization, month, booking, CREDIT_TO[to] if to else None, why, approve, dry_run)
    exit_with(run_rebill(console, order, as_json=as_json))


def _booking(to: str | None, *, credit_note: bool, reissue: bool, keep: bool) -> Booking:
    from fly_billing.corrections.rebill import Booking

    if to is not None and to not in CREDIT_TO:
        raise typer.BadParameter(visible(f"--to {to}: choose from {', '.join(CREDIT_TO)}"))
    if to is not None and not credit_note:
        raise typer.BadParameter("--to is where a credit note at Stripe pays back: add --credit-note")
    at_stripe = credit_note and to is not None
    chosen = (
        (at_stripe, Booking.AT_STRIPE), (credit_note, Booking.CREDIT_NOTE), (reissue, Booking.REISSUE),
        (keep, Booking.KEEP),
    )  # fmt: skip
    return next((booking for is_chosen, booking in chosen if is_chosen), Booking.NEXT_INVOICE)


@app.command(rich_help_panel=PANEL)
def corrections(month: OptionalMonth = None, as_json: ExactJson = False) -> None:
    """List corrections that wait for approval, and closed months whose terms changed."""
    from fly_billing.cli.corrections import show_waiting

    show_waiting(wide_console(), month, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def approve_corrections(
    month: Month,
    total: Annotated[str, typer.Option(metavar="AMOUNT", help="The total that they return, such as 3369.03")],
    by: Annotated[str, typer.Option(help="Your name, recorded with the approval")],
    why: Annotated[str, typer.Option(help="The reason, recorded with the approval")],
    currency: Currency = "USD",
    organization: Annotated[str | None, typer.Option(metavar="ORG", help="Only this payer's correction")] = None,
) -> None:
    """Approve the corrections that are waiting now. The next run books them. Refuses any other total."""
    from fly_billing.cli.corrections import approve_waiting

    approve_waiting(console, month, currency.upper(), total, by, why, organization)


@app.command(rich_help_panel=PANEL)
def shadow(
    month: Month,
    price_book: Annotated[
        Path, typer.Option(help="Folder of the price book to compare with", exists=True, file_okay=False)
    ],
    instead_of: Annotated[str, typer.Option(help="The price book that it replaces")] = "fly",
    as_json: JsonInCents = False,
    top: Annotated[int, typer.Option(min=1, help="Number of organizations to show")] = 20,
) -> None:
    """Re-rate a billed month under another price book and compare. Writes nothing.

    Exits 1 if an organization could not be rated.
    """
    from fly_billing.cli.shadow import run_shadow

    exit_with(run_shadow(wide_console(), month, price_book, instead_of=instead_of, as_json=as_json, top=top))
