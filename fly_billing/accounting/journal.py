"""Reads the journal of an accounting month. Not here: its lines (`accounting.rules.journal`), and files (`finance`)."""

from __future__ import annotations

from sqlalchemy import Connection

from fly_billing.accounting.rules.journal import JournalSum
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import records


def read_journal(connection: Connection, month: BillingMonth) -> list[JournalSum]:
    """Read the sums of an accounting month by currency, event, account and side."""
    return records(connection, JournalSum, "journal_sums", month=month.first_day)
