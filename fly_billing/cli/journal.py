"""Shows and exports the journal, and closes accounting months: `fly-billing finance journal` and `close-period`."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from fly_billing.accounting.books import book_differences, refuse_export
from fly_billing.accounting.closing import Closing, close_period
from fly_billing.accounting.recognition import defer_revenue
from fly_billing.accounting.rules.journal import AccountsNotMapped, read_accounts
from fly_billing.cli.finance import Output, show_table
from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, lines
from fly_billing.errors import ActionableError
from fly_billing.finance.journal_table import journal, recognized_revenue
from fly_billing.periods import FIRST_MONTH, BillingMonth, moment_text
from fly_billing.postgres.database import BillingDatabase


def show_journal(console: Terminal, month: BillingMonth, accounts: Path | None, output: Output) -> None:
    """Show the balanced journal of an accounting month, with a warning if the books differ; export it if they don't.

    Raises:
        AccountsNotMapped: The mapping can't be read, or lacks accounts.
        ActionableError: The revenue of an invoice can't be read, so the journal would be incomplete.
        BooksDiffer: The month is not closed and its books differ: its journal is not exported.
    """
    mapping = read_accounts(_text(accounts)) if accounts else None
    with local_platform() as settings:
        database = BillingDatabase(settings.database_url)
        if failed := defer_revenue(database).failed:
            raise ActionableError(f"the revenue of these invoices can't be read: {'; '.join(map(str, failed))}")
        differences = book_differences(database, month)
    if output.is_export:
        refuse_export(differences)
    show_table(console, journal(month, mapping), output)
    if differences:
        said = differences.refusal(f"this journal is not exported, and {month} not closed,")
        console.print(lines(*said.splitlines()), soft_wrap=True)


def show_recognized(console: Terminal, first: BillingMonth | None, last: BillingMonth | None, output: Output) -> None:
    """Show billed, recognized and deferred revenue by accounting month."""
    until = last or BillingMonth.containing(datetime.now(UTC))
    show_table(console, recognized_revenue(first or FIRST_MONTH, until), output)


def close_accounting_period(
    console: Terminal, month: BillingMonth, accepted: Mapping[str, int], code: str, *, why: str | None, leave_open: bool
) -> None:
    """Close an accounting month, with the accepted differences in cents by currency and their code.

    Raises:
        PeriodNotClosed: It is too early, or invoices are open.
        BooksDiffer: The books differ, by other amounts than the accepted ones.
    """
    closing = Closing(getpass.getuser(), leave_open, accepted, code, why)
    with local_platform() as settings:
        period, is_new = close_period(BillingDatabase(settings.database_url), month, closing, datetime.now(UTC))
    if is_new:
        console.print(f"{month} is closed. What is posted from now on counts in {month.next()} or later.")
        if period.accepted_differences:
            accepted_lines = period.accepted_differences.splitlines()
            console.print(lines("Accepted differences with Stripe:", *accepted_lines), soft_wrap=True)
            console.print(
                "While they last, the checks of finance_months still fail every night, and the nightly run writes no"
                f" journal. Export this month's: `fly-billing finance journal {month} --csv FILE`",
                soft_wrap=True,
            )
    else:
        closed_at = moment_text(period.closed_at.astimezone(UTC).replace(microsecond=0))
        console.print(f"{month} was closed on {closed_at} UTC by", period.closed_by)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not UTF-8"
        raise AccountsNotMapped(f"the account mapping {path} can't be read: {reason}") from problem
