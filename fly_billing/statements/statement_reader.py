"""Reads a customer's statement from Postgres in two round trips, however many months and items there are.

The first round trip reads a line for every month, and the amounts owed; the second one the month that is shown. An open
month takes a third one, for the same days of the month before. Stripe is never asked. A record that can't be read is
left out and named; the rest of the statement is still shown. Not here: the month that is shown (`shown_month`), how
spend is broken down (`statements.rules.spend`), and the layout (`cli.statement`, `statements.page`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
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


class NoSuchMonth(ValueError):
    """The organization has no invoice for this month."""


def read_statement(
    database: ReadableDatabase,
    organization_id: str,
    now: datetime,
    month: BillingMonth | None = None,
    *,
    has_details: bool = True,
) -> Statement:
    """Read all months of an organization, with the details of `month` (None: the newest), or without any details.

    For an organization that another one pays for, the statement has its own lines of the payer's invoice. A record that
    can't be read is left out and named in `problems`. All amounts are of one moment, even while the month is billed.

    Raises:
        NoSuchOrganization: No organization has this id.
        NoSuchMonth: The organization has no invoice for this month.
    """
    reading = RecordReading()
    with database.consistent_read() as connection:
        every = _EveryMonth.read(connection, organization_id, now)
        rows = [row for row in every.rows if reading.attempt(row, row.check)]
        if month and not reading.problems and not any(row.is_of(month) for row in rows):
            raise NoSuchMonth(f"{organization_id} has no invoice for {month}")
        shown = month or (rows[0].billing_month if rows else None)
        detail = ShownMonth.read(connection, organization_id, shown, rows, reading) if shown and has_details else None
    invoices = [_invoice(row, every, detail if shown and row.is_of(shown) else None, reading) for row in rows]
    return Statement(
        organization_id=organization_id,
        organization_name=every.organization.name,
        as_of=now,
        invoices=tuple(invoices),
        month=None if shown is None else str(shown),
        credits=tuple(_credits(every.credits, reading)),
        completeness=detail.completeness if detail else None,
        problems=tuple(reading.problems),
        has_unread_usage=detail is not None and detail.has_unread_usage,
        ledger=tuple(every.ledger),
        stripe_read_at=every.organization.stripe_read_at,
        idle_cap=every.organization.idle_cap,
    )


@dataclass(frozen=True)
class _EveryMonth:
    """The records that do not depend on the month that is shown.

    Attributes:
        rows: All months, newest first.
        customers: The customer and the seller on each invoice.
    """

    organization: OrganizationRow
    rows: Sequence[InvoiceRow]
    customers: Mapping[UUID, CustomerRow]
    credits: Sequence[CreditRow]
    ledger: Sequence[LedgerSums]

    @classmethod
    def read(cls, connection: AnyConnection, organization_id: str, now: datetime) -> _EveryMonth:
        """Read them in one round trip. Raises NoSuchOrganization."""
        its = {"organization_id": organization_id}
        late = {"late_since": now - SYNCED_WITHIN, "waiting": WAITING}
        with round_trip(connection) as trip:
            organizations = trip.records(OrganizationRow, "organization_of_statement", **its, now=now)
            rows = trip.records(InvoiceRow, "statement_invoices", **its, **late)
            customers = trip.records(CustomerRow, "customers_of_statement", **its)
            sellers = trip.records(CustomerRow, "sellers_of_statement", **its)
            current = trip.records(CustomerRow, "current_customer_of_statement", **its)
            credits = trip.records(CreditRow, "credits_of_statement", **its, now=now)
            ledger = trip.records(LedgerSums, "ledger_of_statement", **its)
        found, every = organizations.all(), rows.all()
        if not found:
            raise no_such_organization(connection, organization_id)
        by_invoice = {invoice: row for row in (*customers.all(), *sellers.all()) for invoice in row.invoice_ids or ()}
        for customer in current.all():
            open_ones = (row.id for row in every if row.id and row.status == "open" and not row.is_linked)
            by_invoice = dict.fromkeys(open_ones, customer) | by_invoice
        return cls(found[0], every, by_invoice, credits.all(), ledger.all())


def _invoice(
    row: InvoiceRow, every: _EveryMonth, detail: ShownMonth | None, reading: RecordReading
) -> StatementInvoice:
    parts = detail.parts(row, reading) if detail else {}
    kept = every.customers.get(row.id) if row.id else None
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
        customer=reading.attempt(partial("the customer of {}".format, row), partial(_customer, row, kept), row.id),
        seller=kept.seller_lines if kept else None,
        payer=PayingOrganization(row.holder_id, row.holder_name) if row.is_linked else None,
        in_stripe=row.amounts_in_stripe,
        is_waiting=row.is_waiting or False,
        id=str(row.id) if row.id else None,
        **parts,
    )


def _customer(row: InvoiceRow, kept: CustomerRow | None) -> InvoiceDetails:
    """Return the customer on the invoice; another organization's invoice shows no more than its name."""
    return InvoiceDetails(row.holder_name) if kept is None or row.is_linked else kept.details


def _credits(credit_rows: Iterable[CreditRow], reading: RecordReading) -> Iterator[RemainingCredit]:
    for row in credit_rows:
        credit = reading.attempt(f"credit {row.description!r}", partial(_credit, row))
        if credit:
            yield credit


def _credit(row: CreditRow) -> RemainingCredit:
    check_row(row)
    return RemainingCredit.of(**vars(row))
