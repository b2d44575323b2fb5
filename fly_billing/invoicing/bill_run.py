"""Bills a month: calculates its invoices, writes them and finalizes them.

The run takes blocks of 500 payers. Each block takes a few statements and COPYs; only failures, which are few, take a
statement each. So memory does not grow with the platform. While Postgres writes one block, Python assembles the next.
Not here: reading the inputs of invoices (`inputs_reader`), calculating amounts (`invoicing.rules.assembly`), why a
month waits (`month_closing`), and writing invoices (`invoice_writer`).
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.code_version import code_version
from fly_billing.errors import BillingError
from fly_billing.invoicing.control_sample import is_compared, refuse_difference
from fly_billing.invoicing.inputs_reader import BillingRecords, inputs_of, read_books, read_each, read_records
from fly_billing.invoicing.invoice_locks import lock_month, lock_payers
from fly_billing.invoicing.invoice_writer import Calculated, Moment, write_invoices
from fly_billing.invoicing.month_closing import (
    CompleteUsage,
    Terms,
    complete_usage,
    refuse_incomplete_usage,
    refuse_rejected_usage,
    refuse_unlanded_days,
)
from fly_billing.invoicing.payers import Payer, read_payers
from fly_billing.invoicing.rules.assembly import assemble_invoice
from fly_billing.invoicing.rules.fingerprint import inputs_fingerprint
from fly_billing.invoicing.rules.inputs import InvoiceInputs
from fly_billing.invoicing.table_statistics import correct_statistics
from fly_billing.invoicing.unchanged import OpenInvoice, read_open_invoices
from fly_billing.invoicing.usage_reader import UsageToBill, read_rollups
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import (
    BillingDatabase,
    rows,
    values,
)
from fly_billing.postgres.isolation import VALUE_ERRORS, isolate_failures, unreadable, unwritable
from fly_billing.pricing.negotiated_prices import PriceBooks

# The payers of one block: their invoices are in memory at once.
PAYERS_AT_ONCE = 500


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

    @property
    def changed(self) -> int:
        """The number of invoices that the run calculated."""
        return sum(not invoice.is_unchanged for invoice in self.invoices)


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
        lock_month(connection, month, closes=closing)
        payers = lock_payers(connection, month, partial(read_payers, connection, month, groups))
        if closing:
            refuse_unlanded_days(connection, month, terms, unlanded_days)
        rows(connection, "set_audit_context", who=run_id, why=f"{month} is closed" if closing else "")
        rows(connection, "set_seller", seller="\n".join(terms.seller))
        rows(connection, "drop_open_of_linked", month=month.first_day, groups=list(groups))
        final = [payer.organization_id for payer in payers if payer.is_final]
        to_bill = [payer for payer in payers if not payer.is_final]
        if closing and to_bill and terms.waits_for_rejected_usage:
            refuse_rejected_usage(connection, month)
        complete = complete_usage(connection, month, terms) if closing else None
        due_on = (now + timedelta(days=terms.due_days)).date() if closing else None
        blocks = [to_bill[first : first + payers_at_once] for first in range(0, len(to_bill), payers_at_once)]
        known = {} if closing or from_scratch else read_open_invoices(connection, month, groups)
        run = _Run(month, read_books(connection), complete, Moment(now, due_on), known)
        invoices, failures = _bill_blocks(connection, run, blocks)
        _record(connection, month, to_bill, failures, run_id, now)
        if not closing:
            _confirm(
                connection, run, to_bill, [invoice.organization_id for invoice in invoices if invoice.is_unchanged]
            )
    return Billed(invoices, closing, final, failures)


@dataclass(frozen=True)
class _Run:
    """The inputs of a run that are the same for every payer.

    Attributes:
        complete: If the run closes the month: when its usage is complete.
        known: The open invoices that stay if their inputs are unchanged.
    """

    month: BillingMonth
    books: PriceBooks
    complete: CompleteUsage | None
    moment: Moment
    known: Mapping[str, OpenInvoice]


@dataclass(frozen=True)
class _ToCalculate:
    """A payer whose invoice has to be calculated; `inputs` are without usage."""

    payer: Payer
    inputs: InvoiceInputs
    fingerprint: str


def _bill_blocks(
    connection: Connection, run: _Run, blocks: Sequence[Sequence[Payer]]
) -> tuple[list[BilledInvoice], list[Failure]]:
    billed: list[BilledInvoice] = []
    failures: list[Failure] = []
    assembled: list[Calculated] = []
    rows(connection, "make_computed")
    rows(connection, "make_staged_items")
    with ThreadPoolExecutor(max_workers=1) as writer, _no_garbage_collection():
        for number, block in enumerate(blocks):
            readable, failed = read_each(block, connection, partial(read_records, connection, run.month, snapshots=()))
            changed, unchanged, unbillable = _compare(run, readable)
            usage, unread = read_each([found.payer for found in changed], connection, partial(_read_usage, connection))
            failures += [Failure(name, error) for name, error in (*failed, *unread)]
            # The connection does one thing at a time, so the previous block is written after this one was read.
            writing = writer.submit(_write_each, connection, assembled, run)
            assembled, unbilled = _assemble(run, changed, dict(_by_payer(usage)))
            written, refused = writing.result()
            if number:
                correct_statistics(connection)
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
    """Switch off the search for reference cycles. Invoices have none, and the search takes a sixth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _billed(calculated: Calculated) -> BilledInvoice:
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
                refuse_incomplete_usage(member, run.month, run.complete)
            inputs = inputs_of(payer, run.month, records, run.books)
        except (BillingError, *VALUE_ERRORS) as problem:
            failures.append(_failure(payer.organization_id, run.month, problem))
            continue
        fingerprint = inputs_fingerprint(inputs, payer.snapshots, code_version())
        known = run.known.get(payer.organization_id)
        if known and known.inputs_fingerprint == fingerprint:
            unchanged.append(_kept(known))
        else:
            changed.append(_ToCalculate(payer, inputs, fingerprint))
    return changed, unchanged, failures


def _assemble(
    run: _Run, payers: Sequence[_ToCalculate], usage: Mapping[str, UsageToBill]
) -> tuple[list[Calculated], list[Failure]]:
    billed: list[Calculated] = []
    failures = []
    for found in payers:
        name = found.payer.organization_id
        if name not in usage:  # it can't be read
            continue
        try:
            inputs = usage[name].added_to(found.inputs)
            invoice = assemble_invoice(inputs)
            if not billed or is_compared(invoice):  # at least one of each block
                refuse_difference(invoice, inputs)
            billed.append((found.payer, invoice, found.fingerprint))
        except (BillingError, *VALUE_ERRORS) as problem:
            failures.append(_failure(name, run.month, problem))
    return billed, failures


def _failure(name: str, month: BillingMonth, problem: Exception) -> Failure:
    return Failure(name, problem if isinstance(problem, BillingError) else unreadable(f"{name} {month}", problem))


def _write_each(
    connection: Connection, billed: Sequence[Calculated], run: _Run
) -> tuple[list[Calculated], list[Failure]]:
    """Write these invoices. Returns those that were written, and a failure for each that the database refused."""
    done, refused = isolate_failures(connection, billed, lambda some: write_invoices(connection, some, run.moment))
    failures = [
        Failure(payer.organization_id, unwritable(f"{payer.organization_id} {run.month}", problem))
        for (payer, _, _), problem in refused
    ]
    return [invoice for some, _ in done for invoice in some], failures


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
        rows(connection, "keep_time", month=month.first_day, organization_id=failure.organization_id)
        rows(
            connection, "record_billing_failure",
            organization_id=failure.organization_id, month=month.first_day, code=error.code,
            customer_text=error.customer_text, operator_text=error.operator_text, retryable=error.retryable,
            run_id=run_id, now=now,
        )  # fmt: skip


def _confirm(connection: Connection, run: _Run, payers: Sequence[Payer], unchanged: Sequence[str]) -> None:
    """Record that the unchanged invoices are right: in one row, if the run looked at all open invoices of the month."""
    month, now = run.month.first_day, run.moment.now
    organizations = [payer.organization_id for payer in payers]
    (all_were,) = values(connection, "are_all_open_invoices", month=month, organizations=organizations)
    if all_were:
        rows(connection, "confirm_month", month=month, now=now)
    else:
        rows(connection, "confirm_invoices", month=month, organizations=unchanged, now=now)
