"""Books corrections as adjustments, which the next open invoice charges or credits.

Not here: corrections that are booked as a credit note (`credit_notes`), when a correction is booked (`correction_run`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection

from fly_billing.corrections.correction import Actor, Correction
from fly_billing.corrections.rules.adjustment_record import item_record
from fly_billing.corrections.rules.differences import Difference, adjustment_text
from fly_billing.postgres.database import copy_rows, rows

ADJUSTMENT_COLUMNS = (
    "id", "organization_id", "month", "invoice_id", "item_key", "product", "description", "amount", "currency",
    "causes", "detail", "credit_note_id", "credit_request_id", "credit_grant_id", "made_at", "made_by", "why",
)  # fmt: skip


def book_adjustments(
    connection: Connection,
    corrections: Iterable[Correction],
    actor: Actor,
    credit_note: UUID | None = None,
    credit_request: UUID | None = None,
) -> None:
    """Book the differences for the next open invoice, and record the usage that the invoices bill and count now.

    Args:
        credit_note: Returns the differences instead of the next invoice.
        credit_request: The credit note at Stripe that does so.
    """
    booked = list(corrections)
    copy_rows(connection, "adjustments", ADJUSTMENT_COLUMNS, (
        _adjustment(correction, difference, actor, credit_note, credit_request)
        for correction in booked for difference in correction.differences
    ))  # fmt: skip
    rows(
        connection, "mark_corrected",
        invoices=[correction.invoice_id for correction in booked for _ in correction.payer.snapshots],
        snapshots=[snapshot for correction in booked for snapshot in correction.payer.snapshots],
    )  # fmt: skip
    counted = [
        (correction.invoice_id, commitment, amount)
        for correction in booked
        for commitment, amount in correction.counted.items()
    ]
    rows(
        connection, "mark_counted",
        invoices=[invoice for invoice, _, _ in counted],
        commitments=[commitment for _, commitment, _ in counted],
        amounts=[amount for _, _, amount in counted],
    )  # fmt: skip


def _adjustment(
    correction: Correction,
    difference: Difference,
    actor: Actor,
    credit_note: UUID | None,
    credit_request: UUID | None,
) -> tuple[object, ...]:
    charge = difference.charge
    return (
        uuid4(), charge.organization_id, correction.month.first_day, correction.invoice_id, charge.key, charge.product,
        adjustment_text(difference, correction.month), difference.amount, correction.payer.currency,
        list(difference.causes), json.dumps(_detail(correction, difference)), credit_note, credit_request,
        charge.credit_grant_id, actor.at, actor.name, actor.why,
    )  # fmt: skip


def _detail(correction: Correction, difference: Difference) -> dict[str, Any]:
    """Return the record of the calculation; `corrections.rules.adjustment_record` reads it."""
    charge = difference.charge
    detail: dict[str, Any] = {
        **difference.detail,
        "billed": str(difference.billed),
        "adjusted_before": str(difference.adjusted),
        "owed": str(difference.owed),
        **({"waits": str(difference.undecided)} if difference.undecided else {}),
        "kind": charge.kind,
        "description": charge.description,
        "unit": charge.unit,
        "meter": charge.meter,
        "calculations": {
            "billed": [item_record(item) for item in difference.billed_items],
            "owed": [item_record(item) for item in difference.owed_items],
        },
    }
    if correction.taxed:
        detail["taxed"] = [
            {"rates": [str(rate.id) for rate in rates], "amount": str(amount)}
            for rates, amount in correction.taxed[charge.key].items()
        ]
    return detail
