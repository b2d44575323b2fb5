"""Reads a customer's statement from Postgres: one SQL statement per part, however many items there are.

Stripe is never asked. Keeps out: how spend is shared out (`statements.rules.spend`), how a statement looks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.bounds import problem_of, refuse_incomplete
from fly_billing.invoicing.rules.assembly import invoice_number
from fly_billing.invoicing.rules.line_text import term_working, working
from fly_billing.money import plain
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, Row, rows
from fly_billing.postgres.isolation import ABOUT_A_VALUE, reason_of
from fly_billing.statements.rules.spend import MonthComparison, SpendItem, UsagePart, by_product, compare, spend_of
from fly_billing.statements.rules.statement import (
    STATUS,
    Completeness,
    CreditLeft,
    PayingOrganization,
    Statement,
    StatementInvoice,
    StatementItem,
    StatementTax,
    UsageSource,
    negotiated_working,
)
from fly_billing.stripe_sync.rules.sync_failures import WAITING

# A finalized invoice goes to Stripe within the hour; one that is not there after so long is held up by something.
SYNCED_WITHIN = timedelta(hours=6)


# Columns that may be null in a row that is shown.
_MAY_BE_MISSING = frozenset({"period_start", "period_end", "occurred_at", "legal_text", "expires_at"})

T = TypeVar("T")


class NoSuchOrganization(Exception):
    """The message names organizations that look alike."""


@dataclass
class _Reading:
    """Reads one record after the other, and keeps a sentence for each that can't be read.

    Attributes:
        problems: which row it is, what is wrong with it, and what to do.
        invoices: the invoices (None: no invoice's) of which a record can't be read.
    """

    problems: list[str] = field(default_factory=list)
    invoices: set[UUID | None] = field(default_factory=set)

    def tried(self, what: str, make: Callable[[], T], invoice: UUID | None = None) -> T | None:
        """Return what `make` returns, or None where it meets a value that can't be read. `what` names the row."""
        try:
            return make()
        except ABOUT_A_VALUE as problem:
            sentence = f"{what} can't be read: {reason_of(problem)}. It is left out: correct the row, then ask again."
            if sentence not in self.problems:
                self.problems.append(sentence)
            self.invoices.add(invoice)
            return None


def _checked(row: Row) -> Row:
    """Return the row. Raises ValueError naming the first column that nobody can show or calculate with."""
    refuse_incomplete(row, _MAY_BE_MISSING)
    return row


def read_statement(
    database: BillingDatabase, organization_id: str, now: datetime, month: BillingMonth | None = None
) -> Statement:
    """Read what an organization owes: all its months, with all there is to say of `month` (or of the newest one).

    An organization that another one pays for gets its own lines of that one's invoice. What can't be read is left out
    and named in `problems`. Raises NoSuchOrganization, and ValueError where it has nothing in that month.
    """
    reading = _Reading()
    with database.transaction() as connection:
        found = rows(connection, "organization", id=organization_id)
        if not found:
            raise NoSuchOrganization(no_such(organization_id, rows(connection, "organization_ids")))
        late = {"late_since": now - SYNCED_WITHIN, "waiting": WAITING}
        known = rows(connection, "statement_invoices", organization_id=organization_id, **late)
        invoices = [row for row in known if reading.tried(_name_of(row), partial(_checked_invoice, row))]
        if month and not reading.problems and month not in [_month(row) for row in invoices]:
            raise ValueError(f"{organization_id} has nothing in {month}")
        shown = month or (_month(invoices[0]) if invoices else None)
        detail = _Detail.read(connection, organization_id, invoices, shown, reading)
        credits_left = rows(connection, "credits_of_statement", organization_id=organization_id, now=now)
        newest = [row for row in invoices if _month(row) == shown]
        completeness = reading.tried("how far its usage is in", lambda: _completeness(connection, newest))
    return Statement(
        organization_id=organization_id,
        organization_name=found[0]["name"],
        as_of=now,
        invoices=tuple(_invoice(row, detail) for row in invoices),
        month=None if shown is None else str(shown),
        credits=tuple(_credits(credits_left, reading)),
        completeness=completeness,
        problems=tuple(reading.problems),
    )


def no_such(wanted: str, known: Sequence[Row]) -> str:
    """Say that there is no such organization, and which there are that look alike."""
    alike = [row["id"] for row in known if wanted.lower()[:3] in row["id"]][:5]
    return f"no organization {wanted!r}" + (f"; did you mean {', '.join(alike)}?" if alike else "")


def _name_of(row: Row) -> str:
    return f"invoice {row['id'] or ''} of {row['holder_id']} in {row['month']}".replace("  ", " ")


def _checked_invoice(row: Row) -> Row:
    """Return a month's row. Raises ValueError where what every line of a statement shows can't be read."""
    needed = {name: row[name] for name in ("month", "currency", "status", "total_cents") if row["id"] is not None}
    _checked({**needed, "month": row["month"], "currency": row["currency"]})
    if row["id"] is not None and row["status"] not in STATUS:
        raise ValueError(f"no such status: {row['status']}")
    for name in ("as_of", "due_on", "rolled_up_at"):
        if problem := problem_of(row[name]):
            raise ValueError(f"{name} {problem}")
    return row


def _credits(found: Iterable[Row], reading: _Reading) -> Iterator[CreditLeft]:
    for row in found:
        what = f"credit {row['description']!r}"
        credit = reading.tried(what, partial(_credit, row))
        if credit:
            yield credit


def _credit(row: Row) -> CreditLeft:
    return CreditLeft.of(**_checked(row))


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
    reading: _Reading

    @classmethod
    def read(
        cls,
        connection: Connection,
        organization_id: str,
        invoices: Sequence[Row],
        shown: BillingMonth | None,
        reading: _Reading,
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
            reading=reading,
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

    def compared(self, row: Row, now: Sequence[SpendItem]) -> MonthComparison | None:
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
    reading, invoice = detail.reading, row["id"]
    items = [reading.tried(_item_name(one), partial(_item, one), invoice) for one in _of(detail.items, row, is_shown)]
    taxes = [
        reading.tried(f"tax {one['name']} of {_name_of(row)}", partial(_tax, one), invoice)
        for one in _of(detail.taxes, row, is_shown)
    ]
    spent = reading.tried(f"an item of {_name_of(row)}", lambda: detail.spend_items(row), invoice) if is_shown else None
    # Shares of a sum whose items are not all there would be wrong.
    is_whole = spent is not None and invoice not in reading.invoices
    spend = compared = None
    if spent is not None and is_whole:
        what = f"usage by day of {_name_of(row)}"
        spend = reading.tried(what, lambda: spend_of(spent, _month(row), row["currency"], row["as_of"]), invoice)
        compared = reading.tried(f"the month before {_month(row)}", lambda: detail.compared(row, spent))
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
        items=tuple(item for item in items if item),
        number=invoice_number(row["holder_id"], row["number"]) if row["number"] else None,
        payer=PayingOrganization(row["holder_id"], row["holder_name"]) if row["is_linked"] else None,
        taxes=tuple(tax for tax in taxes if tax),
        spend=spend,
        compared=compared,
    )


def _of(found: Mapping[UUID, Sequence[Row]], row: Row, is_shown: bool) -> Sequence[Row]:
    return found.get(row["id"], ()) if is_shown else ()


def _item_name(row: Row) -> str:
    return f"item {row['id']} ({row['description']})"


def _item(row: Row) -> StatementItem:
    detail = _checked(row)["detail"]
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
    _checked(row)
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
