"""Reads and builds the month that a statement shows in detail: its items, usage, taxes and the month before it.

Not here: the other months and what the organization owes (`statement_reader`), and how spend is broken down
(`statements.rules.spend`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from decimal import Decimal
from functools import partial, reduce
from itertools import groupby, starmap, zip_longest
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fly_billing.invoicing.rules.line_text import term_working, working
from fly_billing.invoicing.rules.service_periods import ServicePeriod, service_periods
from fly_billing.money import EXACT, exact_sum, plain
from fly_billing.periods import BillingMonth
from fly_billing.postgres.round_trips import PendingRows, RoundTrip, round_trip
from fly_billing.statements.rules.same_days import (
    ItemUntilDay,
    compare_days,
    days_to_compare,
    is_priced_by_unit,
    items_until,
)
from fly_billing.statements.rules.spend import (
    WHOLE_INVOICE_KINDS,
    SpendItem,
    SpendShare,
    UsagePart,
    break_down,
    compare_products,
    total_by_product,
)
from fly_billing.statements.rules.statement import (
    Completeness,
    StatementItem,
    StatementTax,
    UsageSource,
    negotiated_working,
    subscribed_working,
)
from fly_billing.statements.statement_rows import InvoiceRow, ItemRow, RollupRow, SourceRow, TaxRow, check_row
from fly_billing.statements.unreadable_records import RecordReading

if TYPE_CHECKING:
    from fly_billing.postgres.round_trips import AnyConnection

# More files and days than this in a month are no sources: their names differ in more than numbers.
MOST_FILES = 2000
# Up to so many files in a month, reading their paths is cheaper than finding the names among them one by one.
FEW_FILES = 500
DAYS_NOT_KNOWN = "Not compared with the same days of the month before: the days of some usage were not recorded."
NO_COST = "Not compared with the same days of the month before: they cost nothing in both months."

_ITEM, _PLACE = attrgetter("item_id"), attrgetter("app", "region")
_NONE_USED = Decimal(0)
_NO_INVOICE: Mapping[str, Any] = {"invoice_id": None, "as_of": None}


@dataclass(frozen=True)
class ShownMonth:
    """The records of the month that is shown.

    Attributes:
        items, taxes: By invoice. A month has several invoices if one was voided and reissued.
        usage: By item.
        before: The invoice of the month before, for the comparison, and its sums by product.
        same_days: The number of days of which an open month is compared; None: it is final.
        items_before: The items of the month before, with their usage of these days.
        has_unread_usage: Some of the organization's usage of the month was rejected, and nobody fixed or waived it.
    """

    items: Mapping[UUID, Sequence[ItemRow]]
    taxes: Mapping[UUID, Sequence[TaxRow]]
    usage: Mapping[UUID, Sequence[RollupRow]]
    before: InvoiceRow | None
    products_before: Sequence[SpendShare]
    same_days: int | None
    items_before: Sequence[ItemUntilDay]
    completeness: Completeness | None
    has_unread_usage: bool

    @classmethod
    def read(
        cls,
        connection: AnyConnection,
        organization_id: str,
        month: BillingMonth,
        rows: Sequence[InvoiceRow],
        reading: RecordReading,
    ) -> ShownMonth:
        """Read it in one round trip. `rows` are the listed months that can be read, the month before among them."""
        of_month = [row for row in rows if row.is_of(month)]
        before = next((row for row in rows if _can_be_compared(row, month)), None)
        newest = {"invoice_id": of_month[0].id, "as_of": of_month[0].as_of} if of_month else _NO_INVOICE
        with round_trip(connection) as trip:
            asked = {
                row.id: _Asked.of(trip, invoice_id=row.id, organization_id=organization_id)
                for row in of_month
                if row.id
            }
            products = trip.records(
                SpendShare, "products_of_statement", invoice_id=before and before.id, organization_id=organization_id,
                whole_invoice_kinds=[*WHOLE_INVOICE_KINDS],
            )  # fmt: skip
            sources = trip.records(SourceRow, "completeness_of_statement", **newest, few=FEW_FILES, most=MOST_FILES)
            unread = trip.values(
                "is_rejected_usage_unresolved", organization_id=organization_id, first=month.first_day,
                until=month.next().first_day,
            )  # fmt: skip
        completeness = reading.attempt("the completeness of the usage", partial(_completeness, month, sources.all()))
        same_days = _same_days(of_month[0], month, completeness) if of_month and before else None
        return cls(
            items={invoice: answers.items.all() for invoice, answers in asked.items()},
            taxes={invoice: answers.taxes.all() for invoice, answers in asked.items()},
            usage={item: [*rows] for answers in asked.values() for item, rows in groupby(answers.usage.all(), _ITEM)},
            before=before,
            products_before=products.all(),
            same_days=same_days,
            items_before=_items_before(connection, before, organization_id, same_days) if before and same_days else [],
            completeness=completeness,
            has_unread_usage=any(unread.values()),
        )

    def parts(self, row: InvoiceRow, reading: RecordReading) -> dict[str, Any]:
        """Return the parts that an invoice has in the month that is shown: items, taxes, spend and comparison."""
        if row.id is None:
            return {}
        item_rows = self.items.get(row.id, ())
        periods = reading.attempt(f"the times of {row}", lambda: service_periods(item_rows, row.billing_month), row.id)
        items = [
            reading.attempt(item, partial(_item, item, (periods or {}).get(item.id)), row.id) for item in item_rows
        ]
        tax_rows = self.taxes.get(row.id, ())
        taxes = [reading.attempt(f"tax {tax.name} of {row}", partial(_tax, tax), row.id) for tax in tax_rows]
        spent = reading.attempt(f"an item of {row}", lambda: self._spend_items(item_rows, row.billing_month), row.id)
        found = {"items": tuple(item for item in items if item), "taxes": tuple(tax for tax in taxes if tax)}
        # Shares of a total whose items are not all known would be wrong.
        if spent is None or row.id in reading.invoices:
            return found
        return (
            found
            | {
                "spend": reading.attempt(
                    f"usage by day of {row}",
                    lambda: break_down(spent, row.billing_month, row.currency, row.as_of),
                    row.id,
                ),
            }
            | (reading.attempt(f"the month before {row.billing_month}", lambda: self._compare(row, spent)) or {})
        )

    def _spend_items(self, item_rows: Sequence[ItemRow], month: BillingMonth) -> list[SpendItem]:
        first = month.first_day
        days = [first + timedelta(days=n) for n in range(month.days)]
        return [self._spend_item(item, days) for item in item_rows]

    def _spend_item(self, item: ItemRow, days: Sequence[date]) -> SpendItem:
        rollups = self.usage.get(item.id, ())
        return SpendItem(
            kind=item.kind,
            product=item.product,
            organization_id=item.organization_id,
            amount=item.amount,
            amount_cents=item.amount_cents,
            usage=_by_place(rollups),
            daily=_by_day(rollups, days),
            period=item.period,
            occurred_at=item.occurred_at,
            is_by_unit=is_priced_by_unit(item.kind, item.detail),
        )

    def _compare(self, row: InvoiceRow, now: Sequence[SpendItem]) -> dict[str, Any]:
        """Compare with the month before, unless its currency or the organization that pays is another one."""
        before = self.before
        if before is None or (before.currency, before.holder_id) != (row.currency, row.holder_id):
            return {}
        if self.same_days is None or row.status != "open":
            return {"compared": compare_products(total_by_product(now), self.products_before, before.billing_month)}
        if self.same_days == 0:
            return {"not_compared": "Compared with the month before once a day is complete."}
        now_until = items_until(now, self.same_days)
        found = compare_days(now_until, self.items_before, self.same_days, row.billing_month, row.currency)
        if found is None:
            return {"not_compared": DAYS_NOT_KNOWN}
        if not found.by_product:
            return {"not_compared": _left_out(found.left_out) or NO_COST}
        return {"compared": found, "not_compared": _left_out(found.left_out)}


@dataclass(frozen=True)
class _Asked:
    """The answers about an invoice of the month. A statement for each invoice keeps its plan in Postgres."""

    items: PendingRows[ItemRow]
    usage: PendingRows[RollupRow]
    taxes: PendingRows[TaxRow]

    @classmethod
    def of(cls, trip: RoundTrip, **its: Any) -> _Asked:
        return cls(
            items=trip.records(ItemRow, "items_of_statement", **its),
            usage=trip.records(RollupRow, "usage_of_statement", **its),
            taxes=trip.records(TaxRow, "taxes_of_statement", **its),
        )


def _same_days(row: InvoiceRow, month: BillingMonth, completeness: Completeness | None) -> int | None:
    """Return how many days of the month are compared; None if it is not open.

    An invoice without usage is complete for all days before it was calculated.
    """
    if row.status != "open" or row.as_of is None:
        return None
    if completeness is None:
        return days_to_compare(month, row.as_of.astimezone(UTC).date() - timedelta(days=1))
    return days_to_compare(month, completeness.until) if completeness.until else 0


def _items_before(connection: AnyConnection, before: InvoiceRow, organization_id: str, day: int) -> list[ItemUntilDay]:
    with round_trip(connection) as trip:
        items = trip.records(
            _item_until_day, "items_until_day_of_statement", invoice_id=before.id, organization_id=organization_id,
            day=day, whole_invoice_kinds=[*WHOLE_INVOICE_KINDS],
        )  # fmt: skip
    return items.all()


def _item_until_day(kind: str, detail: Any, **columns: Any) -> ItemUntilDay:
    return ItemUntilDay(**columns, is_by_unit=is_priced_by_unit(kind, detail))


def _left_out(products: Sequence[str]) -> str:
    if not products:
        return ""
    whose = "its price depends" if len(products) == 1 else "their prices depend"
    return f"Not compared with the same days: {', '.join(products)}, as {whose} on the usage of the whole month."


def _can_be_compared(row: InvoiceRow, month: BillingMonth) -> bool:
    is_month_before = 12 * row.month.year + row.month.month + 1 == 12 * month.year + month.month
    return is_month_before and row.id is not None and row.status != "void"


def _by_place(rollups: Sequence[RollupRow]) -> list[UsagePart]:
    return [
        UsagePart({"app": app, "region": region}, exact_sum([row.quantity for row in rows]))
        for (app, region), rows in groupby(rollups, _PLACE)
    ]


def _by_day(rollups: Sequence[RollupRow], days: Sequence[date]) -> dict[date | None, Decimal]:
    """Return the usage of each day with usage, in order; under None, at the end, that of rollups without days."""
    # Whole lists are added, not single days.
    totals: Sequence[Decimal] = reduce(_add_days, (row.daily for row in rollups if row.daily), ())
    found: dict[date | None, Decimal] = {day: total for day, total in zip(days, totals, strict=False) if total}
    if without_day := exact_sum([row.quantity for row in rollups if not row.daily]):
        found[None] = without_day
    return found


def _add_days(totals: Sequence[Decimal], daily: Sequence[Decimal]) -> Sequence[Decimal]:
    return [*starmap(EXACT.add, zip_longest(totals, daily, fillvalue=_NONE_USED))] if totals else daily


def _item(row: ItemRow, period: ServicePeriod | None) -> StatementItem:
    check_row(row)
    priced = working(plain(row.quantity), row.unit, row.detail.get("steps", []), row.detail.get("free_allowance_used"))
    fee_or_usage = subscribed_working(row.detail) + priced + negotiated_working(row.detail)
    calculation = term_working(row.kind, row.detail) or fee_or_usage
    return StatementItem(
        product=row.product,
        description=row.description,
        working=calculation,
        amount=plain(row.amount),
        amount_cents=row.amount_cents,
        kind=row.kind,
        organization_id=row.organization_id,
        causes=tuple(row.detail.get("causes", ())),
        period=period,
        is_after_tax=row.detail.get("pays") == "after tax",
        id=str(row.id),
        quantity=plain(row.quantity),
        unit=row.unit,
    )


def _tax(row: TaxRow) -> StatementTax:
    check_row(row)
    return StatementTax(
        row.name, plain(row.percent), row.is_inclusive, row.taxable_cents, row.tax_cents, row.category, row.legal_text
    )


def _completeness(month: BillingMonth, rows: Sequence[SourceRow]) -> Completeness | None:
    """Return how complete the usage was from which the month's newest invoice was calculated; None without usage."""
    if not rows:
        return None
    until = rows[0].complete_until
    return Completeness(
        until=until if until >= month.first_day else None,
        last_day=month.end.date() - timedelta(days=1),
        as_of=rows[0].looked_at,
        sources=tuple(UsageSource(row.name, row.days, row.until) for row in rows if row.name and row.until),
    )
