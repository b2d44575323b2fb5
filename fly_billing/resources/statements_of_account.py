"""Reads a customer's statement from Postgres. Stripe is never asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from fly_billing.domain.money import plain
from fly_billing.domain.periods import BillingMonth
from fly_billing.domain.statement import Statement, StatementInvoice, StatementItem, working
from fly_billing.domain.stripe_failures import WAITING
from fly_billing.resources.postgres import BillingDatabase, Row, rows

# A finalized invoice goes to Stripe within the hour; one that is not there after so long is held up by something.
SYNCED_WITHIN = timedelta(hours=6)


class NoSuchOrganization(Exception):
    """The message names organizations that look alike."""


def read_statement(
    database: BillingDatabase, organization_id: str, now: datetime, month: BillingMonth | None = None
) -> Statement:
    """Read what an organization owes: all its months, with the items of `month` (or of the newest one).

    Raises NoSuchOrganization, and ValueError where it has nothing in that month.
    """
    with database.transaction() as connection:
        found = rows(connection, "organization", id=organization_id)
        if not found:
            raise NoSuchOrganization(_no_such(organization_id, rows(connection, "organization_ids")))
        late = {"late_since": now - SYNCED_WITHIN, "waiting": WAITING}
        invoices = rows(connection, "statement_invoices", organization_id=organization_id, **late)
        detailed = month or (_month(invoices[0]) if invoices else None)
        if month and month not in [_month(row) for row in invoices]:
            raise ValueError(f"{organization_id} has nothing in {month}")
        ids = [row["id"] for row in invoices if row["id"] and _month(row) == detailed]
        items = tuple(_item(row) for row in rows(connection, "items_of_statement", ids=ids))
    read = [_invoice(row, items if _month(row) == detailed else ()) for row in invoices]
    return Statement(organization_id, found[0]["name"], now, tuple(read))


def _no_such(wanted: str, known: Sequence[Row]) -> str:
    alike = [row["id"] for row in known if wanted.lower()[:3] in row["id"]][:5]
    return f"no organization {wanted!r}" + (f"; did you mean {', '.join(alike)}?" if alike else "")


def _month(row: Row) -> BillingMonth:
    return BillingMonth(row["month"].year, row["month"].month)


def _invoice(row: Row, items: tuple[StatementItem, ...]) -> StatementInvoice:
    return StatementInvoice(
        month=str(_month(row)),
        status=row["status"] or "not computed",
        currency=row["currency"],
        total_cents=row["total_cents"],
        as_of=row["as_of"],
        due_on=row["due_on"],
        stripe_invoice_id=row["stripe_invoice_id"],
        hosted_invoice_url=row["hosted_invoice_url"],
        trouble=row["trouble"],
        items=items,
    )


def _item(row: Row) -> StatementItem:
    detail = row["detail"]
    quantity = plain(row["quantity"])
    return StatementItem(
        product=row["product"],
        description=row["description"],
        working=working(quantity, row["unit"], detail.get("steps", []), detail.get("free_allowance_used")),
        amount=plain(row["amount"]),
        amount_cents=row["amount_cents"],
    )
