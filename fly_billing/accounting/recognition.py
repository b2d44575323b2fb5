"""Stores which revenue of final invoices belongs to later months, and compares it with the invoices.

Not here: how revenue is spread (`accounting.rules.recognition`), and closing months (`accounting.periods`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.accounting.rules.recognition import RevenueItem, deferrals, negated, revenue_by_period
from fly_billing.accounting.rules.revenue_sums import DeferralDifference, RevenueSums, unrecognized
from fly_billing.invoicing.rules.service_periods import one_off_period
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, copy_rows, lock_until_commit, records
from fly_billing.postgres.isolation import VALUE_ERRORS, UnreadableRow, reason_of

# The advisory lock of everything that stores deferrals or closes a month.
LOCK = "accounting"
# The items of this many invoices are in memory at once.
AT_ONCE = 1000


@dataclass(frozen=True)
class RevenueSource:
    """A change by which an invoice became final or void. `posted` is its accounting month."""

    invoice_change_id: int
    invoice_id: UUID
    organization_id: str
    currency: str
    month: date
    is_void: bool
    posted: date
    contained_tax_cents: int


@dataclass
class DeferralReport:
    """The outcome of `defer_revenue`: how many invoices were deferred, and those that can't be read."""

    deferred: int = 0
    failed: list[UnreadableRow] = field(default_factory=list)


def defer_revenue(database: BillingDatabase, month: BillingMonth | None = None) -> DeferralReport:
    """Store the deferrals of invoices that have none, of one billed month or of all. Repeating it changes nothing."""
    with database.transaction() as connection:
        lock_until_commit(connection, LOCK)
        return defer_missing(connection, month)


def defer_missing(connection: Connection, month: BillingMonth | None = None) -> DeferralReport:
    """Do as `defer_revenue` in this transaction, which must have the lock."""
    report = DeferralReport()
    for some in _batches(_sources(connection, month, only_missing=True)):
        rows = []
        for source, found in _calculated(connection, some):
            if isinstance(found, UnreadableRow):
                report.failed.append(found)
            elif found:
                report.deferred += 1
                rows += [_row(source, at, cents) for at, cents in found.items()]
        columns = ("month", "invoice_change_id", "organization_id", "currency", "amount_cents")
        copy_rows(connection, "revenue_deferrals", columns, rows)
    return report


def deferral_differences(database: BillingDatabase, month: BillingMonth) -> list[DeferralDifference]:
    """Compare the stored deferrals of a month's invoices with those calculated from their items."""
    with database.consistent_read() as connection:
        stored = records(connection, _Stored, "stored_deferrals", month=month.first_day)
        should_be: dict[tuple[int, str, str, date], int] = {}
        different: list[DeferralDifference] = []
        for some in _batches(_sources(connection, month, only_missing=False)):
            for source, found in _calculated(connection, some):
                if isinstance(found, UnreadableRow):
                    different.append(
                        DeferralDifference.unreadable(source.organization_id, source.currency, found.reason)
                    )
                    stored = [row for row in stored if row.invoice_change_id != source.invoice_change_id]
                else:
                    key = (source.invoice_change_id, source.organization_id, source.currency)
                    should_be |= {(*key, at.first_day): cents for at, cents in found.items()}
    is_stored = {row.key: row.amount_cents for row in stored}
    return different + [
        DeferralDifference(key[1], key[2], f"{key[3]:%Y-%m}", is_stored.get(key), should_be.get(key))
        for key in sorted(is_stored.keys() | should_be.keys())
        if is_stored.get(key) != should_be.get(key)
    ]


def recognition_problems(database: BillingDatabase, month: BillingMonth) -> list[dict[str, str]]:
    """Return the rows of the check: deferrals that differ from the invoices, and sums that are not what was billed."""
    different = [each.as_row(month) for each in deferral_differences(database, month)]
    return different + unrecognized(month, revenue_sums(database, month))


def revenue_sums(database: BillingDatabase, month: BillingMonth) -> list[RevenueSums]:
    """Return what each organization was billed up to the end of the month, and what of it is recognized."""
    return database.records(RevenueSums, "recognized_revenue", month=month.first_day)


@dataclass(frozen=True)
class _Stored:
    invoice_change_id: int
    organization_id: str
    currency: str
    month: date
    amount_cents: int

    @property
    def key(self) -> tuple[int, str, str, date]:
        return self.invoice_change_id, self.organization_id, self.currency, self.month


def _row(source: RevenueSource, month: BillingMonth, cents: int) -> tuple[date, int, str, str, int]:
    return month.first_day, source.invoice_change_id, source.organization_id, source.currency, cents


def _sources(connection: Connection, month: BillingMonth | None, *, only_missing: bool) -> list[RevenueSource]:
    return records(
        connection, RevenueSource, "revenue_sources", month=month.first_day if month else None,
        only_missing=only_missing,
    )  # fmt: skip


def _batches(sources: Sequence[RevenueSource]) -> Iterator[Sequence[RevenueSource]]:
    for start in range(0, len(sources), AT_ONCE):
        yield sources[start : start + AT_ONCE]


def _calculated(
    connection: Connection, sources: Sequence[RevenueSource]
) -> Iterator[tuple[RevenueSource, dict[BillingMonth, int] | UnreadableRow]]:
    items: dict[UUID, list[_Item]] = defaultdict(list)
    for item in records(connection, _Item, "revenue_items", invoices=[source.invoice_id for source in sources]):
        items[item.invoice_id].append(item)
    for source in sources:
        try:
            yield source, _deferrals_of(source, items[source.invoice_id])
        except VALUE_ERRORS as problem:
            yield source, UnreadableRow(source.organization_id, reason_of(problem))


def _deferrals_of(source: RevenueSource, items: Sequence[_Item]) -> dict[BillingMonth, int]:
    revenue = revenue_by_period(
        [item.as_rule() for item in items], _month(source.month), source.currency, source.contained_tax_cents
    )
    return deferrals(negated(revenue) if source.is_void else revenue, _month(source.posted))


def _month(first: date) -> BillingMonth:
    return BillingMonth(first.year, first.month)


@dataclass(frozen=True)
class _Item:
    invoice_id: UUID
    id: UUID
    kind: str
    amount: Decimal
    amount_cents: int
    detail: Any
    period_start: datetime | None
    period_end: datetime | None
    interval_start: datetime | None
    interval_end: datetime | None
    one_off_item_id: UUID | None
    occurred_at: datetime | None
    credits: list[UUID]
    is_payment: bool

    def as_rule(self) -> RevenueItem:
        sold = None
        if self.one_off_item_id is not None and self.occurred_at is not None:
            sold = one_off_period(self.one_off_item_id, self.occurred_at, self.credits)
        return RevenueItem(
            self.id, self.kind, self.amount, self.amount_cents, self.detail, self.is_payment, sold,
            self.period_start, self.period_end, self.interval_start, self.interval_end,
        )  # fmt: skip
