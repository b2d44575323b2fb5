"""Finds invoices and customers that exist in Stripe although our journal does not know them.

After a backup is restored, the journal is older than Stripe: sending an invoice again would bill it twice. So a run
reads Stripe before its first create: one read per 100 invoices since the month's end, and one per 100 customers. Not
here: what follows from it (`invoice_sync`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from fly_billing.periods import FIRST_MONTH, BillingMonth
from fly_billing.stripe_sync.client import StripeResponse
from fly_billing.stripe_sync.journal import StripeJournal
from fly_billing.stripe_sync.reader import ReadingFailed, StripeReader, our_invoice

Body = Mapping[str, Any]


@dataclass(frozen=True)
class ExistingObjects:
    """The objects that Stripe has and our journal does not know.

    Attributes:
        invoices: Stripe invoices by our invoice id, voided ones included.
        customers: Customer ids by organization.
        unread: Invoices that were not looked up, because Stripe could not be read.
        answer: Stripe's response in that case.
    """

    invoices: Mapping[str, Sequence[Body]] = field(default_factory=dict)
    customers: Mapping[str, str] = field(default_factory=dict)
    unread: frozenset[UUID] = frozenset()
    answer: StripeResponse | None = None


NOTHING = ExistingObjects()


def find_existing(
    journal: StripeJournal, reader: StripeReader, month: BillingMonth, ids: Sequence[UUID]
) -> ExistingObjects:
    """Look up in Stripe those of these invoices and their customers that our journal does not know there."""
    unsent = journal.not_created(ids)
    if not unsent:
        return NOTHING
    try:
        return ExistingObjects(_invoices(reader, month, unsent), _customers(journal, reader, unsent))
    except ReadingFailed as failed:
        return ExistingObjects(unread=frozenset(unsent), answer=failed.answer)


def _invoices(reader: StripeReader, month: BillingMonth, unsent: Sequence[UUID]) -> dict[str, list[Body]]:
    wanted = {str(invoice) for invoice in unsent}
    found: dict[str, list[Body]] = defaultdict(list)
    for body in reader.invoices_since(month.end):
        ours = our_invoice(body)
        if ours in wanted:
            found[ours].append(body)
    return dict(found)


def _customers(journal: StripeJournal, reader: StripeReader, unsent: Sequence[UUID]) -> dict[str, str]:
    """Return the oldest customer of each organization without one here. None is older than its organization."""
    without = journal.organizations_without_customer(unsent)
    if not without:
        return {}
    # If an organization's created_at is unreadable, the whole list is read.
    since = [moment if isinstance(moment, datetime) else FIRST_MONTH.start for moment in without.values()]
    found = reader.customers_since(min(since))
    return {name: customer for name, customer in found if name in without}
