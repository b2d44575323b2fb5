"""Reads the tables of finance from the views.

Add tables here. Not here: their layout (`cli.finance`, `finance.report`) and files (`finance.table_files`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from fly_billing.finance.rules.breakdowns import RevenueBy
from fly_billing.finance.rules.tables import Column, FinanceTable
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, rows, values
from fly_billing.postgres.organizations import organization_name

CURRENCY = Column("currency", "Currency")
REVENUE = Column("revenue_cents", "Revenue", "cents")
MONTHS = (
    Column("month", "Month", "month"),
    CURRENCY,
    Column("invoices", "Invoices", "count"),
    REVENUE,
    Column("tax_cents", "Tax", "cents"),
    Column("prepaid_cents", "Prepaid credit", "cents"),
    Column("total_cents", "Total", "cents"),
    Column("paid_cents", "Paid", "cents"),
    Column("written_off_cents", "Written off", "cents"),
)
REVENUE_BY = {
    RevenueBy.PRODUCT: (
        CURRENCY,
        Column("product", "Product"),
        Column("kind", "Kind"),
        Column("meter", "Meter"),
        Column("price_key", "Price"),
        REVENUE,
    ),
    RevenueBy.REGION: (CURRENCY, Column("region", "Region"), REVENUE),
    RevenueBy.ORGANIZATION: (
        CURRENCY,
        Column("organization_id", "Organization"),
        Column("organization", "Name"),
        Column("payer_id", "Paid by"),
        REVENUE,
    ),
}
TAXES = (
    CURRENCY,
    Column("name", "Tax"),
    Column("percent", "Percent", "amount"),
    Column("charged", "Charged"),
    Column("category", "Category"),
    Column("taxable_cents", "Taxable", "cents"),
    Column("tax_cents", "Tax amount", "cents"),
)
RECEIVABLES = (
    CURRENCY,
    Column("organization_id", "Organization"),
    Column("organization", "Name"),
    Column("invoices", "Invoices", "count"),
    Column("oldest_due_on", "Oldest due", "day"),
    Column("current_cents", "Current", "cents"),
    Column("days_1_30_cents", "1-30 days", "cents"),
    Column("days_31_60_cents", "31-60 days", "cents"),
    Column("days_61_90_cents", "61-90 days", "cents"),
    Column("over_90_cents", "Over 90 days", "cents"),
    Column("due_cents", "Due", "cents"),
)
CREDITS = (
    Column("organization_id", "Organization"),
    Column("description", "Credit"),
    Column("pays", "Pays"),
    Column("state", "State"),
    Column("granted_at", "Granted on", "moment"),
    Column("expires_at", "Expires", "moment"),
    CURRENCY,
    Column("granted", "Granted", "amount"),
    Column("used", "Used", "amount"),
    Column("pending", "Pending", "amount"),
    Column("expired", "Expired", "amount"),
    Column("remaining", "Remaining", "amount"),
)
CREDITS_BY_STATE = (
    CURRENCY,
    Column("pays", "Pays"),
    Column("state", "State"),
    Column("credits", "Credits", "count"),
    *CREDITS[-5:],
)
HISTORY = (
    Column("happened_at", "When", "moment"),
    Column("person", "Who"),
    Column("action", "Action"),
    Column("subject", "What"),
    Column("currency", "Currency"),
    Column("amount_cents", "Amount", "cents"),
    Column("amount", "Exact amount", "amount"),
    Column("reason", "Why"),
    Column("organization_id", "Organization"),
)

Read = Callable[[Connection], FinanceTable]


def read_table(
    database: BillingDatabase, read: Read, now: datetime, month: BillingMonth | None = None
) -> tuple[FinanceTable, int]:
    """Read one table as of `now` (ages and expiries are those of that moment), and count the open invoices of `month`.

    Raises:
        NoSuchOrganization: The table is about an organization that does not exist.
    """
    with database.transaction() as connection:
        set_moment(connection, now)
        return read(connection), count_open_invoices(connection, month) if month else 0


def set_moment(connection: Connection, now: datetime) -> None:
    """Make the views show this moment until the transaction ends."""
    rows(connection, "set_finance_moment", at=now)


def months(first: BillingMonth, last: BillingMonth) -> Read:
    """Return a reader of the totals of each month from `first` to `last`."""
    return _reader(
        f"By month, {first} to {last}", MONTHS, "finance_months_table", first=first.first_day, last=last.first_day
    )


def revenue(month: BillingMonth, by: RevenueBy) -> Read:
    """Return a reader of a month's revenue."""
    return _reader(
        f"Revenue of {month} by {by}", REVENUE_BY[by], f"finance_revenue_by_{by}", "revenue_cents",
        month=month.first_day,
    )  # fmt: skip


def taxes(month: BillingMonth) -> Read:
    """Return a reader of a month's taxes by rate."""
    return _reader(f"Taxes of {month}", TAXES, "finance_taxes_table", "tax_cents", month=month.first_day)


def receivables() -> Read:
    """Return a reader of what each organization owes, by age."""
    return _reader("Receivables by days overdue", RECEIVABLES, "finance_receivables_table", "due_cents")


def credits(organization_id: str | None = None) -> Read:
    """Return a reader of the credits of an organization, or of all. It raises NoSuchOrganization."""
    return _reader(
        f"Credits of {organization_id or 'all organizations'}", CREDITS, "finance_credits_table",
        organization_id=organization_id,
    )  # fmt: skip


def history(month: BillingMonth, organization_id: str | None = None) -> Read:
    """Return a reader of the acts about a month, of an organization or of all. It raises NoSuchOrganization."""
    return _reader(
        f"History of {organization_id or 'all organizations'}, {month}", HISTORY, "finance_history_table",
        month=month.first_day, organization_id=organization_id,
    )  # fmt: skip


def credits_by_state() -> Read:
    """Return a reader of the sums of all credits, by currency, kind of payment and state."""
    return _reader("Credits", CREDITS_BY_STATE, "finance_credits_summary")


def decisions(month: BillingMonth, most: int) -> Read:
    """Return a reader of the newest acts of people about a month: no finalizations and payments."""
    return _reader(f"History of {month}", HISTORY, "finance_decisions_table", month=month.first_day, most=most)


def count_open_invoices(connection: Connection, month: BillingMonth) -> int:
    """Return the number of the month's invoices that are open, and so in no table."""
    (number,) = values(connection, "finance_open_invoices", month=month.first_day)
    return int(number)


def _reader(
    title: str, columns: tuple[Column, ...], statement: str, adds_up: str | None = None, /, **parameters: Any
) -> Read:
    def read(connection: Connection) -> FinanceTable:
        if parameters.get("organization_id") is not None:
            organization_name(connection, parameters["organization_id"])
        return FinanceTable(title, columns, rows(connection, statement, **parameters), adds_up)

    return read
