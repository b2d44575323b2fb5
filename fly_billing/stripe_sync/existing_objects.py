"""What Stripe already holds of things our journal has never heard of: the journal may be older than Stripe.

After a backup was restored, what was sent since is forgotten here and still there; sent again, it would be a second
invoice. So a run looks before its first create: one read per 100 invoices there since the month's end, and one per 100
customers. Keeps out: what is done about what is found (`invoice_sync`).
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
    """Invoices by our id, voided ones included, and customers by organization.

    `unread`: the invoices of which it is not known, as Stripe could not be read; `answer` is what it said.
    """

    invoices: Mapping[str, Sequence[Body]] = field(default_factory=dict)
    customers: Mapping[str, str] = field(default_factory=dict)
    unread: frozenset[UUID] = frozenset()
    answer: StripeResponse | None = None


NOTHING = ExistingObjects()


def find_existing(
    journal: StripeJournal, reader: StripeReader, month: BillingMonth, ids: Sequence[UUID]
) -> ExistingObjects:
    """Read what Stripe holds of those of these invoices, and of their customers, that are not there by our journal."""
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
    """The oldest customer of each organization that has none here: a customer is made after the organization."""
    without = journal.organizations_without_customer(unsent)
    if not without:
        return {}
    # Since when an organization exists may be unreadable: then all that there can be is looked at.
    since = [moment if isinstance(moment, datetime) else FIRST_MONTH.start for moment in without.values()]
    found = reader.customers_since(min(since))
    return {name: customer for name, customer in found if name in without}
