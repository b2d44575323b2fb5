"""Reads a month's invoices from Postgres and from Stripe and compares them.

One read returns 100 invoices with their first ten lines each. The lines of longer invoices are read on request, or if
total, currency or number of lines differ. The list is read until a day after our last create of the month, and further
only if an invoice is missing. Not here: the comparison (`stripe_sync.rules.reconciliation`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from fly_billing.invoicing.group_members import billing_groups
from fly_billing.invoicing.rules.chargeable_amounts import from_stripe, to_stripe
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sync.journal import StripeJournal
from fly_billing.stripe_sync.reader import StripeReader
from fly_billing.stripe_sync.rules.line_taxes import tax_amounts, tax_amounts_at_stripe
from fly_billing.stripe_sync.rules.reconciliation import (
    Discrepancy,
    ExpectedInvoice,
    FoundInvoice,
    agree_at_a_glance,
    reconcile,
)
from fly_billing.stripe_sync.rules.requests import FinalizedInvoice, create_request, folded_lines

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Reconciliation:
    """Both sides of a month and their discrepancies.

    Attributes:
        expected: The invoices that Stripe should have.
        found: The invoices in Stripe, without voided ones.
    """

    expected: Sequence[ExpectedInvoice]
    found: Sequence[FoundInvoice]
    discrepancies: Sequence[Discrepancy]
    voided: Sequence[FoundInvoice] = field(default=())

    @property
    def totals_here(self) -> dict[str, int]:
        """Our total: currency -> cents."""
        return _totals(self.expected)

    @property
    def totals_in_stripe(self) -> dict[str, int]:
        """Stripe's total: currency -> cents."""
        return _totals(self.found)

    @property
    def with_unread_lines(self) -> int:
        """The number of long invoices that were compared by total, currency and number of lines only."""
        return sum(1 for invoice in self.found if invoice.unread_lines)


def reconcile_month(
    journal: StripeJournal,
    reader: StripeReader,
    month: BillingMonth,
    groups: Sequence[str],
    *,
    all_lines: bool = True,
) -> Reconciliation:
    """Compare the month's invoices in Stripe with ours, for these billing groups.

    Stripe invoices of unknown organizations are included as orphans.

    Args:
        all_lines: Compare every line, with one more read per 100 lines of a long invoice, and read the list up to now.
    """
    sweep = _Sweep(journal, reader, month, groups, None if all_lines else last_of_ours(journal, month))
    found = [sweep.with_lines(body, invoice) if all_lines else invoice for body, invoice in sweep.found()]
    orphans = {invoice.invoice_id for invoice in found} - sweep.expected.keys()
    known = set(map(str, journal.database.values("known_invoices", ids=sorted(orphans))))
    expected = list(sweep.expected.values())
    living = [invoice for invoice in found if invoice.status != "void"]
    voided = [invoice for invoice in found if invoice.status == "void"]
    return Reconciliation(expected, living, reconcile(expected, found, known), voided)


def record_reconciliation(
    database: BillingDatabase, month: BillingMonth, result: Reconciliation, run_id: str, now: datetime
) -> int:
    """Record the result, to show later since when both sides agree or differ. Returns the number of the month's."""
    discrepancies = [
        {
            "kind": discrepancy.kind,
            "organization": discrepancy.organization_id,
            "invoice": discrepancy.invoice_id,
            "stripe": discrepancy.stripe_ids,
            "what": discrepancy.message,
            "what_to_do": discrepancy.what_to_do,
        }
        for discrepancy in result.discrepancies
    ]
    (number,) = database.values(
        "record_stripe_reconciliation", month=month.first_day, now=now, run_id=run_id, here=len(result.expected),
        there=len(result.found), totals_here=json.dumps(result.totals_here),
        totals_there=json.dumps(result.totals_in_stripe), discrepancies=json.dumps(discrepancies),
    )  # fmt: skip
    return int(number)


def _totals(invoices: Sequence[ExpectedInvoice] | Sequence[FoundInvoice]) -> dict[str, int]:
    currencies = sorted({invoice.currency for invoice in invoices})
    return {
        currency: sum(invoice.total_cents for invoice in invoices if invoice.currency == currency)
        for currency in currencies
    }


@dataclass(frozen=True, slots=True)
class _ExpectedRow:
    """An invoice of the month that Stripe should have."""

    id: UUID
    organization_id: str


@dataclass(frozen=True, slots=True)
class _EntryRow:
    """The journal entry of an invoice of the month."""

    invoice_id: UUID
    organization_id: str
    state: str
    stripe_invoice_id: str | None


def reconcile_all_months(journal: StripeJournal, reader: StripeReader) -> list[Reconciliation]:
    """Compare every month that has finalized invoices, with every line, for all billing groups."""
    groups = billing_groups(journal.database)
    months = [BillingMonth.containing(start) for start in journal.database.values("months_in_stripe")]
    return [reconcile_month(journal, reader, month, groups) for month in months]


class _Sweep:
    """Reads both sides of a month, ours first, so that all invoices our journal names can be found in Stripe."""

    def __init__(
        self,
        journal: StripeJournal,
        reader: StripeReader,
        month: BillingMonth,
        groups: Sequence[str],
        until: datetime | None,
    ) -> None:
        self._reader = reader
        self._month = month
        self._until = until
        database = journal.database
        self._others = set(database.values("organizations_outside_groups", groups=list(groups)))
        entry_rows = database.records(_EntryRow, "stripe_entries_of_month", month=month.first_day)
        entries = {entry.invoice_id: entry for entry in entry_rows}
        expected = database.records(_ExpectedRow, "invoices_expected_in_stripe", month=month.first_day)
        ids = [row.id for row in expected if row.organization_id not in self._others]
        invoices = journal.finalized_invoices(ids)
        self.expected = {str(invoice.id): _expected(invoice, entries.get(invoice.id)) for invoice in invoices}
        self._by_stripe_id = {entry.stripe_invoice_id: entry for entry in entry_rows if entry.stripe_invoice_id}

    def found(self) -> Iterator[tuple[Body, FoundInvoice]]:
        """Yield the Stripe invoices of the month for these groups: marked as ours, or known to our journal by id."""
        missing = set(self.expected)
        for body in self._bodies(missing):
            invoice = self._recognize(body)
            if invoice is not None and invoice.organization_id not in self._others:
                missing.discard(invoice.invoice_id)
                yield body, invoice if self._is_equal_so_far(invoice) else self.with_lines(body, invoice)

    def _bodies(self, missing: set[str]) -> Iterator[Body]:
        """Yield all invoices of the account since the month's end, because metadata may have been edited.

        Invoices newer than our last one are read only if some are `missing`.
        """
        yield from self._reader.invoices_since(self._month.end, self._until)
        if missing and self._until is not None:
            yield from self._reader.invoices_since(self._until)

    def with_lines(self, body: Body, invoice: FoundInvoice) -> FoundInvoice:
        """Return the invoice with all its lines. The lines of voided invoices are not read."""
        if not invoice.unread_lines or invoice.status == "void":
            return invoice
        return replace(invoice, lines=tuple(self._reader.lines(body)), unread_lines=0)

    def _recognize(self, body: Body) -> FoundInvoice | None:
        metadata: Mapping[str, str] = body.get("metadata") or {}
        entry = self._by_stripe_id.get(body["id"])
        if entry is not None:
            return _found(self._reader, body, str(entry.invoice_id), entry.organization_id)
        if "fly_billing_invoice" in metadata and metadata.get("month") == str(self._month):
            return _found(self._reader, body, metadata["fly_billing_invoice"], metadata.get("organization", ""))
        return None

    def _is_equal_so_far(self, invoice: FoundInvoice) -> bool:
        ours = self.expected.get(invoice.invoice_id)
        return ours is None or agree_at_a_glance(ours, invoice)


def last_of_ours(journal: StripeJournal, month: BillingMonth) -> datetime | None:
    """Return a time by which all our invoices of the month existed: a day after the last create request."""
    sent_at: datetime | None
    (sent_at,) = journal.database.values("last_create_attempt", month=month.first_day)
    return None if sent_at is None else sent_at + timedelta(days=1)


def _found(reader: StripeReader, body: Body, invoice_id: str, organization_id: str) -> FoundInvoice:
    shown = body["lines"]
    currency = body["currency"].upper()
    total_cents, odd = from_stripe(body["total"], currency)
    is_short = not shown["has_more"] or not shown.get("total_count")
    return FoundInvoice(
        stripe_id=body["id"],
        invoice_id=invoice_id,
        organization_id=organization_id,
        status=body["status"],
        currency=currency,
        total_cents=total_cents,
        odd=odd,
        lines=tuple(reader.lines(body)) if is_short else (),
        unread_lines=0 if is_short else shown["total_count"],
        metadata=tuple(sorted((body.get("metadata") or {}).items())),
        taxes=tax_amounts_at_stripe(body),
    )


def _expected(invoice: FinalizedInvoice, entry: _EntryRow | None) -> ExpectedInvoice:
    metadata: Mapping[str, str] = create_request(invoice, "", 0).params["metadata"]
    return ExpectedInvoice(
        str(invoice.id),
        invoice.organization_id,
        invoice.currency,
        invoice.total_cents,
        tuple((line.item_id, to_stripe(line.amount_cents, invoice.currency)) for line in folded_lines(invoice.lines)),
        state=entry.state if entry else None,
        stripe_id=entry.stripe_invoice_id if entry else None,
        # A draft that a later generation continues keeps the generation under which it was created.
        metadata=tuple((name, value) for name, value in metadata.items() if name != "generation"),
        taxes=tax_amounts(invoice.taxes, invoice.currency),
    )
