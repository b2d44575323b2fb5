"""Finds final invoices whose terms or usage changed, and records the decision to keep an invoice as it was billed.

Terms are everything that is agreed for a month: subscriptions, prices, discounts, commitments. Not here: what a change
costs (`recalculation`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.corrections.correction import Actor, Correction
from fly_billing.corrections.held_corrections import read_held_corrections
from fly_billing.invoicing.payers import Payer
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, records, rows


@dataclass(frozen=True)
class UndecidedChange:
    """A change of terms of a month whose invoice is final, on which nobody has decided yet.

    Attributes:
        organization_id: The payer, whose invoice it is.
        month: The start of the month.
        about: The organization whose term changed; None for a price of a book.
        book: The price book whose price changed; None for a term.
        what: The change, in words.
    """

    invoice_id: UUID
    organization_id: str
    month: datetime
    about: str | None
    book: str | None
    what: str
    changed_at: datetime
    changed_by: str

    @property
    def billing_month(self) -> BillingMonth:
        return BillingMonth.containing(self.month)


@dataclass(frozen=True)
class ChangedInvoices:
    """The final invoices of a month to recalculate.

    Attributes:
        usage: By payer, the billed snapshots, if the current ones are others.
        payers: The payers of all invoices to recalculate.
    """

    usage: Mapping[str, Sequence[UUID]]
    payers: Collection[str]


@dataclass(frozen=True, slots=True)
class _BilledSnapshot:
    invoice_id: UUID
    payer_id: str
    snapshot_id: UUID


@dataclass(frozen=True, slots=True)
class _ChangedTerms:
    """The newest change of the terms of an organization, or of the prices of a book."""

    organization_id: str | None
    book: str | None
    newest: int


@dataclass(frozen=True, slots=True)
class _Decision:
    invoice_id: UUID
    up_to_change: int


def find_changed_invoices(connection: Connection, month: BillingMonth, payers: Sequence[Payer]) -> ChangedInvoices:
    """Find the final invoices to recalculate.

    These are invoices whose usage or terms changed; invoices with a held correction, which may be released; and
    invoices with damaged rollups, which must fail.
    """
    names = [payer.organization_id for payer in payers]
    billed: dict[str, list[UUID]] = defaultdict(list)
    invoices: dict[str, UUID] = {}
    for row in records(connection, _BilledSnapshot, "usage_as_billed", month=month.first_day, organizations=names):
        billed[row.payer_id].append(row.snapshot_id)
        invoices[row.payer_id] = row.invoice_id
    current = {payer.organization_id: set(payer.snapshots) for payer in payers}
    usage = {name: snapshots for name, snapshots in billed.items() if set(snapshots) != current[name]}
    changed = _payers_of_undecided_terms(connection, month, payers, invoices)
    held = {correction.organization_id for correction in read_held_corrections(connection, month)}
    damaged = {payer.organization_id for payer in payers if any(member.rollup_problem for member in payer.members)}
    return ChangedInvoices(usage, usage.keys() | changed | held | damaged)


def _payers_of_undecided_terms(
    connection: Connection, month: BillingMonth, payers: Sequence[Payer], invoices: Mapping[str, UUID]
) -> set[str]:
    """Return the payers on whose invoice a term or a price changed, and nobody has decided on it yet."""
    changes = records(connection, _ChangedTerms, "terms_changed_since", month=month.first_day)
    if not changes:
        return set()
    of_organizations = {change.organization_id: change.newest for change in changes if change.organization_id}
    of_books = {change.book: change.newest for change in changes if change.book}
    decisions = records(connection, _Decision, "terms_decided", invoices=list(invoices.values()))
    decided = {decision.invoice_id: decision.up_to_change for decision in decisions}
    undecided = set()
    for payer in payers:
        newest = [of_organizations.get(member.id, 0) for member in payer.members]
        newest += [of_books.get(member.price_book, 0) for member in payer.members]
        invoice = invoices.get(payer.organization_id)
        if max(newest) > (decided.get(invoice, 0) if invoice else 0):
            undecided.add(payer.organization_id)
    return undecided


def keep_as_billed(connection: Connection, correction: Correction, actor: Actor) -> None:
    """Record the decision to leave this invoice as it is, although terms of its month changed.

    It is undecided again only if another term changes. Changed usage is still corrected.
    """
    rows(
        connection, "keep_as_billed",
        invoice_id=correction.invoice_id, who=actor.name, why=actor.why or "left as it was billed", at=actor.at,
    )  # fmt: skip


def undecided_changes(database: BillingDatabase, month: BillingMonth | None = None) -> list[UndecidedChange]:
    """List the changes of terms on which nobody has decided, per final invoice; without a month, all of them.

    Only a recalculation of the invoice shows if a change affects an amount.
    """
    return database.records(UndecidedChange, "undecided_terms", month=month.first_day if month else None)
