"""Has the domain assemble a month's invoices, writes them and finalizes them.

Set-based: a handful of statements and COPYs for a block of 500 payers, none per organization (but for failures,
which are few). So memory does not grow with the platform, and while Postgres writes one block, the next one is worked
out here. Keeps out: what invoices are made of (`inputs_reader`), how amounts come about (`invoicing.rules.assembly`).
"""

from __future__ import annotations

import gc
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from psycopg import sql as compose
from sqlalchemy import Connection

from fly_billing.errors import ActionableError, BillingError, not_computable
from fly_billing.invoicing.inputs_reader import (
    BillingRecords,
    Payer,
    account_of,
    read_books,
    read_each,
    read_payers,
    read_records,
    refuse_damaged_usage,
)
from fly_billing.invoicing.rules.assembly import Invoice, assemble_invoice
from fly_billing.periods import BillingMonth, stretches
from fly_billing.postgres.database import BillingDatabase, Row, copy_rows, driver_connection, lock_until_commit, rows
from fly_billing.postgres.isolation import VALUE_ERRORS, isolate_failures, unreadable, unwritable
from fly_billing.pricing.negotiated_prices import PriceBooks

INVOICE_COLUMNS = (
    "id", "organization_id", "month", "revision", "origin", "status", "currency", "amount", "total_cents",
    "usage_snapshot_id", "computed_at",
)  # fmt: skip
ITEM_COLUMNS = (
    "id", "invoice_id", "position", "kind", "organization_id", "product", "description", "quantity", "unit", "amount",
    "amount_cents", "price_id", "negotiated_price_id", "price_key", "meter", "subscription_id", "period_start",
    "period_end", "interval_start", "interval_end", "one_off_item_id", "adjustment_id", "discount_id", "commitment_id",
    "credit_grant_id", "tax_rate_id", "detail",
)  # fmt: skip
# Payers whose invoices are in memory at once.
PAYERS_AT_ONCE = 500
# Stretches of days that the message of a refused closing names.
MOST_STRETCHES = 10
TAX_COLUMNS = (
    "invoice_id", "tax_rate_id", "name", "percent", "is_inclusive", "taxable_cents", "tax_cents", "category",
    "legal_text",
)  # fmt: skip


@dataclass(frozen=True)
class Terms:
    """A month is closed `grace` after its end; its invoices are due `due_days` after they were finalized."""

    grace: timedelta
    due_days: int


class UsageNotLanded(ActionableError):
    """A month can't be closed: usage that counts may still lie in a landing folder. Nothing was changed.

    `days`: the landing days that are missing.
    """

    def __init__(self, month: BillingMonth, days: Collection[date]) -> None:
        self.days = sorted(days)
        parts = [f"{first}" if first == last else f"{first} to {last}" for first, last in stretches(self.days)]
        more = f" and {len(parts) - MOST_STRETCHES} more stretches" if len(parts) > MOST_STRETCHES else ""
        super().__init__(
            f"{month} can't be closed: {_counted_days(len(self.days))} not landed since the day ended, or changed since"
            f" ({', '.join(parts[:MOST_STRETCHES])}{more}). Run `fly-billing land {month}`, which lands all of them,"
            f" then `fly-billing bill {month}`; from Dagster: materialize usage_events for these days, then the month"
        )


def _counted_days(number: int) -> str:
    return "1 landing day was" if number == 1 else f"{number} landing days were"


@dataclass(frozen=True)
class Failure:
    """One payer that could not be billed."""

    organization_id: str
    error: BillingError


@dataclass(frozen=True)
class BilledInvoice:
    """What an invoice that was just written comes to; its items are in Postgres."""

    id: UUID
    organization_id: str
    revision: int
    currency: str
    amount: Decimal
    total_cents: int
    items: int


@dataclass(frozen=True)
class Billed:
    """What a run did: invoices computed (and finalized, where the month is closed), left alone, and failed."""

    invoices: list[BilledInvoice]
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
        rows(connection, "set_audit_context", who=run_id, why=f"{month} is closed" if closing else "")
        rows(connection, "drop_open_of_linked", month=month.first_day)
        payers = read_payers(connection, month, groups)
        final = [payer.organization_id for payer in payers if payer.is_final]
        to_bill = [payer for payer in payers if not payer.is_final]
        complete = _complete_usage(connection, month, terms) if closing else None
        due_on = (now + timedelta(days=terms.due_days)).date() if closing else None
        invoices, failures = _bill_blocks(connection, month, to_bill, complete, _Moment(now, due_on))
        _record(connection, month, to_bill, failures, run_id, now)
    return Billed(invoices, closing, final, failures)


@dataclass(frozen=True)
class _CompleteUsage:
    """From when on, and from which version of the usage table on, a rollup has all usage of a month that is closed."""

    closed_at: datetime
    lake_version: int


@dataclass(frozen=True)
class _Moment:
    """When invoices are computed; and when they are due, if they are made final."""

    now: datetime
    due_on: date | None


def _complete_usage(connection: Connection, month: BillingMonth, terms: Terms) -> _CompleteUsage:
    (row,) = rows(connection, "last_landing", first=month.first_day, last=month.last_landing_day(terms.grace))
    return _CompleteUsage(month.closes_at(terms.grace), row["lake_version"])


def _refuse_unlanded_days(
    connection: Connection, month: BillingMonth, terms: Terms, unlanded_days: Sequence[date]
) -> None:
    first, last = month.first_day, month.last_landing_day(terms.grace)
    found = {row["day"] for row in rows(connection, "days_not_landed", first=first, last=last)}
    found |= {row["day"] for row in rows(connection, "days_to_land_again") if first <= row["day"] <= last}
    found |= {day for day in unlanded_days if first <= day <= last}
    if found:
        raise UsageNotLanded(month, found)


def _bill_blocks(
    connection: Connection,
    month: BillingMonth,
    payers: Sequence[Payer],
    complete: _CompleteUsage | None,
    moment: _Moment,
) -> tuple[list[BilledInvoice], list[Failure]]:
    books = read_books(connection)
    billed: list[BilledInvoice] = []
    failures: list[Failure] = []
    assembled: list[tuple[Payer, Invoice]] = []
    rows(connection, "make_computed")
    with ThreadPoolExecutor(max_workers=1) as beside:
        for first in range(0, len(payers), PAYERS_AT_ONCE):
            block = payers[first : first + PAYERS_AT_ONCE]
            readable, failed = read_each(block, connection, partial(read_records, connection, month))
            failures += [Failure(name, error) for name, error in failed]
            # The connection does one thing at a time: the block before is written after this one was read.
            writing = beside.submit(_write_each, connection, assembled, month, moment)
            with _no_garbage_collection():
                assembled, unbilled = _assemble(month, readable, books, complete)
            written, refused = writing.result()
            if first:
                _correct_statistics(connection)
            failures += unbilled + refused
            billed += [_billed(invoice) for _, invoice in written]
    written, refused = _write_each(connection, assembled, month, moment)
    failures += refused
    billed += [_billed(invoice) for _, invoice in written]
    return billed, failures


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Let Python not look for cycles meanwhile: an invoice has none, and looking takes a tenth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _correct_statistics(connection: Connection) -> None:
    """Have Postgres look at tables into which blocks were written, should it believe them to be empty.

    Where all that they ever held was rolled back, it plans for no rows at all, and joins each block with every invoice
    before it: a first month that had failed once took six times as long when it was billed again. Autovacuum can come
    to believe so at any time until the first month is committed, but not once the tables were looked at here.
    """
    for table in rows(connection, "tables_without_statistics"):
        driver_connection(connection).execute(compose.SQL("analyze {}").format(compose.Identifier(table["name"])))


def _billed(invoice: Invoice) -> BilledInvoice:
    return BilledInvoice(
        invoice.id, invoice.organization_id, invoice.revision, invoice.currency, invoice.amount, invoice.total_cents,
        len(invoice.items),
    )  # fmt: skip


def _assemble(
    month: BillingMonth,
    payers: Sequence[tuple[Payer, BillingRecords]],
    books: PriceBooks,
    complete: _CompleteUsage | None,
) -> tuple[list[tuple[Payer, Invoice]], list[Failure]]:
    billed, failures = [], []
    for payer, records in payers:
        try:
            records.refuse_unreadable(payer)
            for member in payer.members:
                _refuse_incomplete_usage(member, month, complete)
            billed.append((payer, assemble_invoice(account_of(payer, month, records, books))))
        except BillingError as error:
            failures.append(Failure(payer.organization_id, error))
        except VALUE_ERRORS as problem:
            failures.append(Failure(payer.organization_id, unreadable(f"{payer.organization_id} {month}", problem)))
    return billed, failures


def _refuse_incomplete_usage(row: Row, month: BillingMonth, complete: _CompleteUsage | None) -> None:
    """An invoice without its usage would be too low, and a finalized one for ever: better none."""
    refuse_damaged_usage(row)
    if row["snapshot_id"] is None:
        raise not_computable(
            "usage_not_rolled_up",
            f"usage_rollups has no {month} of {row['id']}: run `fly-billing bill {month}`, which adds it up first",
            retryable=True,
        )
    if complete and (row["rolled_up_at"] < complete.closed_at or row["lake_version"] < complete.lake_version):
        raise not_computable(
            "usage_rolled_up_too_early",
            f"usage_rollups of {month} is from {row['rolled_up_at']:%Y-%m-%d %H:%M}Z and version {row['lake_version']}"
            f" of the usage table; all of the month's usage is there from {complete.closed_at:%Y-%m-%d %H:%M}Z and"
            f" version {complete.lake_version} on: run `fly-billing bill {month}`, which adds it up again",
            retryable=True,
        )


def _write_each(
    connection: Connection, billed: Sequence[tuple[Payer, Invoice]], month: BillingMonth, moment: _Moment
) -> tuple[list[tuple[Payer, Invoice]], list[Failure]]:
    """Write these invoices but for those that the database refuses; return what was written, and the refused."""
    done, refused = isolate_failures(connection, billed, lambda some: _write(connection, some, moment))
    failures = [
        Failure(payer.organization_id, unwritable(f"{payer.organization_id} {month}", problem))
        for (payer, _), problem in refused
    ]
    return [one for some, _ in done for one in some], failures


def _write(connection: Connection, billed: Sequence[tuple[Payer, Invoice]], moment: _Moment) -> None:
    """Put these invoices in the place of what there was of them; make them final if they are due."""
    invoices = [invoice for _, invoice in billed]
    rows(connection, "clear_computed")
    copy_rows(
        connection, "computed_invoices", INVOICE_COLUMNS,
        (_invoice_row(invoice, payer, moment.now) for payer, invoice in billed),
    )  # fmt: skip
    rows(connection, "drop_parts_of_computed")
    rows(connection, "replace_open_invoices")
    parts: dict[str, tuple[Sequence[str], Iterable[Sequence[Any]]]] = {
        "invoice_items": (ITEM_COLUMNS, (row for one in invoices for row in _item_rows(one))),
        "invoice_item_rollups": (
            ("invoice_id", "rollup_id", "item_id"),
            ((one.id, rollup, item.id) for one in invoices for item in one.items for rollup in item.rollup_ids),
        ),
        "invoice_snapshots": (
            ("invoice_id", "snapshot_id"),
            ((invoice.id, snapshot) for payer, invoice in billed for snapshot in payer.snapshots),
        ),
        "invoice_taxes": (TAX_COLUMNS, (row for one in invoices for row in _tax_rows(one))),
        "invoice_tax_rates": (
            ("invoice_id", "tax_rate_id"),
            ((one.id, rate) for one in invoices for rate in one.tax_rates),
        ),
        "invoice_commitments": (
            ("invoice_id", "commitment_id", "counted"),
            ((one.id, commitment, counted) for one in invoices for commitment, counted in one.counted),
        ),
    }
    for table, (columns, values) in parts.items():
        copy_rows(connection, table, columns, values)
    if moment.due_on:
        rows(connection, "finalize_computed", now=moment.now, due_on=moment.due_on)


def _invoice_row(invoice: Invoice, payer: Payer, now: datetime) -> tuple[Any, ...]:
    return (
        invoice.id, invoice.organization_id, invoice.month.first_day, invoice.revision, "billed", "open",
        invoice.currency, invoice.amount, invoice.total_cents, payer.members[0]["snapshot_id"], now,
    )  # fmt: skip


def _item_rows(invoice: Invoice) -> Iterator[tuple[Any, ...]]:
    for position, item in enumerate(invoice.items, start=1):
        yield (
            item.id, invoice.id, position, item.kind, item.organization_id, item.product, item.description,
            item.quantity, item.unit, item.amount, item.amount_cents, item.price_id, item.negotiated_price_id,
            item.price_key, item.meter, item.subscription_id, item.period_start, item.period_end, item.interval_start,
            item.interval_end, item.one_off_item_id, item.adjustment_id, item.discount_id, item.commitment_id,
            item.credit_grant_id, item.tax_rate_id, json.dumps(item.detail),
        )  # fmt: skip


def _tax_rows(invoice: Invoice) -> Iterator[tuple[Any, ...]]:
    for tax in invoice.taxes:
        yield (
            invoice.id, tax.rate_id, tax.name, tax.percent, tax.is_inclusive, tax.taxable_cents, tax.tax_cents,
            tax.category, tax.legal_text,
        )  # fmt: skip


def _record(
    connection: Connection,
    month: BillingMonth,
    payers: Sequence[Payer],
    failures: Sequence[Failure],
    run_id: str,
    now: datetime,
) -> None:
    # An organization that failed on its own, and is on its payer's invoice now, is billed as well.
    failed = {failure.organization_id for failure in failures}
    billed = [row["id"] for payer in payers for row in payer.members if payer.organization_id not in failed]
    rows(connection, "forget_billing_failures", month=month.first_day, organizations=billed)
    for failure in failures:
        error = failure.error
        rows(
            connection, "record_billing_failure",
            organization_id=failure.organization_id, month=month.first_day, code=error.code,
            customer_text=error.customer_text, operator_text=error.operator_text, retryable=error.retryable,
            run_id=run_id, now=now,
        )  # fmt: skip
