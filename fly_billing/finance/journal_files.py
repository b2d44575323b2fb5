"""Writes the journal of an accounting month into the folder of reports, while its books agree.

Not here: the check of the books (`accounting.books`), and the journal's lines (`accounting.rules.journal`).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fly_billing.accounting.books import refuse_different_books
from fly_billing.accounting.periods import period_of
from fly_billing.accounting.recognition import defer_revenue
from fly_billing.errors import ActionableError
from fly_billing.finance.journal_table import journal, journal_state
from fly_billing.finance.table_files import write_csv
from fly_billing.finance.tables_reader import read_table
from fly_billing.money import to_cents
from fly_billing.output_files import make_folder
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase


@dataclass(frozen=True)
class JournalFile:
    """A journal that was written.

    Attributes:
        state: Whether it can still change, in words.
        debits: The sum of its debits by currency, in cents; its credits are the same.
    """

    path: Path
    state: str
    lines: int
    debits: dict[str, int]


def journal_name(month: BillingMonth) -> str:
    """Return the name of the month's file: `journal-2026-10.csv`."""
    return f"journal-{month}.csv"


def write_journal(database: BillingDatabase, month: BillingMonth, folder: Path, now: datetime) -> JournalFile:
    """Write the journal of an accounting month, with our accounts. A file of the month is replaced.

    Raises:
        BooksDiffer: The month is not closed, and the books differ. Its file stays as it was.
        ActionableError: The revenue of an invoice can't be read, or the file can't be written.
    """
    if failed := defer_revenue(database).failed:
        raise ActionableError(f"the revenue of these invoices can't be read: {'; '.join(map(str, failed))}")
    refuse_different_books(database, month)
    table, _ = read_table(database, journal(month), now)
    with database.consistent_read() as connection:
        state = journal_state(period_of(connection, month))
    make_folder(folder, 0o700)
    path = folder / journal_name(month)
    write_csv(table, path, overwrite=True)
    debits: dict[str, int] = defaultdict(int)
    for row in table.rows:
        debits[row["currency"]] += to_cents(row["debit"], row["currency"]) if row["debit"] else 0
    return JournalFile(path, state, len(table.rows), dict(debits))
