"""Reads everything that a month's report shows, from one snapshot of the database. Not here: the page (`report`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from fly_billing.finance import tables_reader
from fly_billing.finance.journal_table import recognized_revenue
from fly_billing.finance.rules.breakdowns import RevenueBy
from fly_billing.finance.rules.month_sums import MonthSums
from fly_billing.finance.rules.tables import FinanceTable
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, records, values

# The plots show this many months.
MONTHS_SHOWN = 12
# The report lists the newest acts of people.
MOST_ACTS = 200


@dataclass(frozen=True)
class CreditsOfMonth:
    """The amounts that credits paid in a month, in the currency's major unit."""

    month: date
    currency: str
    amount: Decimal


@dataclass(frozen=True)
class FinanceReport:
    """A month for finance.

    Attributes:
        as_of: When it was read: receivables and credits are those of this moment.
        sums: Of each currency that the month was billed in.
        currencies: Every currency that any month was billed in.
        open_invoices: The number of the month's invoices that are still open, and so not included.
        months: The totals of the months that the plots show, newest first.
        recognized: Billed, recognized and deferred revenue of the same accounting months.
        credits_used: In the same months.
        history: Acts of people: no finalizations and payments.
    """

    month: BillingMonth
    as_of: datetime
    sums: Sequence[MonthSums]
    currencies: Sequence[str]
    open_invoices: int
    months: FinanceTable
    recognized: FinanceTable
    revenue: Mapping[RevenueBy, FinanceTable]
    taxes: FinanceTable
    receivables: FinanceTable
    credits: FinanceTable
    credits_used: Sequence[CreditsOfMonth]
    history: FinanceTable


def read_month_report(database: BillingDatabase, month: BillingMonth, now: datetime) -> FinanceReport:
    """Read the report of a month as of `now`."""
    first = month.plus(1 - MONTHS_SHOWN)
    with database.consistent_read() as connection:
        tables_reader.set_moment(connection, now)
        return FinanceReport(
            month=month,
            as_of=now,
            sums=records(connection, MonthSums, "finance_month_sums", month=month.first_day),
            currencies=values(connection, "finance_currencies"),
            open_invoices=tables_reader.count_open_invoices(connection, month),
            months=tables_reader.months(first, month)(connection),
            recognized=recognized_revenue(first, month)(connection),
            revenue={by: tables_reader.revenue(month, by)(connection) for by in RevenueBy},
            taxes=tables_reader.taxes(month)(connection),
            receivables=tables_reader.receivables()(connection),
            credits=tables_reader.credits_by_state()(connection),
            credits_used=records(
                connection, CreditsOfMonth, "finance_credits_used", first=first.first_day, last=month.first_day
            ),
            history=tables_reader.decisions(month, MOST_ACTS)(connection),
        )


def months_to_report(database: BillingDatabase, since: datetime) -> list[BillingMonth]:
    """List months with final invoices that are unpaid, or that changed since then."""
    return [BillingMonth.containing(start) for start in database.values("months_to_report", since=since)]
