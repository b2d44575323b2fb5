"""Makes an invoice anew under the next revision: one that Stripe does not have yet, which is voided, or has voided.

Nothing of a void invoice is billed by itself, neither its usage and fees nor its one-off items and adjustments: all of
it is on the one that is made in its place. Only what it charged ahead is another month's, whose invoice charges it.
Keeps out: invoices that Stripe has, which are corrected by adjustments or a credit note (`adjustments`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.errors import ActionableError
from fly_billing.invoicing.bill_run import Billed, Terms, bill
from fly_billing.invoicing.rules.assembly import invoice_id
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, Row, lock_until_commit, rows


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
    """Void the organization's final invoice of the month, unless it is void already, and bill the month again.

    Raises ActionableError if there is none, if Stripe has it or may have it (a customer could pay the void one), or if
    a correction has already charged or credited part of it.
    Should this be interrupted, the new one is open, and the next billing of the month finishes it.
    """
    with database.transaction() as connection:
        invoice: UUID = _final_invoice(connection, organization_id, month)["id"]
    # The sync of this invoice holds the same lock, and reads its status under it.
    with database.session_lock(f"sync {invoice}") as is_ours:
        if not is_ours:
            raise ActionableError(
                f"{organization_id} {month} is on its way to Stripe at this moment: try again in a minute"
            )
        with database.transaction() as connection:
            lock_until_commit(connection, "invoices")
            row = _final_invoice(connection, organization_id, month)
            _refuse_double_charge(row, f"{organization_id} {month}")
            rows(connection, "set_audit_context", who=who, why=why or "made anew")
            rows(connection, "void_invoice", invoice_id=row["id"])
            revision = row["revision"] + 1
            rows(
                connection, "open_revision",
                id=invoice_id(organization_id, month, revision), void_id=row["id"], revision=revision, now=now,
            )  # fmt: skip
    billed = bill(database, month, [row["billing_group"]], terms, now, who)
    return Reissued(invoice, row["draft_left"], billed)


def _final_invoice(connection: Connection, organization_id: str, month: BillingMonth) -> Row:
    found = rows(connection, "invoice_to_reissue", organization_id=organization_id, month=month.first_day)
    if not found:
        raise ActionableError(
            f"{organization_id} has no final invoice of its own in {month}: there is nothing to make anew"
        )
    return found[0]


def _refuse_double_charge(row: Row, name: str) -> None:
    is_void = row["status"] == "void"
    if row["may_be_in_stripe"] and is_void:
        raise ActionableError(f"{name} is void, but Stripe may still collect it ({row['state']}): void it there first")
    if row["may_be_in_stripe"]:
        raise ActionableError(
            f"{name} is {row['status']} and may be in Stripe ({row['state']}): it can't be voided here; leave out"
            " --reissue, and the difference goes on the next invoice"
        )
    if row["is_corrected"]:
        instead = (
            "what is still owed of it is a one-off item"
            if is_void
            else "leave out --reissue, and what is different now goes on the next invoice"
        )
        raise ActionableError(
            f"{name} was corrected already, by a credit note or on a later invoice: made anew, that would be charged"
            f" twice; {instead}"
        )
