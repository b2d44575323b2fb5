"""Reads both sides of a month, ours from Postgres and theirs from Stripe, and has the domain compare them.

One read per 100 invoices. Each comes with its first ten lines; the lines of longer ones are read only where they are
asked for, or where total, currency or number of lines tell already that something is wrong. The way through Stripe's
list ends a day after our last create of the month, unless something is missing then: what we made was made by then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from fly_billing.invoicing.rules.chargeable_amounts import from_stripe, to_stripe
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, Row
from fly_billing.stripe_sync.journal import StripeJournal
from fly_billing.stripe_sync.reader import StripeReader
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
    """Both sides of a month, and where they disagree. Totals in cents. `found` leaves voided invoices out."""

    expected: Sequence[ExpectedInvoice]
    found: Sequence[FoundInvoice]
    discrepancies: Sequence[Discrepancy]
    voided: Sequence[FoundInvoice] = field(default=())

    @property
    def totals_here(self) -> dict[str, int]:
        """What we billed: currency -> cents."""
        return _totals(self.expected)

    @property
    def totals_in_stripe(self) -> dict[str, int]:
        """What Stripe holds: currency -> cents."""
        return _totals(self.found)

    @property
    def with_unread_lines(self) -> int:
        """How many long invoices were compared by total, currency and number of lines alone."""
        return sum(1 for one in self.found if one.unread_lines)


def reconcile_month(
    journal: StripeJournal,
    reader: StripeReader,
    month: BillingMonth,
    groups: Sequence[str],
    *,
    all_lines: bool = True,
) -> Reconciliation:
    """Compare what Stripe holds of the month with what we billed, for these billing groups.

    An invoice in Stripe of an organization that nobody knows is looked at too: it can only be an orphan. With
    `all_lines` every line is compared, at one more read per long invoice of these groups and hundred lines, and the
    list is read up to now.
    """
    sweep = _Sweep(journal, reader, month, groups, None if all_lines else last_of_ours(journal, month))
    found = [sweep.with_lines(body, one) if all_lines else one for body, one in sweep.found()]
    orphans = {one.invoice_id for one in found} - sweep.expected.keys()
    known = {str(row["id"]) for row in journal.database.rows("known_invoices", ids=sorted(orphans))}
    expected = list(sweep.expected.values())
    living = [one for one in found if one.status != "void"]
    voided = [one for one in found if one.status == "void"]
    return Reconciliation(expected, living, reconcile(expected, found, known), voided)


def record_reconciliation(
    database: BillingDatabase, month: BillingMonth, both: Reconciliation, run_id: str, now: datetime
) -> None:
    """Write down what was found, for whoever asks later since when both sides agree, or do not."""
    discrepancies = [
        {
            "kind": one.kind,
            "organization": one.organization_id,
            "invoice": one.invoice_id,
            "stripe": one.stripe_ids,
            "what": one.message,
            "what_to_do": one.what_to_do,
        }
        for one in both.discrepancies
    ]
    database.rows(
        "add_stripe_reconciliation", month=month.first_day, now=now, run_id=run_id, here=len(both.expected),
        there=len(both.found), totals_here=json.dumps(both.totals_here), totals_there=json.dumps(both.totals_in_stripe),
        discrepancies=json.dumps(discrepancies),
    )  # fmt: skip


def _totals(invoices: Sequence[ExpectedInvoice] | Sequence[FoundInvoice]) -> dict[str, int]:
    currencies = sorted({one.currency for one in invoices})
    return {name: sum(one.total_cents for one in invoices if one.currency == name) for name in currencies}


class _Sweep:
    """One way through a month. Ours is read before theirs, so that what our journal names was there to be found."""

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
        self._others = {row["id"] for row in database.rows("organizations_outside_groups", groups=list(groups))}
        entries = {row["invoice_id"]: row for row in database.rows("stripe_entries_of_month", month=month.first_day)}
        heads = database.rows("invoices_expected_in_stripe", month=month.first_day)
        ids = [row["id"] for row in heads if row["organization_id"] not in self._others]
        invoices = journal.finalized_invoices(ids)
        self.expected = {str(one.id): _expected(one, entries.get(one.id)) for one in invoices}
        self._by_stripe_id = {row["stripe_invoice_id"]: row for row in entries.values() if row["stripe_invoice_id"]}

    def found(self) -> Iterator[tuple[Body, FoundInvoice]]:
        """Yield what Stripe has of the month for these groups: what says so, and what our journal knows by its id."""
        missing = set(self.expected)
        for body in self._bodies(missing):
            one = self._recognized(body)
            if one is not None and one.organization_id not in self._others:
                missing.discard(one.invoice_id)
                yield body, one if self._tells_enough(one) else self.with_lines(body, one)

    def _bodies(self, missing: set[str]) -> Iterator[Body]:
        """Yield every invoice of the account since the month's end: its metadata may have been changed by hand.

        What is newer than all that we made is read only while something is `missing`.
        """
        yield from self._reader.invoices_since(self._month.end, self._until)
        if missing and self._until is not None:
            yield from self._reader.invoices_since(self._until)

    def with_lines(self, body: Body, one: FoundInvoice) -> FoundInvoice:
        """Return it with all its lines; voided ones are nobody's to pay, and not read."""
        if not one.unread_lines or one.status == "void":
            return one
        return replace(one, lines=tuple(self._reader.lines(body)), unread_lines=0)

    def _recognized(self, body: Body) -> FoundInvoice | None:
        metadata: Mapping[str, str] = body.get("metadata") or {}
        entry = self._by_stripe_id.get(body["id"])
        if entry is not None:
            return _found(self._reader, body, str(entry["invoice_id"]), entry["organization_id"])
        if "fly_billing_invoice" in metadata and metadata.get("month") == str(self._month):
            return _found(self._reader, body, metadata["fly_billing_invoice"], metadata.get("organization", ""))
        return None

    def _tells_enough(self, one: FoundInvoice) -> bool:
        ours = self.expected.get(one.invoice_id)
        return ours is None or agree_at_a_glance(ours, one)


def last_of_ours(journal: StripeJournal, month: BillingMonth) -> datetime | None:
    """Return a moment by which all that we made of the month was made: a day after the last request for one."""
    (row,) = journal.database.rows("last_create_attempt", month=month.first_day)
    return None if row["sent_at"] is None else row["sent_at"] + timedelta(days=1)


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
    )


def _expected(invoice: FinalizedInvoice, entry: Row | None) -> ExpectedInvoice:
    metadata: Mapping[str, str] = create_request(invoice, "", 0).params["metadata"]
    return ExpectedInvoice(
        str(invoice.id),
        invoice.organization_id,
        invoice.currency,
        invoice.total_cents,
        tuple((one.item_id, to_stripe(one.amount_cents, invoice.currency)) for one in folded_lines(invoice.lines)),
        state=entry["state"] if entry else None,
        stripe_id=entry["stripe_invoice_id"] if entry else None,
        # A draft that was taken over keeps the generation it was made under.
        metadata=tuple((name, value) for name, value in metadata.items() if name != "generation"),
    )
