"""Reissues an invoice that is not in Stripe: voids it and bills its month again under the next revision.

Nothing of a void invoice is billed separately: usage, fees, one-off items and adjustments are all on the new revision,
except fees charged in advance for a later month, which that month's invoice charges. Not here: invoices in Stripe,
which adjustments or a credit note correct (`adjustments`, `credit_notes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.errors import ActionableError
from fly_billing.invoicing.bill_run import Billed, bill
from fly_billing.invoicing.inputs_reader import has_random_ids
from fly_billing.invoicing.month_closing import Terms
from fly_billing.invoicing.rules.assembly import invoice_id
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, records, rows


@dataclass(frozen=True)
class InvoiceToReissue:
    """The latest invoice of an organization's month. It is final.

    Attributes:
        status: Such as `finalized` or `void`.
        state: The state of its sync.
        draft_left: Its draft in Stripe, unless that was voided there.
        may_be_in_stripe: It is finalized in Stripe, or we can't be sure that it is not.
        is_corrected: A credit note or another final invoice includes a correction of it.
    """

    id: UUID
    revision: int
    status: str
    billing_group: str
    state: str
    draft_left: str | None
    may_be_in_stripe: bool
    is_corrected: bool


@dataclass(frozen=True)
class Reissued:
    """The outcome of a reissue.

    Attributes:
        void_id: The invoice that is void now.
        draft_left: Its draft in Stripe, which `fly-billing repair` deletes; None if there is none.
        billed: The outcome of billing the month again.
    """

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
    """Void the organization's final invoice of the month, if it is not void yet, and bill the month again.

    If the process is interrupted, the new revision is open, and the next billing of the month completes it.

    Raises:
        ActionableError: There is no final invoice; Stripe has it or may have it, so that the customer could pay it; or
            a correction has already charged or credited part of it.
    """
    with database.transaction() as connection:
        invoice_id_to_void = _final_invoice(connection, organization_id, month).id
    # The sync of this invoice takes the same lock and reads the status under it.
    with database.session_lock(f"sync {invoice_id_to_void}") as is_ours:
        if not is_ours:
            raise ActionableError(
                f"{organization_id} {month} is being sent to Stripe at this moment: try again in a minute"
            )
        with database.transaction() as connection:
            lock_until_commit(connection, "invoices")
            invoice = _final_invoice(connection, organization_id, month)
            _refuse_double_charge(invoice, f"{organization_id} {month}")
            rows(connection, "set_audit_context", who=who, why=why or "reissued")
            rows(connection, "void_invoice", invoice_id=invoice.id)
            revision = invoice.revision + 1
            rows(
                connection, "open_revision",
                id=invoice_id(
                    organization_id, month, revision, has_random_ids=has_random_ids(connection, month)
                ),
                void_id=invoice.id, revision=revision, now=now,
            )  # fmt: skip
    billed = bill(database, month, [invoice.billing_group], terms, now, who)
    return Reissued(invoice_id_to_void, invoice.draft_left, billed)


def _final_invoice(connection: Connection, organization_id: str, month: BillingMonth) -> InvoiceToReissue:
    found = records(
        connection, InvoiceToReissue, "invoice_to_reissue", organization_id=organization_id, month=month.first_day
    )
    if not found:
        raise ActionableError(f"{organization_id} has no final invoice of its own in {month}: there is none to reissue")
    return found[0]


def _refuse_double_charge(invoice: InvoiceToReissue, name: str) -> None:
    is_void = invoice.status == "void"
    if invoice.may_be_in_stripe and is_void:
        raise ActionableError(
            f"{name} is void, but Stripe may still collect it ({invoice.state}): void it in Stripe first"
        )
    if invoice.may_be_in_stripe:
        raise ActionableError(
            f"{name} is {invoice.status} and may be in Stripe ({invoice.state}), so it can't be voided here. Leave out"
            " --reissue; the next invoice then charges or credits the difference"
        )
    if invoice.is_corrected:
        instead = (
            "charge the rest with a one-off item"
            if is_void
            else "leave out --reissue; the next invoice then charges or credits the difference"
        )
        raise ActionableError(
            f"{name} was already corrected, by a credit note or on a later invoice. Reissuing it would charge that"
            f" twice; {instead}"
        )
