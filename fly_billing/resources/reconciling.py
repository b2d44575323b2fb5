"""Reads both sides of a month, ours from Postgres and theirs from Stripe, and has the domain compare them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fly_billing.domain.periods import BillingMonth
from fly_billing.domain.reconciliation import Discrepancy, ExpectedInvoice, FoundInvoice, reconcile
from fly_billing.domain.stripe_plan import FinalizedInvoice, folded_lines
from fly_billing.resources.stripe_journal import StripeJournal
from fly_billing.resources.stripe_reading import StripeReader


@dataclass(frozen=True)
class Reconciliation:
    """Both sides of a month, and where they disagree. Totals in cents, by currency."""

    expected: Sequence[ExpectedInvoice]
    found: Sequence[FoundInvoice]
    discrepancies: Sequence[Discrepancy]


def reconcile_month(
    journal: StripeJournal, reader: StripeReader, month: BillingMonth, groups: Sequence[str]
) -> Reconciliation:
    """Compare what Stripe holds of the month with what we billed, for these billing groups.

    An invoice in Stripe of an organization that nobody knows is looked at too: it can only be an orphan.
    """
    others = {row["id"] for row in journal.database.rows("organizations_outside_groups", groups=list(groups))}
    heads = journal.database.rows("invoices_expected_in_stripe", month=month.first_day)
    ids = [row["id"] for row in heads if row["organization_id"] not in others]
    expected = [_expected(invoice) for invoice in journal.finalized_invoices(ids)]
    found = [one for one in reader.month(month, month.end) if one.organization_id not in others]
    return Reconciliation(expected, found, reconcile(expected, found))


def _expected(invoice: FinalizedInvoice) -> ExpectedInvoice:
    lines = tuple((line.item_id, line.amount_cents) for line in folded_lines(invoice.lines))
    return ExpectedInvoice(str(invoice.id), invoice.organization_id, invoice.currency, invoice.total_cents, lines)
