"""Reads what a month's invoices are made of, has the domain assemble them, writes and finalizes them.

Set-based: a handful of statements and COPYs for a whole month, none per organization (but for failures, which are
few). Keeps out: how amounts come about (`domain.invoices`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.domain.errors import BillingError, not_computable
from fly_billing.domain.invoices import Invoice, OneOffItem, Subscription, UsageRollup, assemble_invoice
from fly_billing.domain.periods import BillingMonth
from fly_billing.domain.prices import PriceBook
from fly_billing.resources.postgres import BillingDatabase, Row, copy_rows, lock_until_commit, rows
from fly_billing.resources.price_books import read_price_books

T = TypeVar("T", UsageRollup, Subscription, OneOffItem)

INVOICE_COLUMNS = (
    "id", "organization_id", "month", "revision", "origin", "status", "currency", "amount", "total_cents",
    "usage_snapshot_id", "computed_at",
)  # fmt: skip
ITEM_COLUMNS = (
    "id", "invoice_id", "position", "kind", "product", "description", "quantity", "unit", "amount", "amount_cents",
    "price_id", "subscription_id", "one_off_item_id", "detail",
)  # fmt: skip


@dataclass(frozen=True)
class Terms:
    """A month is closed `grace` after its end; its invoices are due `due_days` after they were finalized."""

    grace: timedelta
    due_days: int


class UsageNotLanded(Exception):
    """A month can't be closed: usage that counts may still lie in a landing folder. Nothing was changed."""


@dataclass(frozen=True)
class Failure:
    """One organization that could not be billed."""

    organization_id: str
    error: BillingError


@dataclass(frozen=True)
class Billed:
    """What a run did: invoices computed (and finalized, where the month is closed), left alone, and failed."""

    invoices: list[Invoice]
    finalized: bool
    already_final: list[str]
    failures: list[Failure]


def bill(
    database: BillingDatabase,
    month: BillingMonth,
    groups: Sequence[str],
    terms: Terms,
    now: datetime,
    run_id: str = "by hand",
    finalize: bool = True,
    unlanded_days: Sequence[date] = (),
) -> Billed:
    """Compute the month's invoices of these groups, and finalize them once the month's grace period is over.

    An organization that can't be billed is recorded with the reason and leaves the others billed. A finalized
    invoice is left as it is. Raises UsageNotLanded where a month would be closed before all its usage was landed;
    `unlanded_days` are landing days of which the caller knows that their folders hold files that were not.
    """
    closing = finalize and month.is_closed(now, terms.grace)
    with database.transaction() as connection:
        if closing:
            lock_until_commit(connection, "land_usage")  # a landing on its way is waited for
        lock_until_commit(connection, f"usage_rollups {month}")
        lock_until_commit(connection, "invoices")  # all months: an item that came late may go on any open one
        if closing:
            _refuse_unlanded_days(connection, month, terms, unlanded_days)
        organizations = rows(
            connection, "billed_organizations", groups=list(groups), month=month.first_day, month_end=month.end
        )
        final = [row["id"] for row in organizations if row["invoice_status"] not in (None, "open")]
        to_bill = [row for row in organizations if row["invoice_status"] in (None, "open")]
        complete = _complete_usage(connection, month, terms) if closing else None
        invoices, failures = _assemble(connection, month, to_bill, complete)
        _write(connection, invoices, {row["id"]: row["snapshot_id"] for row in to_bill}, now)
        if closing:
            rows(connection, "finalize_computed", now=now, due_on=(now + timedelta(days=terms.due_days)).date())
        _record(connection, month, invoices, failures, run_id, now)
    return Billed(invoices, closing, final, failures)


@dataclass(frozen=True)
class _CompleteUsage:
    """From when on, and from which version of the usage table on, a rollup has all usage of a month that is closed."""

    closed_at: datetime
    lake_version: int


def _complete_usage(connection: Connection, month: BillingMonth, terms: Terms) -> _CompleteUsage:
    (row,) = rows(connection, "last_landing", first=month.first_day, last=month.last_landing_day(terms.grace))
    return _CompleteUsage(month.closes_at(terms.grace), row["lake_version"])


def _refuse_unlanded_days(
    connection: Connection, month: BillingMonth, terms: Terms, unlanded_days: Sequence[date]
) -> None:
    first, last = month.first_day, month.last_landing_day(terms.grace)
    found = {row["day"] for row in rows(connection, "days_not_landed", first=first, last=last)}
    found |= {row["day"] for row in rows(connection, "days_worth_landing_again") if first <= row["day"] <= last}
    found |= {day for day in unlanded_days if first <= day <= last}
    if found:
        named = ", ".join(str(day) for day in sorted(found)[:5]) + (", ..." if len(found) > 5 else "")
        raise UsageNotLanded(
            f"{month} can't be closed: {len(found)} landing days have usage that was not landed, or were not landed"
            f" since they ended ({named}): materialize usage_events for them, then bill the month again"
        )


def _assemble(
    connection: Connection, month: BillingMonth, organizations: Sequence[Row], complete: _CompleteUsage | None
) -> tuple[list[Invoice], list[Failure]]:
    ids = [row["id"] for row in organizations]
    span = {"month_start": month.start, "month_end": month.end}
    snapshots = [row["snapshot_id"] for row in organizations if row["snapshot_id"]]
    rollups = _grouped(rows(connection, "rollups_to_price", snapshots=snapshots), UsageRollup)
    subscriptions = _grouped(rows(connection, "subscriptions_to_bill", organizations=ids, **span), Subscription)
    one_offs = _grouped(
        rows(connection, "one_off_items_to_bill", organizations=ids, month=month.first_day, **span), OneOffItem
    )
    books = {name: PriceBook(prices) for name, prices in read_price_books(connection).items()}
    invoices, failures = [], []
    for row in organizations:
        name = row["id"]
        try:
            _refuse_incomplete_usage(row, month, complete)
            book = books.get(row["price_book"], PriceBook([]))
            invoices.append(
                assemble_invoice(name, row["currency"], month, rollups[name], subscriptions[name], one_offs[name], book)
            )
        except BillingError as error:
            failures.append(Failure(name, error))
    return invoices, failures


def _grouped(found: Iterable[Row], kind: type[T]) -> Mapping[str, list[T]]:
    grouped: dict[str, list[T]] = defaultdict(list)
    for row in found:
        fields = dict(row)
        grouped[fields.pop("organization_id")].append(kind(**fields))
    return grouped


def _refuse_incomplete_usage(row: Row, month: BillingMonth, complete: _CompleteUsage | None) -> None:
    """An invoice without its usage would be too low, and a finalized one for ever: better none."""
    if row["snapshot_id"] is None:
        raise not_computable(
            "usage_not_rolled_up",
            f"usage_rollups has no {month} of {row['id']}: materialize it, then invoices",
            retryable=True,
        )
    if complete and (row["rolled_up_at"] < complete.closed_at or row["lake_version"] < complete.lake_version):
        raise not_computable(
            "usage_rolled_up_too_early",
            f"usage_rollups of {month} is from {row['rolled_up_at']:%Y-%m-%d %H:%M}Z and version {row['lake_version']}"
            f" of the usage table; all of the month's usage is there from {complete.closed_at:%Y-%m-%d %H:%M}Z and"
            f" version {complete.lake_version} on: materialize it again, then invoices",
            retryable=True,
        )


def _write(
    connection: Connection, invoices: Sequence[Invoice], snapshots: Mapping[str, UUID | None], now: datetime
) -> None:
    rows(connection, "make_computed")
    copy_rows(connection, "computed_invoices", INVOICE_COLUMNS, (_invoice_row(one, snapshots, now) for one in invoices))
    copy_rows(connection, "computed_items", ITEM_COLUMNS, (row for one in invoices for row in _item_rows(one)))
    links = ((one.id, rollup, item.id) for one in invoices for item in one.items for rollup in item.rollup_ids)
    copy_rows(connection, "computed_item_rollups", ("invoice_id", "rollup_id", "item_id"), links)
    rows(connection, "drop_items_of_computed")
    rows(connection, "replace_open_invoices")
    rows(connection, "add_computed_items")
    rows(connection, "add_computed_item_rollups")


def _invoice_row(invoice: Invoice, snapshots: Mapping[str, UUID | None], now: datetime) -> tuple[Any, ...]:
    return (
        invoice.id, invoice.organization_id, invoice.month.first_day, invoice.revision, "billed", "open",
        invoice.currency, invoice.amount, invoice.total_cents, snapshots[invoice.organization_id], now,
    )  # fmt: skip


def _item_rows(invoice: Invoice) -> Iterator[tuple[Any, ...]]:
    for position, item in enumerate(invoice.items, start=1):
        yield (
            item.id, invoice.id, position, item.kind, item.product, item.description, item.quantity, item.unit,
            item.amount, item.amount_cents, item.price_id, item.subscription_id, item.one_off_item_id,
            json.dumps(item.detail),
        )  # fmt: skip


def _record(
    connection: Connection,
    month: BillingMonth,
    invoices: Sequence[Invoice],
    failures: Sequence[Failure],
    run_id: str,
    now: datetime,
) -> None:
    billed = [invoice.organization_id for invoice in invoices]
    rows(connection, "forget_billing_failures", month=month.first_day, organizations=billed)
    for failure in failures:
        error = failure.error
        rows(
            connection, "record_billing_failure",
            organization_id=failure.organization_id, month=month.first_day, code=error.code,
            customer_text=error.customer_text, operator_text=error.operator_text, retryable=error.retryable,
            run_id=run_id, now=now,
        )  # fmt: skip
