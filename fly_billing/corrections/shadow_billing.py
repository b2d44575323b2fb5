"""Bills a month that was billed again, under another price book read from files, and compares. Writes nothing.

All is read in one read-only transaction: the usage that the invoices billed (their snapshots, whatever came in since),
their one-off items and adjustments, the credits as they were before them; subscriptions and terms as they stand today.
Keeps out: how invoices come about and how they are compared (`invoicing.rules.assembly`,
`corrections.rules.shadow_report`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.corrections.rules.shadow_report import BilledTotal, PriceChanges, ShadowReport, compare
from fly_billing.errors import ActionableError, BillingError
from fly_billing.invoicing.group_members import GroupMember
from fly_billing.invoicing.inputs_reader import (
    BillingRecords,
    Payer,
    account_of,
    group_readable,
    read_adjustments,
    read_books,
    read_each,
    read_payers,
    read_records,
)
from fly_billing.invoicing.rules.assembly import Invoice, assemble_invoice
from fly_billing.invoicing.rules.inputs import CREDITABLE, CreditGrant, InvoiceInputs, Member, OneOffItem
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, records, rows
from fly_billing.postgres.isolation import VALUE_ERRORS, readable_rows, unreadable
from fly_billing.pricing.negotiated_prices import PriceBooks
from fly_billing.pricing.price_books import PriceBookFiles
from fly_billing.pricing.rules.prices import PriceBook
from fly_billing.pricing.rules.scope import Scope

Days = Mapping[UUID, Sequence[Decimal] | None]


class NothingToShadow(ActionableError):
    """The month has no invoice of an organization with these prices."""


def shadow_bill(
    database: BillingDatabase,
    month: BillingMonth,
    book: PriceBookFiles,
    *,
    instead_of: str = "fly",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ShadowReport:
    """Compare the month's invoices with what they come to when `book` stands in for the book `instead_of`.

    Open and final invoices are compared, void ones are not. Organizations with other price books keep theirs; payers
    that have none with `instead_of` on their invoice are left out. `progress` is told how many of how many payers are
    done. Raises NothingToShadow.
    """
    with database.consistent_read() as connection:
        billed, unreadable_totals = _billed(connection, month)
        payers = [payer for payer in _payers(connection, month) if payer.organization_id in billed]
        payers = [payer for payer in payers if any(row["price_book"] == instead_of for row in payer.members)]
        books = read_books(connection)
        if not payers:
            raise NothingToShadow(
                f"{month} has no invoice with prices of the book {instead_of!r}; there are the books"
                f" {', '.join(books.names) or '(none)'}: name one with --instead-of, or bill the month first"
            )
        readable, failed = read_each(payers, connection, lambda some: _as_billed(connection, month, some))
        changes = PriceChanges(book.prices)
        others = books.with_another(instead_of, PriceBook(book.prices))
        days = _days(connection, {id(records): records for _, records in readable}.values(), changes)
        again: dict[str, Invoice | BillingError] = {**dict(failed), **unreadable_totals}
        shadow: dict[str, Invoice | BillingError] = dict(again)
        for number, (payer, records) in enumerate(readable, start=1):
            name = payer.organization_id
            if name in unreadable_totals:
                continue
            switched = {row["id"] for row in payer.members if row["price_book"] == instead_of}
            again[name] = _assembled(payer, month, records, books, lambda member: member)
            shadow[name] = _assembled(payer, month, records, others, _taken_apart(switched, changes, days))
            progress(number, len(payers))
    return compare(month, book.name, [billed[payer.organization_id] for payer in payers], again, shadow)


def _billed(
    connection: Connection, month: BillingMonth
) -> tuple[dict[str, BilledTotal], dict[str, Invoice | BillingError]]:
    """Read what each payer was billed; and why nothing is compared with a total that can't be read (0 here)."""
    products: dict[str, dict[str, int]] = defaultdict(dict)
    known = rows(connection, "billed_by_product", month=month.first_day)
    found, bad = readable_rows(known, {"product"})
    reasons = {one.organization_id: one.reason for one in bad}
    found = [row for row in found if row["organization_id"] not in reasons]
    wrong: dict[str, Invoice | BillingError] = {
        name: unreadable(f"the invoice of {name} for {month}", ValueError(reason)) for name, reason in reasons.items()
    }
    for row in found:
        if row["product"] is not None:
            products[row["organization_id"]][row["product"]] = int(row["cents"])
    billed = {
        row["organization_id"]: BilledTotal(
            row["organization_id"],
            row["organization_name"],
            row["currency"],
            row["total_cents"],
            products[row["organization_id"]],
        )
        for row in found
    }
    for row in known:
        if row["organization_id"] in wrong:
            name = str(row["organization_id"])
            billed[name] = BilledTotal(name, row["organization_name"], row["currency"] or "", 0, {})
    return billed, wrong


def _payers(connection: Connection, month: BillingMonth) -> list[Payer]:
    groups = sorted({member.billing_group for member in records(connection, GroupMember, "billing_groups")})
    return read_payers(connection, month, groups)


def _as_billed(connection: Connection, month: BillingMonth, payers: Sequence[Payer]) -> BillingRecords:
    """Read what the month's invoices were made of; what later invoices did since is not in it."""
    snapshots = [row["snapshot_id"] for row in rows(connection, "billed_snapshots", month=month.first_day)]
    span = {"month_start": month.start, "month_end": month.end}
    names = [payer.organization_id for payer in payers]
    records = read_records(connection, month, payers, snapshots)
    wrong = dict(records.unreadable)
    one_offs = rows(connection, "billed_one_offs", month=month.first_day)
    credits = rows(connection, "credits_to_draw", organizations=names, month=month.first_day, is_final=True, **span)
    return replace(
        records,
        one_offs=group_readable(one_offs, "one_off_items", lambda row: OneOffItem(**row), wrong),
        adjustments=read_adjustments(connection, "billed_adjustments", wrong, month=month.first_day),
        credits=group_readable(credits, "credit_grants", _credit, wrong),
        unreadable=wrong,
    )


def _credit(fields: dict[str, Any]) -> CreditGrant:
    return CreditGrant(**fields | {"scope": Scope.from_data(fields["scope"], CREDITABLE)})


def _days(connection: Connection, read: Iterable[BillingRecords], changes: PriceChanges) -> Days:
    """Read what was used day by day where the other book changes a price inside a rollup."""
    used = [rollup for records in read for found in records.rollups.values() for rollup in found]
    torn = [rollup.id for rollup in used if changes.inside(rollup)]
    return {row["id"]: row["daily"] for row in rows(connection, "days_of_rollups", ids=torn)} if torn else {}


def _taken_apart(switched: set[str], changes: PriceChanges, days: Days) -> Callable[[Member], Member]:
    def taken_apart(member: Member) -> Member:
        if member.organization_id not in switched:
            return member
        parts = [part for rollup in member.rollups for part in changes.split(rollup, days.get(rollup.id))]
        return replace(member, rollups=parts)

    return taken_apart


def _assembled(
    payer: Payer, month: BillingMonth, records: BillingRecords, books: PriceBooks, prepared: Callable[[Member], Member]
) -> Invoice | BillingError:
    try:
        account: InvoiceInputs = account_of(payer, month, records, books)
        return assemble_invoice(replace(account, members=[prepared(member) for member in account.members]))
    except BillingError as error:
        return error
    except VALUE_ERRORS as problem:
        return unreadable(f"{payer.organization_id} {month}", problem)
