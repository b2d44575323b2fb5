"""Reads which credits paid a final invoice and its adjustments, and finds the amounts to return to them.

Not here: the rules (`corrections.rules.returned_credits`), booking (`adjustments`; the database keeps the ledger).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.corrections.rules.differences import Difference
from fly_billing.corrections.rules.returned_credits import CreditsUsed, credit_differences, thing_of_credit_key
from fly_billing.invoicing.rules.inputs import CREDITABLE, CreditGrant
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import EXACT
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import records, rows
from fly_billing.pricing.rules.fields import read_match
from fly_billing.pricing.rules.scope import Scope


@dataclass(frozen=True, slots=True)
class _CreditPart:
    """A part that a credit paid of an adjustment on another invoice, or that a correction returned to the credit.

    Attributes:
        key: The adjustment's charge; a credit's own key if `is_credit`.
        is_returned: A correction returned the part.
    """

    grant_id: UUID
    key: str
    is_credit: bool
    is_returned: bool
    amount: Decimal


def paid_by_credit(connection: Connection, invoices: Collection[UUID]) -> set[UUID]:
    """Return the invoices that credits paid in part, themselves or on one of their adjustments."""
    return {row["id"] for row in rows(connection, "invoices_paid_by_credit", invoices=list(invoices))}


def find_returned_credits(
    connection: Connection, invoice_id: UUID, recalculated: InvoiceInProgress, month: BillingMonth
) -> list[Difference]:
    """Return the amounts to return to credits if the final invoice should equal `recalculated`. Writes nothing."""
    parts = records(connection, _CreditPart, "credit_paid_elsewhere", invoice_id=invoice_id)
    billed = [_item_of(dict(row)) for row in rows(connection, "items_that_credits_paid", invoice_id=invoice_id)]
    used = {part.grant_id for part in parts}
    used |= {item.credit_grant_id for item in [*billed, *recalculated.items] if item.credit_grant_id}
    if not used:
        return []
    grants = [credit_grant_of(**row) for row in rows(connection, "credit_terms", ids=list(used))]
    return credit_differences(billed, recalculated, month, _credits_used(grants, parts))


def _credits_used(grants: list[CreditGrant], parts: list[_CreditPart]) -> CreditsUsed:
    amounts: dict[tuple[UUID, str], Decimal] = defaultdict(Decimal)
    fees: dict[tuple[UUID, str], Decimal] = defaultdict(Decimal)
    for part in parts:
        thing, is_fee = thing_of_credit_key(part.key) if part.is_credit else (part.key, False)
        at = part.grant_id, thing
        if is_fee and part.is_returned:
            fees[at] = EXACT.add(fees[at], part.amount)
        else:
            amounts[at] = EXACT.add(amounts[at], EXACT.minus(part.amount) if part.is_returned else part.amount)
    return CreditsUsed(grants, amounts, fees)


def _item_of(fields: dict[str, Any]) -> InvoiceItem:
    return InvoiceItem(**fields | {"match": read_match(fields)})


def credit_grant_of(*, scope: Any, **fields: Any) -> CreditGrant:
    """Make a credit from the columns of `credit_grants`."""
    return CreditGrant(**fields, scope=Scope.from_data(scope, CREDITABLE))
