"""Compares the books before a month is closed or its journal exported, and refuses while they differ.

The checks of the asset `finance_months` compare the same every night, for the months of their run, and the sums of its
report; they stop the journal of that run. This is the gate for every other caller. Not here: the words of a refusal
(`accounting.rules.book_differences`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from fly_billing.accounting.periods import period_of
from fly_billing.accounting.recognition import recognition_problems
from fly_billing.accounting.rules.book_differences import BookDifferences
from fly_billing.errors import ActionableError
from fly_billing.ledger.checks import ledger_differences
from fly_billing.ledger.owed_and_asked import asked_differences
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase


class BooksDiffer(ActionableError):
    """The books differ from their sources or from Stripe. The message names the amounts. Nothing was changed.

    Attributes:
        lines: A line for each difference.
    """

    def __init__(self, message: str, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.lines = lines


def book_differences(database: BillingDatabase, month: BillingMonth) -> BookDifferences:
    """Compare the ledger and recognized revenue of the open months up to this one, and all that Stripe asks for.

    A closed month has no differences: its journal does not change any more.
    """
    with database.consistent_read() as connection:
        if period_of(connection, month):
            return BookDifferences(month)
    found = []
    for first in database.values("open_accounting_months", month=month.first_day):
        each = _month(first)
        found += [difference.as_row(each) for difference in ledger_differences(database, each)]
        found += recognition_problems(database, each)
    return BookDifferences.of(month, found, asked_differences(database))


def refuse_different_books(database: BillingDatabase, month: BillingMonth) -> None:
    """Raise BooksDiffer if the journal of an open month can't be exported because the books differ."""
    refuse_export(book_differences(database, month))


def refuse_export(differences: BookDifferences) -> None:
    """Raise BooksDiffer, which names them, if there are differences."""
    if differences:
        raise BooksDiffer(differences.refusal(f"the journal of {differences.month} is not exported"), differences.lines)


def _month(first: date) -> BillingMonth:
    return BillingMonth(first.year, first.month)
