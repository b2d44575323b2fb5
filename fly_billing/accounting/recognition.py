"""Stores which revenue of final invoices belongs to later months, and compares it with the invoices.

Credit notes at Stripe and void invoices take it back. Not here: how revenue is spread (`accounting.rules.recognition`),
what a credit note takes back (`accounting.rules.credited_revenue`), and closing months (`accounting.periods`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import groupby, islice
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.accounting.rules.credited_revenue import RevenueChange, deferrals_of_changes
from fly_billing.accounting.rules.recognition import RevenueItem, revenue_by_period
from fly_billing.accounting.rules.revenue_sums import (
    DeferralDifference,
    KeptDeferral,
    RevenueSums,
    kept_deferrals,
    unrecognized,
)
from fly_billing.invoicing.rules.service_periods import ServicePeriod, one_off_period
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, copy_rows, lock_until_commit, records
from fly_billing.postgres.isolation import VALUE_ERRORS, UnreadableRow, reason_of

# The advisory lock of everything that stores deferrals or closes a month.
LOCK = "accounting"
# The items of this many invoices are in memory at once.
AT_ONCE = 1000


@dataclass(frozen=True)
class RevenueSource:
    """A change of a final invoice's revenue: it became final or void, or a credit note at Stripe has a new state.

    Attributes:
        invoice_change_id, stripe_money_id: The source; one of them is None.
        posted: Its accounting month.
        note_id, noted_cents, credited_lines: As in `RevenueChange`; the lines as they are stored.
        is_stored: Its deferrals are stored.
    """

    invoice_change_id: int | None
    stripe_money_id: int | None
    invoice_id: UUID
    organization_id: str
    currency: str
    month: date
    posted: date
    contained_tax_cents: int
    is_void: bool
    is_stored: bool
    note_id: str | None = None
    noted_cents: int = 0
    credited_lines: Sequence[Mapping[str, Any]] | None = None

    @property
    def key(self) -> _Key:
        return self.invoice_change_id, self.stripe_money_id, self.organization_id, self.currency

    def as_change(self) -> RevenueChange:
        """Return it for the rules. Raises KeyError, TypeError or ValueError if the lines can't be read."""
        lines = [(_days(line["first_day"], line["end_day"]), int(line["cents"])) for line in self.credited_lines or ()]
        return RevenueChange(_month(self.posted), self.is_void, self.note_id, self.noted_cents, lines)


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
        for _, found in _calculated(connection, some):
            if isinstance(found, UnreadableRow):
                report.failed.append(found)
                continue
            missing = [(source, moved) for source, moved in found if moved and not source.is_stored]
            report.deferred += bool(missing)
            rows += [(at.first_day, *source.key, cents) for source, moved in missing for at, cents in moved.items()]
        columns = ("month", "invoice_change_id", "stripe_money_id", "organization_id", "currency", "amount_cents")
        copy_rows(connection, "revenue_deferrals", columns, rows)
    return report


def deferral_differences(database: BillingDatabase, month: BillingMonth) -> list[DeferralDifference]:
    """Compare the stored deferrals of a month's invoices with those calculated from their items."""
    with database.consistent_read() as connection:
        stored = {(row.key, row.month): row.amount_cents for row in _stored(connection, month)}
        should_be: dict[tuple[_Key, date], int] = {}
        different: list[DeferralDifference] = []
        for some in _batches(_sources(connection, month, only_missing=False)):
            for sources, found in _calculated(connection, some):
                if isinstance(found, UnreadableRow):
                    first, keys = sources[0], {source.key for source in sources}
                    different.append(DeferralDifference.unreadable(first.organization_id, first.currency, found.reason))
                    stored = {each: cents for each, cents in stored.items() if each[0] not in keys}
                else:
                    should_be |= {
                        (source.key, at.first_day): cents for source, moved in found for at, cents in moved.items()
                    }
    return different + [
        DeferralDifference(
            source_key[2], source_key[3], f"{at:%Y-%m}", stored.get((source_key, at)), should_be.get((source_key, at))
        )
        for source_key, at in sorted(stored.keys() | should_be.keys(), key=lambda each: (*map(str, each[0]), each[1]))
        if stored.get((source_key, at)) != should_be.get((source_key, at))
    ]


def recognition_problems(database: BillingDatabase, month: BillingMonth) -> list[dict[str, str]]:
    """Return the rows of the check.

    They are deferrals that differ from the invoices, deferrals that are left of invoices without revenue, and sums
    that are not what was billed.
    """
    different = [each.as_row(month) for each in deferral_differences(database, month)]
    kept = kept_deferrals(month, database.records(KeptDeferral, "deferrals_without_revenue", month=month.first_day))
    return different + kept + unrecognized(month, revenue_sums(database, month))


def revenue_sums(database: BillingDatabase, month: BillingMonth) -> list[RevenueSums]:
    """Return what each organization was billed up to the end of the month, and what of it is recognized."""
    return database.records(RevenueSums, "recognized_revenue", month=month.first_day)


# The source of deferrals, the organization and the currency.
_Key = tuple[int | None, int | None, str, str]


@dataclass(frozen=True)
class _Stored:
    invoice_change_id: int | None
    stripe_money_id: int | None
    organization_id: str
    currency: str
    month: date
    amount_cents: int

    @property
    def key(self) -> _Key:
        return self.invoice_change_id, self.stripe_money_id, self.organization_id, self.currency


def _stored(connection: Connection, month: BillingMonth) -> list[_Stored]:
    return records(connection, _Stored, "stored_deferrals", month=month.first_day)


def _sources(connection: Connection, month: BillingMonth | None, *, only_missing: bool) -> list[RevenueSource]:
    return records(
        connection, RevenueSource, "revenue_sources", month=month.first_day if month else None,
        only_missing=only_missing,
    )  # fmt: skip


def _batches(sources: Sequence[RevenueSource]) -> Iterator[list[list[RevenueSource]]]:
    """Yield the sources of AT_ONCE invoices at a time, as a list for each invoice."""
    invoices = (list(its) for _, its in groupby(sources, lambda source: source.invoice_id))
    while some := list(islice(invoices, AT_ONCE)):
        yield some


def _calculated(
    connection: Connection, invoices: Sequence[Sequence[RevenueSource]]
) -> Iterator[tuple[Sequence[RevenueSource], list[tuple[RevenueSource, dict[BillingMonth, int]]] | UnreadableRow]]:
    """Yield the sources of each invoice, and each of them with what it moves."""
    items: dict[UUID, list[_Item]] = defaultdict(list)
    for item in records(connection, _Item, "revenue_items", invoices=[each[0].invoice_id for each in invoices]):
        items[item.invoice_id].append(item)
    for sources in invoices:
        try:
            yield sources, [*zip(sources, _deferrals_of(sources, items[sources[0].invoice_id]), strict=True)]
        except VALUE_ERRORS as problem:
            yield sources, UnreadableRow(sources[0].organization_id, reason_of(problem))


def _deferrals_of(sources: Sequence[RevenueSource], items: Sequence[_Item]) -> list[dict[BillingMonth, int]]:
    """Return the deferrals of each change of an invoice."""
    first = sources[0]
    invoice = revenue_by_period(
        [item.as_rule() for item in items], _month(first.month), first.currency, first.contained_tax_cents
    )
    return deferrals_of_changes(invoice, [source.as_change() for source in sources])


def _days(first_day: str, end_day: str) -> ServicePeriod:
    start, end = (datetime.combine(date.fromisoformat(day), time(), UTC) for day in (first_day, end_day))
    return ServicePeriod(start, end)


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
