"""Bills a month: assembles its invoices, writes them and finalizes them.

The run takes blocks of 500 payers. Each block takes a few statements and COPYs; only failures, which are few, take a
statement each. So memory does not grow with the platform. While Postgres writes one block, Python assembles the next.
Not here: reading the inputs of invoices (`inputs_reader`), and calculating amounts (`invoicing.rules.assembly`).
"""

from __future__ import annotations

import gc
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
    BilledMember,
    BillingRecords,
    Payer,
    UsageToBill,
    inputs_of,
    read_books,
    read_each,
    read_payers,
    read_records,
    read_rollups,
    refuse_damaged_usage,
)
from fly_billing.invoicing.rules.assembly import Invoice, assemble_invoice
from fly_billing.invoicing.rules.fingerprint import inputs_fingerprint
from fly_billing.invoicing.rules.inputs import InvoiceInputs
from fly_billing.invoicing.unchanged import OpenInvoice, read_open_invoices, rules_version
from fly_billing.money import counted
from fly_billing.periods import BillingMonth, stretches
from fly_billing.postgres.database import (
    BillingDatabase,
    copy_rows,
    driver_connection,
    lock_until_commit,
    rows,
    values,
)
from fly_billing.postgres.isolation import VALUE_ERRORS, isolate_failures, unreadable, unwritable
from fly_billing.pricing.negotiated_prices import PriceBooks
from fly_billing.usage.rejections import RejectedGroup, read_unresolved

INVOICE_COLUMNS = (
    "id", "organization_id", "month", "revision", "origin", "status", "currency", "amount", "total_cents",
    "usage_snapshot_id", "computed_at", "inputs_fingerprint",
)  # fmt: skip
ITEM_COLUMNS = (
    "id", "invoice_id", "position", "kind", "organization_id", "product", "description", "quantity", "unit", "amount",
    "amount_cents", "price_id", "negotiated_price_id", "price_key", "meter", "subscription_id", "period_start",
    "period_end", "interval_start", "interval_end", "one_off_item_id", "adjustment_id", "discount_id", "commitment_id",
    "credit_grant_id", "tax_rate_id", "detail",
)  # fmt: skip
# The payers of one block: their invoices are in memory at once.
PAYERS_AT_ONCE = 500
# The ranges of days that an error lists.
MOST_STRETCHES = 10
# The sources and reasons of rejected usage that an error lists.
MOST_GROUPS = 5
TAX_COLUMNS = (
    "invoice_id", "tax_rate_id", "name", "percent", "is_inclusive", "taxable_cents", "tax_cents", "category",
    "legal_text", "shares",
)  # fmt: skip


@dataclass(frozen=True)
class Terms:
    """The terms of closing a month.

    Attributes:
        grace: The time between the end of a month and its closing.
        due_days: The days between finalizing an invoice and its due date.
        waits_for_rejected_usage: A month does not close while it has rejected usage that is neither fixed nor waived.
        seller: The lines about the seller, which a final invoice keeps.
    """

    grace: timedelta
    due_days: int
    waits_for_rejected_usage: bool = False
    seller: tuple[str, ...] = ()


class MonthNotClosed(ActionableError):
    """The month can't be closed. Nothing was changed. `code` names the reason."""

    code: str


class RejectedUsageUnresolved(MonthNotClosed):
    """The month waits until its rejected usage is fixed or waived, because the terms say so."""

    code = "rejected_usage_unresolved"

    def __init__(self, month: BillingMonth, groups: Sequence[RejectedGroup]) -> None:
        number = sum(group.rows for group in groups)
        rows = f"{counted(number, 'row')} of rejected usage {'is' if number == 1 else 'are'}"
        named = "; ".join(group.sentence for group in groups[:MOST_GROUPS])
        more = f"; and {len(groups) - MOST_GROUPS:,} more by source and reason" if len(groups) > MOST_GROUPS else ""
        super().__init__(
            f"{month} can't be closed: {rows} neither fixed nor waived ({named}{more}). Fix the files and run"
            f" `fly-billing land`, or run `fly-billing waive --source SOURCE --reason REASON --month {month} --by NAME"
            f" --because TEXT`; then `fly-billing bill {month}`. `fly-billing rejected {month}` lists them. To close"
            " months without this usage, set FLY_BILLING_UNRESOLVED_REJECTIONS=close"
        )


class UsageNotLanded(MonthNotClosed):
    """The month can't be closed, because usage of it may still be in a landing folder. Nothing was changed.

    Attributes:
        days: The landing days to land.
    """

    code = "usage_not_landed"

    def __init__(self, month: BillingMonth, days: Collection[date]) -> None:
        self.days = sorted(days)
        parts = [f"{first}" if first == last else f"{first} to {last}" for first, last in stretches(self.days)]
        more = f" and {counted(len(parts) - MOST_STRETCHES, 'more range')}" if len(parts) > MOST_STRETCHES else ""
        super().__init__(
            f"{month} can't be closed: {_counted_days(len(self.days))} not landed after the day ended, or changed since"
            f" ({', '.join(parts[:MOST_STRETCHES])}{more}). Run `fly-billing land {month}` to land all of them, then"
            f" `fly-billing bill {month}`; in Dagster, materialize usage_events for these days, then the month"
        )


def _counted_days(number: int) -> str:
    return f"{counted(number, 'landing day')} {'was' if number == 1 else 'were'}"


@dataclass(frozen=True)
class Failure:
    """One payer that could not be billed."""

    organization_id: str
    error: BillingError


@dataclass(frozen=True)
class BilledInvoice:
    """The totals of an invoice that was just written.

    Attributes:
        amount: Exact, in the currency's major unit.
        total_cents: Rounded, in the currency's minor unit.
        items: The number of its items.
        is_unchanged: True if its inputs were those of the last run, so that it was not calculated again.
    """

    id: UUID
    organization_id: str
    revision: int
    currency: str
    amount: Decimal
    total_cents: int
    items: int
    is_unchanged: bool = False


@dataclass(frozen=True)
class Billed:
    """The outcome of a billing run.

    Attributes:
        invoices: The invoices that the run wrote.
        finalized: True if the run closed the month and finalized them.
        already_final: The payers whose invoices were final before the run.
        failures: The payers that could not be billed.
    """

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
    run_id: str = "manual",
    finalize: bool = True,
    unlanded_days: Sequence[date] = (),
    payers_at_once: int = PAYERS_AT_ONCE,
    from_scratch: bool = False,
) -> Billed:
    """Compute the month's invoices of these groups, and finalize them if the month's grace period is over.

    If an organization can't be billed, the run records the reason and bills the others. Final invoices do not change.
    An open invoice whose inputs are those of the last run stays as it is.

    Args:
        database: The billing database.
        month: The month to bill.
        groups: The billing groups to bill.
        terms: The terms of closing the month.
        now: The time of the run.
        run_id: The Dagster run, for the audit log and for failures.
        finalize: False: leave the invoices open even if the grace period is over.
        unlanded_days: Landing days whose folders have files that were not landed, as far as the caller knows.
        payers_at_once: The number of payers in a block.
        from_scratch: Calculate every invoice, as the run that closes the month does.

    Raises:
        UsageNotLanded: The month would be closed before all its usage was landed.
        RejectedUsageUnresolved: The month would be closed, and waits for its rejected usage.
    """
    closing = finalize and month.is_closed(now, terms.grace)
    with database.transaction() as connection:
        if closing:
            lock_until_commit(connection, "land_usage")  # waits for a landing in progress
        lock_until_commit(connection, f"usage_rollups {month}")
        lock_until_commit(connection, "invoices")  # of all months: a late item may go on any open invoice
        if closing:
            _refuse_unlanded_days(connection, month, terms, unlanded_days)
        rows(connection, "set_audit_context", who=run_id, why=f"{month} is closed" if closing else "")
        rows(connection, "set_seller", seller="\n".join(terms.seller))
        rows(connection, "drop_open_of_linked", month=month.first_day)
        payers = read_payers(connection, month, groups)
        final = [payer.organization_id for payer in payers if payer.is_final]
        to_bill = [payer for payer in payers if not payer.is_final]
        if closing and to_bill and terms.waits_for_rejected_usage:
            _refuse_rejected_usage(connection, month)
        complete = _complete_usage(connection, month, terms) if closing else None
        due_on = (now + timedelta(days=terms.due_days)).date() if closing else None
        blocks = [to_bill[first : first + payers_at_once] for first in range(0, len(to_bill), payers_at_once)]
        known = {} if closing or from_scratch else read_open_invoices(connection, month, groups)
        run = _Run(month, read_books(connection), complete, _Moment(now, due_on), known)
        invoices, failures = _bill_blocks(connection, run, blocks)
        _record(connection, month, to_bill, failures, run_id, now)
    return Billed(invoices, closing, final, failures)


@dataclass(frozen=True)
class _CompleteUsage:
    """The first time and version of the usage table at which the table has all usage of a closed month."""

    closed_at: datetime
    usage_table_version: int


@dataclass(frozen=True)
class _Moment:
    """The time at which invoices are computed, and their due date if they are made final."""

    now: datetime
    due_on: date | None


def _complete_usage(connection: Connection, month: BillingMonth, terms: Terms) -> _CompleteUsage:
    days = {"first": month.first_day, "last": month.last_landing_day(terms.grace)}
    (version,) = values(connection, "last_landing", **days)
    return _CompleteUsage(month.closes_at(terms.grace), version)


def _refuse_unlanded_days(
    connection: Connection, month: BillingMonth, terms: Terms, unlanded_days: Sequence[date]
) -> None:
    first, last = month.first_day, month.last_landing_day(terms.grace)
    missing = values(connection, "days_not_landed", first=first, last=last)
    missing += values(connection, "days_to_land_again")
    days = {day for day in (*missing, *unlanded_days) if first <= day <= last}
    if days:
        raise UsageNotLanded(month, days)


def _refuse_rejected_usage(connection: Connection, month: BillingMonth) -> None:
    if groups := read_unresolved(connection, month):
        raise RejectedUsageUnresolved(month, groups)


@dataclass(frozen=True)
class _Run:
    """The inputs of a run that are the same for every payer.

    Attributes:
        complete: If the run closes the month: when its usage is complete.
        known: The open invoices that stay if their inputs are unchanged.
    """

    month: BillingMonth
    books: PriceBooks
    complete: _CompleteUsage | None
    moment: _Moment
    known: Mapping[str, OpenInvoice]


@dataclass(frozen=True)
class _ToCalculate:
    """A payer whose invoice has to be calculated; `inputs` are without usage."""

    payer: Payer
    inputs: InvoiceInputs
    fingerprint: str


# An invoice to write, with its payer and the fingerprint of its inputs.
_Calculated = tuple[Payer, Invoice, str]


def _bill_blocks(
    connection: Connection, run: _Run, blocks: Sequence[Sequence[Payer]]
) -> tuple[list[BilledInvoice], list[Failure]]:
    billed: list[BilledInvoice] = []
    failures: list[Failure] = []
    assembled: list[_Calculated] = []
    rows(connection, "make_computed")
    with ThreadPoolExecutor(max_workers=1) as writer:
        for number, block in enumerate(blocks):
            readable, failed = read_each(block, connection, partial(read_records, connection, run.month, snapshots=()))
            changed, unchanged, unbillable = _compare(run, readable)
            usage, unread = read_each([found.payer for found in changed], connection, partial(_read_usage, connection))
            failures += [Failure(name, error) for name, error in (*failed, *unread)]
            rows(connection, "confirm_unchanged", ids=[invoice.id for invoice in unchanged], now=run.moment.now)
            # The connection does one thing at a time, so the previous block is written after this one was read.
            writing = writer.submit(_write_each, connection, assembled, run)
            with _no_garbage_collection():
                assembled, unbilled = _assemble(run, changed, dict(_by_payer(usage)))
            written, refused = writing.result()
            if number:
                _correct_statistics(connection)
            failures += unbillable + unbilled + refused
            billed += [*unchanged, *map(_billed, written)]
    written, refused = _write_each(connection, assembled, run)
    return billed + [_billed(invoice) for invoice in written], failures + refused


def _read_usage(connection: Connection, payers: Sequence[Payer]) -> UsageToBill:
    return read_rollups(connection, [snapshot for payer in payers for snapshot in payer.snapshots])


def _by_payer(usage: Iterable[tuple[Payer, UsageToBill]]) -> Iterator[tuple[str, UsageToBill]]:
    return ((payer.organization_id, found) for payer, found in usage)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Switch off the search for reference cycles. Invoices have none, and the search takes a tenth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _correct_statistics(connection: Connection) -> None:
    """Analyze the tables of invoices if Postgres plans for them as if they were empty.

    If everything ever written to them was rolled back, Postgres plans for no rows and joins each block with all
    invoices before it. Billing a first month again after a failure then took six times as long. Until the first month
    is committed, autovacuum can cause this at any time, but not after an analyze in this transaction.
    """
    for table in values(connection, "tables_without_statistics"):
        driver_connection(connection).execute(compose.SQL("analyze {}").format(compose.Identifier(table)))


def _billed(calculated: _Calculated) -> BilledInvoice:
    _, invoice, _ = calculated
    return BilledInvoice(
        invoice.id, invoice.organization_id, invoice.revision, invoice.currency, invoice.amount, invoice.total_cents,
        len(invoice.items),
    )  # fmt: skip


def _kept(invoice: OpenInvoice) -> BilledInvoice:
    return BilledInvoice(
        invoice.id, invoice.organization_id, invoice.revision, invoice.currency, invoice.amount, invoice.total_cents,
        invoice.items, is_unchanged=True,
    )  # fmt: skip


def _compare(
    run: _Run, payers: Sequence[tuple[Payer, BillingRecords]]
) -> tuple[list[_ToCalculate], list[BilledInvoice], list[Failure]]:
    """Return the payers to calculate, the invoices that stay as they are, and the payers that can't be billed."""
    changed, unchanged, failures = [], [], []
    for payer, records in payers:
        try:
            records.refuse_unreadable(payer)
            for member in payer.members:
                _refuse_incomplete_usage(member, run.month, run.complete)
            inputs = inputs_of(payer, run.month, records, run.books)
        except (BillingError, *VALUE_ERRORS) as problem:
            failures.append(_failure(payer.organization_id, run.month, problem))
            continue
        fingerprint = inputs_fingerprint(inputs, payer.snapshots, rules_version())
        known = run.known.get(payer.organization_id)
        if known and known.inputs_fingerprint == fingerprint:
            unchanged.append(_kept(known))
        else:
            changed.append(_ToCalculate(payer, inputs, fingerprint))
    return changed, unchanged, failures


def _assemble(
    run: _Run, payers: Sequence[_ToCalculate], usage: Mapping[str, UsageToBill]
) -> tuple[list[_Calculated], list[Failure]]:
    billed: list[_Calculated] = []
    failures = []
    for found in payers:
        name = found.payer.organization_id
        if name not in usage:  # it can't be read
            continue
        try:
            invoice = assemble_invoice(usage[name].added_to(found.inputs))
            billed.append((found.payer, invoice, found.fingerprint))
        except (BillingError, *VALUE_ERRORS) as problem:
            failures.append(_failure(name, run.month, problem))
    return billed, failures


def _failure(name: str, month: BillingMonth, problem: Exception) -> Failure:
    return Failure(name, problem if isinstance(problem, BillingError) else unreadable(f"{name} {month}", problem))


def _refuse_incomplete_usage(member: BilledMember, month: BillingMonth, complete: _CompleteUsage | None) -> None:
    """Raise BillingError if usage of the member is missing: its invoice would be too low, if final for good."""
    refuse_damaged_usage(member)
    if member.snapshot_id is None or member.rolled_up_at is None or member.usage_table_version is None:
        raise not_computable(
            "usage_not_rolled_up",
            f"usage_rollups has no {month} of {member.id}: run `fly-billing bill {month}`, which rolls it up first",
            retryable=True,
        )
    if complete and (
        member.rolled_up_at < complete.closed_at or member.usage_table_version < complete.usage_table_version
    ):
        raise not_computable(
            "usage_rolled_up_too_early",
            f"usage_rollups of {month} is from {member.rolled_up_at:%Y-%m-%d %H:%M}Z and version"
            f" {member.usage_table_version} of the usage table, but the month's usage is complete only from"
            f" {complete.closed_at:%Y-%m-%d %H:%M}Z and version {complete.usage_table_version} on: run"
            f" `fly-billing bill {month}`, which rolls it up again",
            retryable=True,
        )


def _write_each(
    connection: Connection, billed: Sequence[_Calculated], run: _Run
) -> tuple[list[_Calculated], list[Failure]]:
    """Write these invoices. Returns those that were written, and a failure for each that the database refused."""
    done, refused = isolate_failures(connection, billed, lambda some: _write(connection, some, run.moment))
    failures = [
        Failure(payer.organization_id, unwritable(f"{payer.organization_id} {run.month}", problem))
        for (payer, _, _), problem in refused
    ]
    return [invoice for some, _ in done for invoice in some], failures


def _write(connection: Connection, billed: Sequence[_Calculated], moment: _Moment) -> None:
    """Replace the open versions of these invoices; finalize them if there is a due date."""
    invoices = [invoice for _, invoice, _ in billed]
    rows(connection, "clear_computed")
    copy_rows(
        connection, "computed_invoices", INVOICE_COLUMNS,
        (_invoice_row(invoice, payer, moment.now, fingerprint) for payer, invoice, fingerprint in billed),
    )  # fmt: skip
    rows(connection, "drop_parts_of_computed")
    rows(connection, "replace_open_invoices")
    parts: dict[str, tuple[Sequence[str], Iterable[Sequence[Any]]]] = {
        "invoice_items": (ITEM_COLUMNS, (row for invoice in invoices for row in _item_rows(invoice))),
        "invoice_item_rollups": (
            ("invoice_id", "rollup_id", "item_id"),
            (
                (invoice.id, rollup, item.id)
                for invoice in invoices
                for item in invoice.items
                for rollup in item.rollup_ids
            ),
        ),
        "invoice_snapshots": (
            ("invoice_id", "snapshot_id"),
            ((invoice.id, snapshot) for payer, invoice, _ in billed for snapshot in payer.snapshots),
        ),
        "invoice_taxes": (TAX_COLUMNS, (row for invoice in invoices for row in _tax_rows(invoice))),
        "invoice_tax_rates": (
            ("invoice_id", "tax_rate_id"),
            ((invoice.id, rate) for invoice in invoices for rate in invoice.tax_rates),
        ),
        "invoice_commitments": (
            ("invoice_id", "commitment_id", "counted"),
            ((invoice.id, commitment, counted) for invoice in invoices for commitment, counted in invoice.counted),
        ),
    }
    for table, (columns, computed) in parts.items():
        copy_rows(connection, table, columns, computed)
    if moment.due_on:
        rows(connection, "finalize_computed", now=moment.now, due_on=moment.due_on)


def _invoice_row(invoice: Invoice, payer: Payer, now: datetime, fingerprint: str) -> tuple[Any, ...]:
    return (
        invoice.id, invoice.organization_id, invoice.month.first_day, invoice.revision, "billed", "open",
        invoice.currency, invoice.amount, invoice.total_cents, payer.members[0].snapshot_id, now,
        fingerprint,
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
    positions = {item.id: position for position, item in enumerate(invoice.items, start=1)} if invoice.taxes else {}
    for tax in invoice.taxes:
        shares = sorted((positions[share.item_id], share.taxable_cents, share.tax_cents) for share in tax.shares)
        yield (
            invoice.id, tax.rate_id, tax.name, tax.percent, tax.is_inclusive, tax.taxable_cents, tax.tax_cents,
            tax.category, tax.legal_text, json.dumps(shares),
        )  # fmt: skip


def _record(
    connection: Connection,
    month: BillingMonth,
    payers: Sequence[Payer],
    failures: Sequence[Failure],
    run_id: str,
    now: datetime,
) -> None:
    # This includes members: an organization that failed earlier may now be billed on its payer's invoice.
    failed = {failure.organization_id for failure in failures}
    billed = [member.id for payer in payers for member in payer.members if payer.organization_id not in failed]
    rows(connection, "forget_billing_failures", month=month.first_day, organizations=billed)
    for failure in failures:
        error = failure.error
        rows(
            connection, "record_billing_failure",
            organization_id=failure.organization_id, month=month.first_day, code=error.code,
            customer_text=error.customer_text, operator_text=error.operator_text, retryable=error.retryable,
            run_id=run_id, now=now,
        )  # fmt: skip
