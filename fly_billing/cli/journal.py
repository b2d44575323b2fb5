"""Shows and exports the journal, and closes accounting months: `fly-billing finance journal` and `close-period`."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from pathlib import Path

from fly_billing.accounting.periods import close_period
from fly_billing.accounting.recognition import defer_revenue
from fly_billing.accounting.rules.journal import AccountsNotMapped, read_accounts
from fly_billing.cli.finance import Output, show_table
from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal
from fly_billing.errors import ActionableError
from fly_billing.finance.journal_table import journal, recognized_revenue
from fly_billing.periods import FIRST_MONTH, BillingMonth, moment_text
from fly_billing.postgres.database import BillingDatabase


def show_journal(console: Terminal, month: BillingMonth, accounts: Path | None, output: Output) -> None:
    """Show the balanced journal of an accounting month.

    Raises:
        AccountsNotMapped: The mapping can't be read, or lacks accounts.
        ActionableError: The revenue of an invoice can't be read, so the journal would be incomplete.
    """
    mapping = read_accounts(_text(accounts)) if accounts else None
    with local_platform() as settings:
        if failed := defer_revenue(BillingDatabase(settings.database_url)).failed:
            raise ActionableError(f"the revenue of these invoices can't be read: {'; '.join(map(str, failed))}")
    show_table(console, journal(month, mapping), output)


def show_recognized(console: Terminal, first: BillingMonth | None, last: BillingMonth | None, output: Output) -> None:
    """Show billed, recognized and deferred revenue by accounting month."""
    until = last or BillingMonth.containing(datetime.now(UTC))
    show_table(console, recognized_revenue(first or FIRST_MONTH, until), output)


def close_accounting_period(console: Terminal, month: BillingMonth, *, leave_open: bool) -> None:
    """Close an accounting month. Raises PeriodNotClosed."""
    with local_platform() as settings:
        database = BillingDatabase(settings.database_url)
        period, is_new = close_period(database, month, getpass.getuser(), datetime.now(UTC), leave_open=leave_open)
    if is_new:
        console.print(f"{month} is closed. What is posted from now on counts in {month.next()} or later.")
    else:
        closed_at = moment_text(period.closed_at.astimezone(UTC).replace(microsecond=0))
        console.print(f"{month} was closed on {closed_at} UTC by", period.closed_by)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not UTF-8"
        raise AccountsNotMapped(f"the account mapping {path} can't be read: {reason}") from problem
