"""The journal of an accounting month, and recognized revenue, as tables for people and files.

Not here: reading them (`accounting.journal`, `accounting.recognition`), and the lines (`accounting.rules.journal`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import Connection

from fly_billing.accounting.journal import read_journal
from fly_billing.accounting.periods import ClosedPeriod, period_of
from fly_billing.accounting.rules.journal import OWN_ACCOUNTS, GeneralAccount, JournalLine, journal_lines
from fly_billing.finance.rules.tables import Column, FinanceTable
from fly_billing.finance.tables_reader import CURRENCY, Read
from fly_billing.money import from_cents
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import rows

JOURNAL = (
    Column("date", "Date", "day"),
    Column("reference", "Reference"),
    CURRENCY,
    Column("text", "Text"),
    Column("account", "Account"),
    Column("code", "Code"),
    Column("name", "Name"),
    Column("debit", "Debit", "money"),
    Column("credit", "Credit", "money"),
)
RECOGNIZED = (
    Column("month", "Month", "month"),
    CURRENCY,
    Column("billed_cents", "Billed", "cents"),
    Column("recognized_cents", "Recognized", "cents"),
    Column("breakage_cents", "Breakage", "cents"),
    Column("deferred_cents", "Deferred at its end", "cents"),
)


def journal(month: BillingMonth, accounts: Mapping[str, GeneralAccount] | None = None) -> Read:
    """Return a reader of the journal of an accounting month, a line per currency, event, account and side.

    Args:
        month: The accounting month.
        accounts: The general ledger's accounts; None: ours.

    It raises AccountsNotMapped, JournalNotBalanced.
    """

    def read(connection: Connection) -> FinanceTable:
        lines = journal_lines(read_journal(connection, month), OWN_ACCOUNTS if accounts is None else accounts)
        state = journal_state(period_of(connection, month))
        return FinanceTable(f"Journal of {month} ({state})", JOURNAL, [_row(month, line) for line in lines])

    return read


def journal_state(period: ClosedPeriod | None) -> str:
    """Return in words whether the journal of an accounting month can still change."""
    if period is None:
        return "not closed, so it can still change"
    return f"closed by {period.closed_by}{', who accepted differences' if period.accepted_differences else ''}"


def recognized_revenue(first: BillingMonth, last: BillingMonth) -> Read:
    """Return a reader of billed, recognized and deferred revenue of each accounting month, newest first."""

    def read(connection: Connection) -> FinanceTable:
        found = rows(connection, "recognized_by_month", first=first.first_day, last=last.first_day)
        return FinanceTable(f"Recognized revenue, {first} to {last}", RECOGNIZED, found)

    return read


def _row(month: BillingMonth, line: JournalLine) -> dict[str, object]:
    return {
        "date": (month.end - timedelta(days=1)).date(),
        "reference": f"{month}-{line.currency}-{line.event}",
        "currency": line.currency,
        "text": line.text,
        "account": line.account,
        "code": line.code,
        "name": line.name,
        "debit": from_cents(line.debit_cents, line.currency) if line.debit_cents else None,
        "credit": from_cents(line.credit_cents, line.currency) if line.credit_cents else None,
    }
