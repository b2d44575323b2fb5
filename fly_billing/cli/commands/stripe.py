"""Commands that sync invoices to Stripe, compare both sides, and fix differences."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from fly_billing.cli.parameters import (
    BegunMonth,
    CsvFile,
    Currency,
    JsonInCents,
    Month,
    Organization,
    Overwrite,
    ResultJson,
    console,
    exit_with,
    parse_day,
    wide_console,
)
from fly_billing.cli.ports import LARGEST_PORT
from fly_billing.foreign_text import visible

PANEL = "Stripe"

app = typer.Typer()
AllLines = Annotated[bool, typer.Option("--lines", help="Also read and compare the lines of long invoices")]
CreatedFrom = Annotated[
    date | None,
    typer.Option(metavar="YYYY-MM-DD", help="First day on which Stripe created invoices", parser=parse_day),
]
CreatedBefore = Annotated[
    date | None, typer.Option(metavar="YYYY-MM-DD", help="The day after the last one", parser=parse_day)
]


@app.command(rich_help_panel=PANEL)
def sync(
    month: BegunMonth,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing")] = False,
    as_json: ResultJson = False,
) -> None:
    """Sync a month's final invoices to Stripe, then compare both sides."""
    from fly_billing.cli.approvals import show_plan
    from fly_billing.cli.month_runs import sync_month

    if dry_run and as_json:
        raise typer.BadParameter("--json prints what was sent: leave it out with --dry-run, which sends nothing")
    exit_with(show_plan(console, month) if dry_run else sync_month(console, month, as_json=as_json))


@app.command(rich_help_panel=PANEL)
def approve(
    month: BegunMonth,
    by: Annotated[str, typer.Option(help="Your name, recorded with the approval")],
    total: Annotated[
        str, typer.Option(metavar="AMOUNT", help="The largest total to allow: 5850.00, or USD=5850.00, JPY=585000")
    ],
    currency: Currency = "USD",
) -> None:
    """Approve a month's total so that the spending guard lets it sync."""
    from fly_billing.cli.approvals import approve as run_approve

    exit_with(run_approve(console, month, currency.upper(), total, by))


@app.command(rich_help_panel=PANEL)
def reconcile(
    month: Month,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the lines that differ")] = False,
    lines: AllLines = False,
    record: Annotated[
        bool, typer.Option("--record", help="Also run it in Dagster, where the result and its check stay")
    ] = False,
) -> None:
    """Compare a month's invoices in Stripe with ours. Exits 1 if they differ."""
    from fly_billing.cli.month_runs import reconcile_month
    from fly_billing.cli.reconcile import show_reconciliation
    from fly_billing.cli.run_results import progress_terminal

    recorded = not record or reconcile_month(progress_terminal(console, as_json=as_json), month)
    exit_with(show_reconciliation(wide_console(), month, as_json=as_json, all_lines=lines) and recorded)


@app.command(rich_help_panel=PANEL)
def repair(
    month: Month,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and change nothing")] = False,
    yes_to: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="Don't ask for this kind: missing, duplicate, differing or edited"),
    ] = None,
    lines: AllLines = False,
) -> None:
    """Fix differences between Stripe and our invoices. Exits 1 if any remain.

    Safe fixes run at once, others ask first.
    """
    from fly_billing.cli.reconcile import repair as run_repair

    exit_with(run_repair(wide_console(), month, dry_run=dry_run, yes_to=_kinds(yes_to or []), all_lines=lines))


def _kinds(names: list[str]) -> set[str]:
    from fly_billing.stripe_sync.rules.reconciliation import KINDS

    unknown = sorted(set(names) - set(KINDS))
    if unknown:
        raise typer.BadParameter(visible(f"no such kind: {', '.join(unknown)}; choose from {', '.join(KINDS)}"))
    return set(names)


@app.command(rich_help_panel=PANEL)
def compare(
    month: BegunMonth,
    exports: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Exported invoices: JSON or CSV. None: read Stripe")
    ] = None,
    customers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV with the columns customer,organization")
    ] = None,
    products: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV with the columns stripe,product, to compare lines")
    ] = None,
    created_from: CreatedFrom = None,
    created_before: CreatedBefore = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write an HTML report to sign")] = None,
    csv: CsvFile = None,
    overwrite: Overwrite = False,
    as_json: JsonInCents = False,
    top: Annotated[int, typer.Option(min=1, help="Show this many of the largest differences")] = 10,
) -> None:
    """Compare a month that Stripe billed without fly_billing with what fly_billing bills. Exits 1 if they differ.

    By default, Stripe's invoices that were created in the following month bill the month.
    """
    from fly_billing.cli.compare import ReportFiles, run_comparison
    from fly_billing.cutover.comparing import Inputs, Issued

    issued = Issued.after(month).with_days(created_from, created_before)
    if issued.first >= issued.end:
        raise typer.BadParameter(visible(f"no day is from {issued.first} and before {issued.end}"))
    inputs = Inputs(issued, exports or (), customers, products)
    exit_with(run_comparison(wide_console(), month, inputs, ReportFiles(report, csv, overwrite, as_json, top)))


Why = Annotated[str, typer.Option("--why", help="The reason. Stripe shows it to the customer")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what it would do, and write and send nothing")]
CREDIT_TO = {"balance": "balance", "refund": "refund", "out-of-band": "out_of_band"}


@app.command("credit-note", rich_help_panel=PANEL)
def credit_note(
    organization: Organization,
    month: Month,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Taxes included: 12.00")],
    why: Why,
    to: Annotated[
        str, typer.Option("--to", help="Where the part goes that was paid: balance, refund (to the card), out-of-band")
    ] = "balance",
    dry_run: DryRun = False,
    as_json: ResultJson = False,
) -> None:
    """Credit a part of an invoice at Stripe, once: an open invoice asks for less, a paid one pays back."""
    from fly_billing.cli.credit_notes import CreditOrder, credit_invoice

    if to not in CREDIT_TO:
        raise typer.BadParameter(visible(f"--to {to}: choose from {', '.join(CREDIT_TO)}"))
    order = CreditOrder(organization, month, amount, CREDIT_TO[to], why)
    exit_with(credit_invoice(console, order, is_dry_run=dry_run, as_json=as_json))


@app.command(rich_help_panel=PANEL)
def refund(
    organization: Organization,
    month: Month,
    why: Why,
    amount: Annotated[
        str | None, typer.Argument(metavar="[AMOUNT]", help="Taxes included: 12.00. All that was paid, if left out")
    ] = None,
    dry_run: DryRun = False,
    as_json: ResultJson = False,
) -> None:
    """Pay an invoice back to the customer's card, in full or in part, once, with a credit note at Stripe."""
    from fly_billing.cli.credit_notes import CreditOrder, credit_invoice

    order = CreditOrder(organization, month, amount, CREDIT_TO["refund"], why)
    exit_with(credit_invoice(console, order, is_dry_run=dry_run, as_json=as_json))


@app.command("approve-credit", rich_help_panel=PANEL)
def approve_credit(
    id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The credit note. Left out: list those that wait")
    ] = None,
    by: Annotated[str, typer.Option(help="Your name, recorded with the approval")] = "",
) -> None:
    """Approve a credit note or refund above FLY_BILLING_CREDIT_APPROVAL_ABOVE, and send it."""
    from fly_billing.cli.credit_notes import approve as run_approve

    exit_with(run_approve(console, id, by))


CreditId = Annotated[str, typer.Argument(metavar="ID", help="The credit note, as `fly-billing status` names it")]


@app.command("send-credit", rich_help_panel=PANEL)
def send_credit(id: CreditId) -> None:
    """Send a credit note again that was refused or did not reach Stripe. Nothing is credited twice."""
    from fly_billing.cli.credit_notes import send_again

    exit_with(send_again(console, id))


@app.command("withdraw-credit", rich_help_panel=PANEL)
def withdraw_credit(
    id: CreditId,
    by: Annotated[str, typer.Option(help="Your name, recorded with it")],
    why: Annotated[str, typer.Option("--why", help="Why it is not to be made")],
) -> None:
    """Withdraw a credit note that waits for an approval or was refused. A correction's becomes credit here."""
    from fly_billing.cli.credit_notes import withdraw

    withdraw(console, id, by, why)


@app.command(rich_help_panel=PANEL)
def webhooks(
    port: Annotated[int, typer.Option(min=1, max=LARGEST_PORT, help="Port to listen on")] = 8421,
    host: Annotated[str, typer.Option(help="Address to listen on. Put TLS in front of a public one")] = "127.0.0.1",
) -> None:
    """Receive Stripe webhooks (paid, failed, voided, uncollectible) until Ctrl-C. Needs STRIPE_WEBHOOK_SECRET."""
    from fly_billing.cli.local_platform import local_platform
    from fly_billing.cli.ports import refuse_unusable_port
    from fly_billing.stripe_sync.webhooks import serve

    refuse_unusable_port(host, port)
    with local_platform() as settings:
        serve(settings, host, port, lambda line: console.print(line, soft_wrap=True))
