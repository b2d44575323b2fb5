"""Lists and removes open invoices of months that can't be billed: `fly-billing invalid-invoices`."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.table import Table

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, confirm
from fly_billing.invoicing.invalid_invoices import InvalidInvoice, list_invalid_invoices, remove_invalid_invoices
from fly_billing.money import counted
from fly_billing.periods import FIRST_MONTH, BillingMonth
from fly_billing.postgres.database import BillingDatabase


def remove_invalid(console: Terminal, *, yes: bool) -> bool:
    """Print the invoices, and remove them if `yes` or the person at the terminal confirms it.

    Returns:
        True if none is left.
    """
    now = datetime.now(UTC)
    with local_platform() as settings:
        database = BillingDatabase(settings.database_url)
        invoices = list_invalid_invoices(database, now)
        if not invoices:
            console.print(
                f"No open invoice is of a month before {FIRST_MONTH} or after {BillingMonth.containing(now)}."
            )
            return True
        console.print(_table(invoices))
        number = counted(len(invoices), "open invoice")
        if not yes and not (sys.stdin.isatty() and confirm(console, f"Remove {number}?")):
            console.print("Nothing was removed. `fly-billing invalid-invoices --yes` removes them.")
            return False
        removed = remove_invalid_invoices(database, invoices, getpass.getuser(), now)
    console.print(
        f"{counted(len(removed), 'open invoice')} removed. One-off items and adjustments on them go on the next"
        f" invoice: run `fly-billing bill {BillingMonth.containing(now)}`.",
        soft_wrap=True,
    )
    return len(removed) == len(invoices)


def _table(invoices: Sequence[InvalidInvoice]) -> Table:
    table = Table(title="Open invoices of months that can't be billed", title_justify="left")
    for name in ("Month", "Organization", "Total", "Computed"):
        table.add_column(name, justify="right" if name == "Total" else "left")
    for invoice in invoices:
        computed = f"{invoice.computed_at.astimezone(UTC):%Y-%m-%d %H:%M}"
        table.add_row(str(invoice.billing_month), invoice.organization_id, invoice.total, computed)
    return table
