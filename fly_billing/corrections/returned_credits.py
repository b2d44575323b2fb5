"""Reads which credits paid a final invoice and its corrections, and finds what goes back to them.

Keeps out: how much that is (`corrections.rules.returned_credits`), and booking it (`adjustments`; the ledger by the
database).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.corrections.rules.differences import Difference
from fly_billing.corrections.rules.returned_credits import CreditsUsed, credit_differences, thing_of_credit_key
from fly_billing.invoicing.rules.draft import InvoiceInProgress
from fly_billing.invoicing.rules.inputs import CREDITABLE, CreditGrant
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import EXACT
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import Row, rows
from fly_billing.pricing.rules.fields import read_match
from fly_billing.pricing.rules.scope import Scope


def paid_by_credit(connection: Connection, invoices: Collection[UUID]) -> set[UUID]:
    """Return those of these invoices of which credit paid something, or something of a correction."""
    return {row["id"] for row in rows(connection, "invoices_paid_by_credit", invoices=list(invoices))}


def find_returned_credits(
    connection: Connection, invoice_id: UUID, draft: InvoiceInProgress, month: BillingMonth
) -> list[Difference]:
    """Return what goes back to credits where the final invoice should have been `draft`. Writes nothing."""
    elsewhere = rows(connection, "credit_paid_elsewhere", invoice_id=invoice_id)
    billed = [_item(row) for row in rows(connection, "items_that_credits_paid", invoice_id=invoice_id)]
    used = {row["grant_id"] for row in elsewhere}
    used |= {item.credit_grant_id for item in [*billed, *draft.items] if item.credit_grant_id}
    if not used:
        return []
    grants = [_grant(row) for row in rows(connection, "credit_terms", ids=list(used))]
    return credit_differences(billed, draft, month, _used(grants, elsewhere))


def _used(grants: list[CreditGrant], elsewhere: list[Row]) -> CreditsUsed:
    amounts: dict[tuple[UUID, str], Decimal] = defaultdict(Decimal)
    fees: dict[tuple[UUID, str], Decimal] = defaultdict(Decimal)
    for row in elsewhere:
        thing, is_fee = thing_of_credit_key(row["key"]) if row["is_credit"] else (row["key"], False)
        if is_fee and row["is_returned"]:
            fees[row["grant_id"], thing] = EXACT.add(fees[row["grant_id"], thing], row["amount"])
        sign = EXACT.minus if row["is_returned"] else EXACT.plus
        if not (is_fee and row["is_returned"]):
            amounts[row["grant_id"], thing] = EXACT.add(amounts[row["grant_id"], thing], sign(row["amount"]))
    return CreditsUsed(grants, amounts, fees)


def _item(row: Row) -> InvoiceItem:
    return InvoiceItem(**dict(row) | {"match": read_match(row)})


def _grant(row: Row) -> CreditGrant:
    return CreditGrant(**dict(row) | {"scope": Scope.from_data(row["scope"], CREDITABLE)})
