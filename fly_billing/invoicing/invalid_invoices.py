"""Lists and removes open invoices of months that can't be billed. An older version could bill a month in the future.

Final invoices are never removed. Not here: which months can be billed (`periods.why_not_billable`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.money import format_cents
from fly_billing.periods import FIRST_MONTH, BillingMonth
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, records, rows


@dataclass(frozen=True)
class InvalidInvoice:
    """An open invoice of a month that can't be billed. `month` is the month's first day."""

    id: UUID
    organization_id: str
    month: date
    currency: str
    total_cents: int
    computed_at: datetime

    @property
    def billing_month(self) -> BillingMonth:
        return BillingMonth(self.month.year, self.month.month)

    @property
    def total(self) -> str:
        return format_cents(self.total_cents, self.currency)


def list_invalid_invoices(database: BillingDatabase, now: datetime) -> list[InvalidInvoice]:
    """Return the open invoices of months that have not begun, or are before the first that can be billed."""
    with database.transaction() as connection:
        return _read(connection, now)


def remove_invalid_invoices(
    database: BillingDatabase, invoices: Sequence[InvalidInvoice], by: str, now: datetime
) -> list[InvalidInvoice]:
    """Delete these invoices, and record each in `invoice_changes` with its organization, month and total.

    One-off items and adjustments that an invoice held are billed with the next run of a month.

    Returns:
        The removed invoices: those that are still open, of a month that can't be billed.
    """
    chosen = {invoice.id for invoice in invoices}
    with database.transaction() as connection:
        lock_until_commit(connection, "invoices")  # no run computes or finalizes them meanwhile
        removed = [invoice for invoice in _read(connection, now) if invoice.id in chosen]
        rows(
            connection, "remove_open_invoices",
            ids=[invoice.id for invoice in removed], removed_by=by,
            reasons=[
                f"removed the open invoice of {invoice.organization_id} for {invoice.billing_month} ({invoice.total}):"
                " this month can't be billed"
                for invoice in removed
            ],
        )  # fmt: skip
    return removed


def _read(connection: Connection, now: datetime) -> list[InvalidInvoice]:
    last = BillingMonth.containing(now)
    return records(
        connection, InvalidInvoice, "invalid_open_invoices", first=FIRST_MONTH.first_day, last=last.first_day
    )
