"""Reads each month's totals: billed, paid, written off and open so far, over any number of years."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, records, rows
from fly_billing.postgres.isolation import UnreadableRow, readable_rows
from fly_billing.postgres.organizations import organization_name


@dataclass(frozen=True, slots=True)
class MonthTotals:
    """A month's invoices in one currency, without void ones, in cents.

    Attributes:
        month: The month's start.
        final_cents: Of final invoices, paid and written-off ones included.
        open_cents: Of open invoices, so far.
    """

    month: datetime
    currency: str
    invoices: int
    final_cents: int
    paid_cents: int
    written_off_cents: int
    open_cents: int

    @property
    def total_cents(self) -> int:
        return self.final_cents + self.open_cents

    @property
    def billing_month(self) -> BillingMonth:
        return BillingMonth.containing(self.month)

    def as_data(self) -> dict[str, object]:
        """Return JSON-ready data; amounts are in cents."""
        return {**asdict(self), "month": str(self.billing_month)}


@dataclass(frozen=True)
class MonthlyTotals:
    """The totals of a range of months.

    Attributes:
        unreadable: Invoices that are in no total, with the reason.
    """

    months: Sequence[MonthTotals]
    unreadable: Sequence[UnreadableRow]


def read_monthly_totals(
    database: BillingDatabase, organization_id: str | None, first: BillingMonth, last: BillingMonth
) -> MonthlyTotals:
    """Read the totals from `first` to `last`, both included.

    Args:
        organization_id: Count only the invoices that this organization pays. None: all invoices.

    Raises:
        NoSuchOrganization: No organization has this id.
    """
    with database.transaction() as connection:
        if organization_id is not None:
            organization_name(connection, organization_id)
        months = records(
            connection, MonthTotals, "monthly_totals",
            organization_id=organization_id, first=first.first_day, last=last.first_day,
        )  # fmt: skip
        _, unreadable = readable_rows(rows(connection, "unreadable_totals", organization_id=organization_id))
    return MonthlyTotals(months, unreadable)
