"""Reads a customer's statement from Postgres in two round trips, however many months and items there are.

The first round trip reads a line for each month that is listed, and the amounts owed; the second one the month that is
shown. An open month takes a third one, for the same days of the month before. Earlier months with nothing due are only
counted, so ten years of them cost about what a year costs. Stripe is never asked. A record that can't be read is
left out and named; the rest of the statement is still shown. Not here: the month that is shown (`shown_month`), how
spend is broken down (`statements.rules.spend`), and the layout (`cli.statement`, `statements.page`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from fly_billing.invoicing.rules.invoice_numbers import invoice_number
from fly_billing.periods import BillingMonth
from fly_billing.postgres.organizations import no_such_organization
from fly_billing.postgres.reading import ReadableDatabase
from fly_billing.postgres.round_trips import round_trip
from fly_billing.statements.rules.balance import LedgerSums
from fly_billing.statements.rules.statement import PayingOrganization, RemainingCredit, Statement, StatementInvoice
from fly_billing.statements.shown_month import ShownMonth
from fly_billing.statements.statement_rows import CreditRow, CustomerRow, InvoiceRow, OrganizationRow, check_row
from fly_billing.statements.unreadable_records import RecordReading
from fly_billing.stripe_sync.rules.customer_details import InvoiceDetails
from fly_billing.stripe_sync.rules.sync_failures import WAITING

if TYPE_CHECKING:
    from fly_billing.postgres.round_trips import AnyConnection

# A finalized invoice reaches Stripe within the hour. The statement calls one that takes longer than this delayed.
SYNCED_WITHIN = timedelta(hours=6)
# The months that every statement lists: a year, and the same month of the year before.
NEWEST_MONTHS = 13


class NoSuchMonth(ValueError):
    """The organization has no invoice for this month."""


def read_statement(
    database: ReadableDatabase,
    organization_id: str,
    now: datetime,
    month: BillingMonth | None = None,
    *,
    has_details: bool = True,
    all_months: bool = False,
) -> Statement:
    """Read an organization's statement, with the details of `month` (None: the newest), or without any details.

    For an organization that another one pays for, the statement has its own lines of the payer's invoice. A record that
    can't be read is left out and named in `problems`. All amounts are of one moment, even while the month is billed.

    Args:
        all_months: List every month. Otherwise earlier ones with nothing due are only counted. The amounts are the same
            either way.

    Raises:
        NoSuchOrganization: No organization has this id.
        NoSuchMonth: The organization has no invoice for this month.
    """
    reading = RecordReading()
    with database.consistent_read() as connection:
        listed = _Listed.read(connection, organization_id, now, month, None if all_months else NEWEST_MONTHS)
        rows = [row for row in listed.rows if reading.attempt(row, row.check)]
        if month and not reading.problems and not any(row.is_of(month) for row in rows):
            raise NoSuchMonth(f"{organization_id} has no invoice for {month}")
        shown = month or (rows[0].billing_month if rows else None)
        detail = ShownMonth.read(connection, organization_id, shown, rows, reading) if shown and has_details else None
    invoices = [_invoice(row, listed, detail if shown and row.is_of(shown) else None, reading) for row in rows]
    # Each row has it, also one that can't be shown.
    earlier = reading.attempt("the first month", lambda: listed.rows[0].earlier) if listed.rows else None
    return Statement(
        organization_id=organization_id,
        organization_name=listed.organization.name,
        as_of=now,
        invoices=tuple(invoices),
        month=None if shown is None else str(shown),
        credits=tuple(_credits(listed.credits, reading)),
        completeness=detail.completeness if detail else None,
        problems=tuple(reading.problems),
        has_unread_usage=detail is not None and detail.has_unread_usage,
        ledger=tuple(listed.ledger),
        stripe_read_at=listed.organization.stripe_read_at,
        idle_cap=listed.organization.idle_cap,
        earlier_months=earlier,
    )


def month_of_invoice(database: ReadableDatabase, invoice_id: UUID) -> BillingMonth | None:
    """Return the month of any organization's invoice; None if there is no such invoice, or its month can't be read."""
    found = database.values("month_of_invoice", invoice_id=invoice_id)
    return next((BillingMonth(day.year, day.month) for day in found if isinstance(day, date)), None)


@dataclass(frozen=True)
class _Listed:
    """The months that the statement lists, and the amounts owed.

    Attributes:
        rows: The months, newest first.
        customer: The customer on open invoices; None without billing details.
    """

    organization: OrganizationRow
    rows: Sequence[InvoiceRow]
    customer: CustomerRow | None
    credits: Sequence[CreditRow]
    ledger: Sequence[LedgerSums]

    @classmethod
    def read(
        cls,
        connection: AnyConnection,
        organization_id: str,
        now: datetime,
        month: BillingMonth | None,
        newest: int | None,
    ) -> _Listed:
        """Read them in one round trip: the newest months (None: all), and earlier ones that matter.

        Raises NoSuchOrganization.
        """
        its = {"organization_id": organization_id}
        wanted = {"shown": month and month.first_day, "newest": newest}
        late = {"late_since": now - SYNCED_WITHIN, "waiting": WAITING}
        with round_trip(connection) as trip:
            organizations = trip.records(OrganizationRow, "organization_of_statement", **its, now=now)
            rows = trip.records(InvoiceRow, "statement_invoices", **its, **wanted, **late)
            customers = trip.records(CustomerRow, "current_customer_of_statement", **its)
            credits = trip.records(CreditRow, "credits_of_statement", **its, now=now)
            ledger = trip.records(LedgerSums, "ledger_of_statement", **its)
        found, current = organizations.all(), customers.all()
        if not found:
            raise no_such_organization(connection, organization_id)
        return cls(found[0], rows.all(), current[0] if current else None, credits.all(), ledger.all())

    def customer_of(self, row: InvoiceRow) -> InvoiceDetails:
        """Return the customer on the invoice; another organization's invoice shows no more than its name."""
        if row.has_details:
            return row.details
        if self.customer and row.status == "open" and not row.is_linked:
            return self.customer.details
        return InvoiceDetails(row.holder_name)


def _invoice(row: InvoiceRow, listed: _Listed, detail: ShownMonth | None, reading: RecordReading) -> StatementInvoice:
    parts = detail.parts(row, reading) if detail else {}
    return StatementInvoice(
        month=row.month_text,
        status=row.status or "not computed",
        currency=row.currency,
        total_cents=row.total_cents if row.id else None,
        as_of=row.as_of,
        due_on=row.due_on,
        stripe_invoice_id=row.stripe_invoice_id,
        hosted_invoice_url=row.hosted_invoice_url,
        trouble=row.trouble,
        number=row.stripe_number or (invoice_number(row.holder_id, row.number) if row.number else None),
        pdf_url=row.invoice_pdf_url,
        customer=reading.attempt(partial("the customer of {}".format, row), partial(listed.customer_of, row), row.id),
        seller=row.seller_lines,
        payer=PayingOrganization(row.holder_id, row.holder_name) if row.is_linked else None,
        in_stripe=row.amounts_in_stripe,
        is_waiting=row.is_waiting or False,
        id=str(row.id) if row.id else None,
        **parts,
    )


def _credits(credit_rows: Iterable[CreditRow], reading: RecordReading) -> Iterator[RemainingCredit]:
    for row in credit_rows:
        credit = reading.attempt(f"credit {row.description!r}", partial(_credit, row))
        if credit:
            yield credit


def _credit(row: CreditRow) -> RemainingCredit:
    check_row(row)
    return RemainingCredit.of(**vars(row))
