"""Reads a customer's statement from Postgres: one SQL statement per part, however many items there are.

Stripe is never asked. Keeps out: how spend is shared out (`domain.spend`), how a statement looks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.domain.invoices import invoice_number
from fly_billing.domain.money import plain
from fly_billing.domain.periods import BillingMonth
from fly_billing.domain.spend import Comparison, SpendItem, UsagePart, by_product, compare, spend_of
from fly_billing.domain.statement import (
    Completeness,
    CreditLeft,
    Payer,
    Statement,
    StatementInvoice,
    StatementItem,
    StatementTax,
    UsageSource,
    negotiated_working,
    term_working,
    working,
)
from fly_billing.domain.stripe_failures import WAITING
from fly_billing.resources.postgres import BillingDatabase, Row, rows

# A finalized invoice goes to Stripe within the hour; one that is not there after so long is held up by something.
SYNCED_WITHIN = timedelta(hours=6)


class NoSuchOrganization(Exception):
    """The message names organizations that look alike."""


def read_statement(
    database: BillingDatabase, organization_id: str, now: datetime, month: BillingMonth | None = None
) -> Statement:
    """Read what an organization owes: all its months, with all there is to say of `month` (or of the newest one).

    An organization that another one pays for gets its own lines of that one's invoice. Raises NoSuchOrganization, and
    ValueError where it has nothing in that month.
    """
    with database.transaction() as connection:
        found = rows(connection, "organization", id=organization_id)
        if not found:
            raise NoSuchOrganization(no_such(organization_id, rows(connection, "organization_ids")))
        late = {"late_since": now - SYNCED_WITHIN, "waiting": WAITING}
        invoices = rows(connection, "statement_invoices", organization_id=organization_id, **late)
        if month and month not in [_month(row) for row in invoices]:
            raise ValueError(f"{organization_id} has nothing in {month}")
        shown = month or (_month(invoices[0]) if invoices else None)
        detail = _Detail.read(connection, organization_id, invoices, shown)
        credits_left = rows(connection, "credits_of_statement", organization_id=organization_id, now=now)
        completeness = _completeness(connection, [row for row in invoices if _month(row) == shown])
    return Statement(
        organization_id=organization_id,
        organization_name=found[0]["name"],
        as_of=now,
        invoices=tuple(_invoice(row, detail) for row in invoices),
        month=None if shown is None else str(shown),
        credits=tuple(CreditLeft.of(**row) for row in credits_left),
        completeness=completeness,
    )


def no_such(wanted: str, known: Sequence[Row]) -> str:
    """Say that there is no such organization, and which there are that look alike."""
    alike = [row["id"] for row in known if wanted.lower()[:3] in row["id"]][:5]
    return f"no organization {wanted!r}" + (f"; did you mean {', '.join(alike)}?" if alike else "")


def _month(row: Row) -> BillingMonth:
    return BillingMonth(row["month"].year, row["month"].month)


@dataclass(frozen=True)
class _Detail:
    """What was read of the month that is shown, and of the one before it to compare with. By invoice, by item."""

    shown: BillingMonth | None
    items: Mapping[UUID, Sequence[Row]]
    usage: Mapping[UUID, Sequence[UsagePart]]
    daily: Mapping[UUID, Sequence[Row]]
    taxes: Mapping[UUID, Sequence[Row]]
    before: Row | None

    @classmethod
    def read(
        cls, connection: Connection, organization_id: str, invoices: Sequence[Row], shown: BillingMonth | None
    ) -> _Detail:
        now = [row["id"] for row in invoices if row["id"] and _month(row) == shown]
        last = [row for row in invoices if row["id"] and row["status"] != "void" and _month(row).next() == shown]
        ids = [*now, *(row["id"] for row in last)]
        items = _by("invoice_id", rows(connection, "items_of_statement", ids=ids, organization_id=organization_id))
        wanted = [item["id"] for invoice in now for item in items[invoice]]
        usage = _by("item_id", rows(connection, "usage_of_statement", items=wanted))
        return cls(
            shown=shown,
            items=items,
            usage={item: [_usage_part(row) for row in parts] for item, parts in usage.items()},
            daily=_by("item_id", rows(connection, "daily_usage_of_statement", items=wanted)),
            taxes=_by("invoice_id", rows(connection, "taxes_of_statement", ids=now, organization_id=organization_id)),
            before=last[0] if last else None,
        )

    def spend_items(self, row: Row) -> list[SpendItem]:
        return [self._spend_item(item, _month(row)) for item in self.items[row["id"]]]

    def _spend_item(self, item: Row, month: BillingMonth) -> SpendItem:
        first_day = month.first_day
        days = {
            None if one["day"] is None else first_day + timedelta(days=one["day"] - 1): one["quantity"]
            for one in self.daily.get(item["id"], ())
        }
        return SpendItem(
            kind=item["kind"],
            product=item["product"],
            organization_id=item["organization_id"],
            amount=item["amount"],
            amount_cents=item["amount_cents"],
            usage=self.usage.get(item["id"], ()),
            daily=days,
            period=(item["period_start"], item["period_end"]) if item["period_start"] else None,
            occurred_at=item["occurred_at"],
        )

    def compared(self, row: Row, now: Sequence[SpendItem]) -> Comparison | None:
        """Compare with the month before; not across currencies, nor an own invoice with a part of the payer's."""
        before = self.before
        if before is None or any(before[name] != row[name] for name in ("currency", "holder_id")):
            return None
        return compare(by_product(now), by_product(self.spend_items(before)), _month(before))


def _by(name: str, found: Iterable[Row]) -> Mapping[UUID, Sequence[Row]]:
    grouped: dict[UUID, list[Row]] = defaultdict(list)
    for row in found:
        grouped[row[name]].append(row)
    return grouped


def _usage_part(row: Row) -> UsagePart:
    return UsagePart({"app": row["app"], "region": row["region"]}, row["quantity"])


def _invoice(row: Row, detail: _Detail) -> StatementInvoice:
    is_shown = row["id"] is not None and _month(row) == detail.shown
    items = detail.items[row["id"]] if is_shown else ()
    spent = detail.spend_items(row) if is_shown else []
    return StatementInvoice(
        month=str(_month(row)),
        status=row["status"] or "not computed",
        currency=row["currency"],
        total_cents=row["total_cents"] if row["id"] else None,
        as_of=row["as_of"],
        due_on=row["due_on"],
        stripe_invoice_id=row["stripe_invoice_id"],
        hosted_invoice_url=row["hosted_invoice_url"],
        trouble=row["trouble"],
        items=tuple(_item(item) for item in items),
        number=invoice_number(row["holder_id"], row["number"]) if row["number"] else None,
        payer=Payer(row["holder_id"], row["holder_name"]) if row["is_linked"] else None,
        taxes=tuple(_tax(tax) for tax in detail.taxes[row["id"]]) if is_shown else (),
        spend=spend_of(spent, _month(row), row["currency"], row["as_of"]) if is_shown else None,
        compared=detail.compared(row, spent) if is_shown else None,
    )


def _item(row: Row) -> StatementItem:
    detail = row["detail"]
    quantity = plain(row["quantity"])
    return StatementItem(
        product=row["product"],
        description=row["description"],
        working=term_working(row["kind"], detail)
        or working(quantity, row["unit"], detail.get("steps", []), detail.get("free_allowance_used"))
        + negotiated_working(detail),
        amount=plain(row["amount"]),
        amount_cents=row["amount_cents"],
        kind=row["kind"],
        organization_id=row["organization_id"],
        causes=tuple(detail.get("causes", ())),
    )


def _tax(row: Row) -> StatementTax:
    return StatementTax(
        row["name"], plain(row["percent"]), row["is_inclusive"], row["taxable_cents"], row["tax_cents"],
        row["category"], row["legal_text"],
    )  # fmt: skip


def _completeness(connection: Connection, shown: Sequence[Row]) -> Completeness | None:
    """Say how far the usage is in that the month's invoice (the newest one) was worked out from."""
    row = shown[0] if shown else None
    if row is None or row["lake_version"] is None:
        return None
    first, last = row["month"], min(row["rolled_up_at"], row["as_of"]).date()
    (found,) = rows(connection, "usage_complete_until", first=first, last=last, lake_version=row["lake_version"])
    sources = rows(connection, "usage_sources", first=first, last=last)
    until = found["until"] if found["until"] >= first else None
    last_day = _month(row).end.date() - timedelta(days=1)
    return Completeness(until, last_day, tuple(UsageSource(**source) for source in sources))
