"""Books a correction as a credit note, whose amount the next invoices draw as credit.

Not here: corrections that go on the next open invoice (`adjustments`).
"""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import Connection

from fly_billing.corrections.adjustments import book_adjustments
from fly_billing.corrections.correction import Actor, Correction
from fly_billing.errors import ActionableError
from fly_billing.money import from_cents, to_cents
from fly_billing.postgres.database import rows


def book_credit_note(connection: Connection, correction: Correction, actor: Actor) -> int:
    """Book the correction as a credit note and return its amount in cents, rounded once.

    Raises ActionableError if the correction is a charge.
    """
    currency = correction.payer.currency
    cents = -to_cents(correction.amount, currency)
    if cents <= 0:
        raise ActionableError(
            f"{correction.payer.organization_id} {correction.month}: the correction is a charge, and a credit note"
            " can't charge. Leave out --credit-note; the next open invoice then charges the difference"
        )
    note, grant = uuid4(), uuid4()
    rows(
        connection, "add_credit_note",
        id=note, grant_id=grant, invoice_id=correction.invoice_id, organization_id=correction.payer.organization_id,
        amount=from_cents(cents, currency), amount_cents=cents, currency=currency, made_at=actor.at,
        made_by=actor.name, why=actor.why, description=f"Credit note for {correction.month}",
    )  # fmt: skip
    book_adjustments(connection, [correction], actor, note)
    return cents
