"""Voids an invoice that Stripe does not have yet, and makes it anew under the next revision.

Keeps out: invoices that Stripe has, which are corrected by adjustments or a credit note (`correcting`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fly_billing.domain.errors import ToBeMended
from fly_billing.domain.invoices import invoice_id
from fly_billing.domain.periods import BillingMonth
from fly_billing.resources.invoicing import Billed, Terms, bill
from fly_billing.resources.postgres import BillingDatabase, lock_until_commit, rows


@dataclass(frozen=True)
class Reissued:
    """The invoice that is void now, the draft in Stripe that it leaves behind (for `repair`), and the new billing."""

    void_id: UUID
    draft_left: str | None
    billed: Billed


def reissue(
    database: BillingDatabase,
    organization_id: str,
    month: BillingMonth,
    terms: Terms,
    now: datetime,
    who: str,
    why: str | None = None,
) -> Reissued:
    """Void the organization's final invoice of the month and bill the month again.

    Raises ToBeMended where there is none, where Stripe has it or may have it (a customer could pay the void one), or
    where a difference of it was charged or given back already.
    Should this be interrupted, the new one is open, and the next billing of the month finishes it.
    """
    with database.transaction() as connection:
        found = rows(connection, "invoice_to_reissue", organization_id=organization_id, month=month.first_day)
    if not found:
        raise ToBeMended(f"{organization_id} has no final invoice of its own in {month}: there is nothing to void")
    invoice: UUID = found[0]["id"]
    # The sync of this invoice holds the same lock, and reads its status under it.
    with database.session_lock(f"sync {invoice}") as is_ours:
        if not is_ours:
            raise ToBeMended(f"{organization_id} {month} is on its way to Stripe at this moment: try again in a minute")
        with database.transaction() as connection:
            lock_until_commit(connection, "invoices")
            (row,) = rows(connection, "invoice_to_reissue", organization_id=organization_id, month=month.first_day)
            if row["may_be_in_stripe"]:
                raise ToBeMended(
                    f"{organization_id} {month} is {row['status']} and may be in Stripe ({row['state']}): it can't be"
                    " voided here; leave out --reissue, and the difference goes on the next invoice"
                )
            if row["is_corrected"]:
                raise ToBeMended(
                    f"{organization_id} {month} was corrected already, by a credit note or on a later invoice: made"
                    " anew, that would be charged twice; leave out --reissue, and what is different now goes on the"
                    " next invoice"
                )
            rows(connection, "say_who", who=who, why=why or "made anew")
            rows(connection, "void_invoice", invoice_id=row["id"])
            revision = row["revision"] + 1
            rows(
                connection, "open_revision",
                id=invoice_id(organization_id, month, revision), void_id=row["id"], revision=revision, now=now,
            )  # fmt: skip
    billed = bill(database, month, [row["billing_group"]], terms, now, who)
    return Reissued(invoice, row["stripe_invoice_id"], billed)
