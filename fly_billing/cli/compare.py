"""Compares a month that Stripe billed with fly_billing's, and writes the report: `fly-billing compare`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, Text, busy, lines, styled
from fly_billing.cutover.comparing import ComparedMonth, Inputs, compare
from fly_billing.cutover.report.files import write_csv, write_page
from fly_billing.cutover.rules.comparison import ComparedOrganization, Comparison
from fly_billing.money import counted, format_cents
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.resources.clock import Clock
from fly_billing.resources.stripe_account import StripeAccount
from fly_billing.stripe_sync.reader import StripeReader

MOST_LISTED = 10


@dataclass(frozen=True)
class ReportFiles:
    """The files that a comparison is written to, and its form in the terminal.

    Attributes:
        top: The number of organizations that the terminal shows.
    """

    page: Path | None = None
    csv: Path | None = None
    overwrite: bool = False
    as_json: bool = False
    top: int = MOST_LISTED


def run_comparison(console: Terminal, month: BillingMonth, inputs: Inputs, files: ReportFiles) -> bool:
    """Compare the month, print the result and write the files. Returns True if both sides charge the same."""
    compared = _compared(month, inputs)
    if files.as_json:
        print(json.dumps(_as_data(compared), indent=2))
    else:
        _print(console, compared.comparison, files.top)
    for path, write in ((files.page, write_page), (files.csv, write_csv)):
        if path:
            write(compared, path, overwrite=files.overwrite)
            Terminal(stderr=True).print(f"Written to {path}", soft_wrap=True)
    return compared.comparison.is_equal


def _compared(month: BillingMonth, inputs: Inputs) -> ComparedMonth:
    is_from_stripe = not inputs.exports
    with local_platform(stripe=is_from_stripe) as settings, busy(Terminal(stderr=True), f"Comparing {month}") as show:
        database = BillingDatabase(settings.database_url)
        return compare(
            database,
            month,
            inputs,
            datetime.now(UTC),
            stripe=_stripe(database) if is_from_stripe else None,
            progress=lambda read: show(f"Comparing {month}: {counted(read, 'invoice')} of Stripe read"),
        )


def _stripe(database: BillingDatabase) -> StripeReader:
    return StripeAccount().sync_tools(database, Clock(), "fly-billing compare").reader()


def _as_data(compared: ComparedMonth) -> dict[str, object]:
    return {
        **compared.comparison.as_data(),
        "compared_at": compared.compared_at.isoformat(),
        "created_from": str(compared.issued.first),
        "created_before": str(compared.issued.end),
        "created_on_other_days": compared.other_dates,
        "sources": [vars(source) for source in compared.sources],
    }


def _print(console: Terminal, comparison: Comparison, top: int) -> None:
    for total in comparison.sums():
        console.print(
            f"{total.currency}: {total.agreeing:,} of {counted(total.organizations, 'organization')} agree;"
            f" {format_cents(total.stripe_cents, total.currency)} in Stripe,"
            f" {format_cents(total.our_cents, total.currency)} here"
        )
    if comparison.differing:
        console.print(_differences(comparison, top))
    for left in comparison.unmatched[:MOST_LISTED]:
        console.print(styled("not compared", "red"), f"{left.invoice} of {left.customer}, {left.amount}: {left.reason}")
    if comparison.unmatched:
        many = counted(len(comparison.unmatched), "invoice")
        console.print(f"{many} in Stripe without an organization: name their customers with --customers FILE.")
    for entry in comparison.unreadable[:MOST_LISTED]:
        console.print(styled("not read", "red"), f"{entry.place}: {entry.reason}")
    if len(comparison.unreadable) > MOST_LISTED:
        console.print(f"{len(comparison.unreadable) - MOST_LISTED:,} more can't be read.")
    if comparison.left_out:
        console.print(
            f"Left out: {counted(len(comparison.left_out), 'invoice')} (draft, void, or sent by fly_billing)."
        )
    console.print(styled("Both sides charge the same.", "green") if comparison.is_equal else "They differ.")


def _differences(comparison: Comparison, top: int) -> Table:
    differing = comparison.differing
    table = Table(title=f"{comparison.month}: largest differences", title_justify="left")
    for name in ("Organization", "In Stripe", "Here", "Difference", "Causes"):
        table.add_column(name, justify="left" if name in ("Organization", "Causes") else "right", overflow="fold")
    for each in differing[:top]:
        amounts = (each.stripe_cents, each.our_cents, each.difference_cents)
        table.add_row(each.organization_id, *(_amount(cents, each.currency) for cents in amounts), _causes(each))
    if len(differing) > top:
        table.caption = f"{len(differing) - top:,} more: see --report, --csv or --json"
    return table


def _amount(cents: int | None, currency: str) -> str:
    return "no invoice" if cents is None else format_cents(cents, currency)


def _causes(each: ComparedOrganization) -> Text:
    return lines(*(cause.text for cause in each.causes), *(styled(note, "dim") for note in each.notes))
