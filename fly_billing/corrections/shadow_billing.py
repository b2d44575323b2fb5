"""Rates a billed month again under another price book, read from files, and compares the invoices. Writes nothing.

Reads everything in one read-only transaction: the usage, one-off items and adjustments that the invoices billed, the
credits as they were before them, and subscriptions and terms as they are now. Not here: how invoices are calculated
(`invoicing.rules.assembly`) and compared (`corrections.rules.shadow_report`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.corrections.returned_credits import credit_grant_of
from fly_billing.corrections.rules.shadow_report import BilledTotal, PriceChanges, ShadowReport, compare
from fly_billing.errors import ActionableError, BillingError
from fly_billing.invoicing.group_members import GroupMember
from fly_billing.invoicing.inputs_reader import (
    BillingRecords,
    inputs_of,
    read_adjustments,
    read_books,
    read_each,
    read_records,
)
from fly_billing.invoicing.payers import Payer, read_payers
from fly_billing.invoicing.readable_records import group_readable
from fly_billing.invoicing.rules.assembly import Invoice, assemble_invoice
from fly_billing.invoicing.rules.inputs import InvoiceInputs, Member, OneOffItem
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, records, rows, values
from fly_billing.postgres.isolation import VALUE_ERRORS, readable_rows, unreadable
from fly_billing.pricing.negotiated_prices import PriceBooks
from fly_billing.pricing.price_books import PriceBookFiles
from fly_billing.pricing.rules.prices import PriceBook

# The quantity of each day, by rollup; None if it was not stored.
DailyQuantities = Mapping[UUID, Sequence[Decimal] | None]


class NothingToShadow(ActionableError):
    """The month has no invoice of an organization with these prices."""


@dataclass(frozen=True, slots=True)
class _BilledProduct:
    """A product on an invoice; an invoice without items has one row without product.

    Only `organization_id` and `organization_name` are certain in a row that can't be read.
    """

    organization_id: str
    organization_name: str
    currency: str
    total_cents: int
    product: str | None
    cents: int


@dataclass(frozen=True, slots=True)
class _RollupDays:
    id: UUID
    daily: Sequence[Decimal] | None


def shadow_bill(
    database: BillingDatabase,
    month: BillingMonth,
    book: PriceBookFiles,
    *,
    instead_of: str = "fly",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ShadowReport:
    """Compare the month's invoices with those that `book` would give in place of the book `instead_of`.

    Compares open and final invoices, not void ones. Organizations with other price books keep theirs. Payers without
    an organization priced by `instead_of` are not compared.

    Args:
        progress: Called after each payer, with the number of payers done and in total.

    Raises:
        NothingToShadow: No invoice of the month has prices of `instead_of`.
    """
    with database.consistent_read() as connection:
        billed, unreadable_totals = _billed(connection, month)
        payers = [payer for payer in _payers(connection, month) if payer.organization_id in billed]
        payers = [payer for payer in payers if any(member.price_book == instead_of for member in payer.members)]
        books = read_books(connection)
        if not payers:
            raise NothingToShadow(
                f"{month} has no invoice with prices of the book {instead_of!r}. The books are"
                f" {', '.join(books.names) or '(none)'}: choose one with --instead-of, or bill the month first"
            )
        readable, failed = read_each(payers, connection, lambda some: _as_billed(connection, month, some))
        changes = PriceChanges(book.prices)
        others = books.with_another(instead_of, PriceBook(book.prices))
        days = _daily_quantities(connection, {id(records): records for _, records in readable}.values(), changes)
        recalculated: dict[str, Invoice | BillingError] = {**dict(failed), **unreadable_totals}
        shadow: dict[str, Invoice | BillingError] = dict(recalculated)
        for number, (payer, records) in enumerate(readable, start=1):
            name = payer.organization_id
            if name in unreadable_totals:
                continue
            switched = {member.id for member in payer.members if member.price_book == instead_of}
            recalculated[name] = _assembled(payer, month, records, books, lambda member: member)
            shadow[name] = _assembled(payer, month, records, others, _split_rollups(switched, changes, days))
            progress(number, len(payers))
    return compare(month, book.name, [billed[payer.organization_id] for payer in payers], recalculated, shadow)


def _billed(
    connection: Connection, month: BillingMonth
) -> tuple[dict[str, BilledTotal], dict[str, Invoice | BillingError]]:
    """Read the total of each payer; and an error for each total that can't be read, which is 0 here."""
    known = rows(connection, "billed_by_product", month=month.first_day)
    _, bad = readable_rows(known, {"product"})
    errors: dict[str, Invoice | BillingError] = {
        row.organization_id: unreadable(f"the invoice of {row.organization_id} for {month}", ValueError(row.reason))
        for row in bad
    }
    products: dict[str, dict[str, int]] = defaultdict(dict)
    billed: dict[str, BilledTotal] = {}
    for row in known:
        part = _BilledProduct(**row)
        name = part.organization_id
        if name in errors:
            billed[name] = BilledTotal(name, part.organization_name, part.currency or "", 0, {})
            continue
        if part.product is not None:
            products[name][part.product] = int(part.cents)
        billed[name] = BilledTotal(name, part.organization_name, part.currency, part.total_cents, products[name])
    return billed, errors


def _payers(connection: Connection, month: BillingMonth) -> list[Payer]:
    groups = sorted({member.billing_group for member in records(connection, GroupMember, "billing_groups")})
    return read_payers(connection, month, groups)


def _as_billed(connection: Connection, month: BillingMonth, payers: Sequence[Payer]) -> BillingRecords:
    """Read the records that the month's invoices were made from, without the effects of later invoices."""
    snapshots = values(connection, "billed_snapshots", month=month.first_day)
    span = {"month_start": month.start, "month_end": month.end}
    names = [payer.organization_id for payer in payers]
    current = read_records(connection, month, payers, snapshots)
    wrong = dict(current.unreadable)
    one_offs = rows(connection, "billed_one_offs", month=month.first_day)
    credits = rows(connection, "credits_to_draw", organizations=names, month=month.first_day, is_final=True, **span)
    return replace(
        current,
        one_offs=group_readable(one_offs, "one_off_items", OneOffItem, wrong),
        adjustments=read_adjustments(connection, "billed_adjustments", wrong, month=month.first_day),
        credits=group_readable(credits, "credit_grants", credit_grant_of, wrong),
        unreadable=wrong,
    )


def _daily_quantities(connection: Connection, read: Iterable[BillingRecords], changes: PriceChanges) -> DailyQuantities:
    """Read the quantity of each day for the rollups in which the other book changes a price."""
    rollups = [rollup for payers in read for used in payers.rollups.values() for rollup in used]
    split = [rollup.id for rollup in rollups if changes.inside(rollup)]
    if not split:
        return {}
    return {row.id: row.daily for row in records(connection, _RollupDays, "days_of_rollups", ids=split)}


def _split_rollups(switched: set[str], changes: PriceChanges, days: DailyQuantities) -> Callable[[Member], Member]:
    def with_split_rollups(member: Member) -> Member:
        if member.organization_id not in switched:
            return member
        parts = [part for rollup in member.rollups for part in changes.split(rollup, days.get(rollup.id))]
        return replace(member, rollups=parts)

    return with_split_rollups


def _assembled(
    payer: Payer, month: BillingMonth, current: BillingRecords, books: PriceBooks, prepared: Callable[[Member], Member]
) -> Invoice | BillingError:
    try:
        inputs: InvoiceInputs = inputs_of(payer, month, current, books)
        return assemble_invoice(replace(inputs, members=[prepared(member) for member in inputs.members]))
    except BillingError as error:
        return error
    except VALUE_ERRORS as problem:
        return unreadable(f"{payer.organization_id} {month}", problem)
