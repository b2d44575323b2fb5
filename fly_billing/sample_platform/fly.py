"""The organization Fly and its two invoices: one paid in an earlier system, one still open."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import uuid5

from sqlalchemy import Connection

from fly_billing.corrections.correction import Actor
from fly_billing.invoicing.bill_run import bill
from fly_billing.invoicing.group_members import groups_by_organization
from fly_billing.invoicing.month_closing import Terms
from fly_billing.invoicing.rules.assembly import assemble_invoice
from fly_billing.invoicing.rules.inputs import InvoiceInputs, Member, OneOffItem
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.pricing.rules.prices import PriceBook
from fly_billing.sample_platform.contracts import SAMPLE, SampleCharge
from fly_billing.sample_platform.organizations import Organization
from fly_billing.sample_platform.records import add_charges, run
from fly_billing.sample_platform.window import GRACE
from fly_billing.usage.rollups import roll_up
from fly_billing.usage.usage_table import UsageTable

FLY = Organization("fly", "Fly", datetime(2023, 5, 1, tzinfo=UTC), size=0)
STRIPE_CUSTOMER = "cus_1234"
PAID_MONTH = BillingMonth(2023, 5)
OPEN_MONTH = BillingMonth(2023, 6)
# The earlier system made one item per kind of usage and month, in cents.
ITEMS = {
    PAID_MONTH: (("VM usage", 1100), ("VM Network usage", 2210)),
    OPEN_MONTH: (("VM usage", 1200), ("VM Network usage", 2345)),
}
TERMS = Terms(grace=GRACE, due_days=14)


def add_fly(connection: Connection, actor: Actor) -> None:
    """Add the earlier system's charges of both months, and its paid invoice of May 2023."""
    add_charges(connection, actor, [charge for month in ITEMS for charge in _charges(month)])
    one_offs = [OneOffItem(charge.id, charge.description, charge.amount, "USD") for charge in _charges(PAID_MONTH)]
    member = Member(FLY.id, PriceBook([]), one_offs=one_offs)
    invoice = assemble_invoice(InvoiceInputs(FLY.id, "USD", PAID_MONTH, [member]))
    values = {
        "id": invoice.id,
        "organization_id": FLY.id,
        "month": PAID_MONTH.first_day,
        "currency": invoice.currency,
        "amount": invoice.amount,
        "total_cents": invoice.total_cents,
        "computed_at": PAID_MONTH.end,
    }
    if not run(connection, "add_imported_invoice", values):
        return
    names = (
        "id", "kind", "organization_id", "product", "description", "quantity", "unit", "amount", "amount_cents",
        "one_off_item_id",
    )  # fmt: skip
    items = [
        {name: getattr(item, name) for name in names} | {"invoice_id": invoice.id, "position": position}
        for position, item in enumerate(invoice.items, start=1)
    ]
    run(connection, "add_imported_items", items)
    due = {"id": invoice.id, "finalized_at": PAID_MONTH.end, "due_on": date(2023, 6, 1)}
    run(connection, "finalize_imported_invoice", due)
    run(connection, "settle_imported_invoice", {"id": invoice.id, "paid_at": PAID_MONTH.end + timedelta(hours=9)})


def _charges(month: BillingMonth) -> list[SampleCharge]:
    return [
        SampleCharge(
            uuid5(SAMPLE, f"fly|{month}|{text}"),
            FLY.id,
            text,
            Decimal(cents).scaleb(-2),
            month.end - timedelta(hours=1),
        )
        for text, cents in ITEMS[month]
    ]


def compute_open_invoice(database: BillingDatabase, usage_table: UsageTable, now: datetime) -> None:
    """Bill June 2023 like every month, without finalizing it. An invoice that is final already does not change."""
    groups = [groups_by_organization(database)[FLY.id]]
    roll_up(database, usage_table, OPEN_MONTH, groups, now)
    bill(database, OPEN_MONTH, groups, TERMS, now, run_id="seed", finalize=False)
