"""Compares the ledger with its sources: the check behind `ledger_balances`.

Not here: the words (`ledger.rules.differences`), and what the entries are (the view `ledger_rebuilt`).
"""

from __future__ import annotations

from fly_billing.ledger.rules.differences import LedgerDifference
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase


def ledger_differences(database: BillingDatabase, month: BillingMonth) -> list[LedgerDifference]:
    """Rebuild the entries of a month's invoices, credit notes and prepaid credits; return those that differ."""
    return database.records(LedgerDifference, "ledger_differences", month=month.first_day)
