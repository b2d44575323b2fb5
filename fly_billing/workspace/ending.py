"""Ends records that the files do not name any more. Nothing that a final invoice used is deleted.

Terms that have begun end; the others never begin. Not here: which records end, and when (`rules.planning`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from fly_billing.corrections.correction import Actor
from fly_billing.customers.closing import close_organization
from fly_billing.customers.writing import (
    CustomerRefused,
    Effect,
    TableRow,
    Written,
    keep_changes,
    known_rows,
    refusal_of,
    withdraw_rows,
    write_rows,
)
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import Row, lock_until_commit, rows, values
from fly_billing.pricing.negotiated_prices import read_agreements
from fly_billing.workspace.held import TABLES, row_id
from fly_billing.workspace.rules.planning import ENDED, REMOVED, PlannedChange
from fly_billing.workspace.rules.records import KINDS

_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True)
class _BookTable:
    """A table of price books, and its statements."""

    name: str
    end: str
    remove: str


_OF_BOOKS = {
    "price": _BookTable("prices", "end_price", "remove_price"),
    "book tax": _BookTable("tax_rates", "end_book_tax", "remove_book_tax"),
}


def end_records(connection: Connection, actor: Actor, changes: Sequence[PlannedChange]) -> None:
    """End and remove the records of these changes, organizations last. Raises CustomerRefused."""
    if any(change.action == REMOVED for change in changes):
        lock_until_commit(connection, "invoices")  # no run computes or finalizes open invoices meanwhile
    closing = {change.key for change in changes if change.kind == "organization" and change.action == ENDED}
    some: dict[str, list[PlannedChange]] = defaultdict(list)
    for change in changes:
        # Closing an account ends its subscriptions and commitments.
        if change.kind != "organization" and change.organization not in closing:
            some[change.kind].append(change)
    for kind, of_kind in some.items():
        if kind in _OF_BOOKS:
            for change in of_kind:
                _end_of_book(connection, actor, change, _OF_BOOKS[kind])
        else:
            _end_terms(connection, actor, kind, of_kind)
    for name in sorted(closing):
        close_organization(connection, actor, name, actor.at)


def _end_terms(connection: Connection, actor: Actor, kind: str, some: Sequence[PlannedChange]) -> None:
    """End and remove records of one kind of terms."""
    table = TABLES[kind]
    known = known_rows(connection, table, _read_by(connection, kind, some))
    by_id = {row_id(table, row): row for row in known.values()}
    month = BillingMonth.containing(actor.at)
    ended, withdrawn = [], []
    for change in some:
        row = by_id[change.id or ""]
        record = TableRow(row, change.organization, _title(change), month)
        if change.action == REMOVED and table.withdraw is not None:
            _remove_open_invoices(connection, actor, change)
            withdrawn.append(record)
        else:
            end = _at_start(kind, row) if change.action == REMOVED else {str(KINDS[kind].end): _end(change)}
            ended.append(replace(record, values={**row, **end}))
    if withdrawn:
        withdraw_rows(connection, actor, table, withdrawn)
    write_rows(connection, actor, table, ended, known)


def _read_by(connection: Connection, kind: str, some: Sequence[PlannedChange]) -> set[str]:
    """Return the keys by which the table of a kind is read: organizations, price groups, or the codes of coupons."""
    if kind == "coupon":
        return {change.key for change in some}
    keys = {change.organization for change in some if change.organization}
    if any(change.organization is None for change in some):  # negotiated prices of groups
        keys |= {price.holder for price in read_agreements(connection).prices if price.group}
    return keys


def _end(change: PlannedChange) -> datetime | date:
    until = str(change.fields[0].after)
    if KINDS[change.kind].is_monthly:
        return BillingMonth.parse(until).first_day
    return datetime.fromisoformat(until).replace(tzinfo=UTC)


def _at_start(kind: str, row: Row) -> Mapping[str, Any]:
    """Return the end of a record that can't be deleted: as it begins, or a moment later, so that it never applies."""
    start, end = KINDS[kind].start, KINDS[kind].end
    assert start is not None
    assert end is not None
    return {end: row[start] if kind == "subscription" else row[start] + _MOMENT}


def _remove_open_invoices(connection: Connection, actor: Actor, change: PlannedChange) -> None:
    """Remove open invoices that have the record. The next billing run makes them again, without it."""
    if change.kind in ("link", "tax customer"):  # no item names them
        return
    found = values(connection, "open_invoices_with", ids=[UUID(change.id)])
    rows(
        connection, "remove_open_invoices",
        ids=found, reasons=[f"{_title(change)} was removed"] * len(found), removed_by=actor.name,
    )  # fmt: skip


def _end_of_book(connection: Connection, actor: Actor, change: PlannedChange, table: _BookTable) -> None:
    """End or remove a version of a list price, or of a tax rate of a book."""
    is_removed = change.action == REMOVED
    with _refusals(_title(change)):
        if is_removed:
            rows(connection, table.remove, id=change.id)
        else:
            rows(connection, table.end, id=change.id, until=_end(change))
    fields = tuple(f"{field.field}: {field.before or 'none'} -> {field.after}" for field in change.fields)
    done = Written(Effect.WITHDRAWN if is_removed else Effect.CHANGED, table.name, None, _title(change), fields)
    keep_changes(connection, actor, [(done, BillingMonth.containing(actor.at))])


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    """Turn the database's refusal of a statement into CustomerRefused. The transaction has to end then."""
    try:
        yield
    except IntegrityError as problem:
        raise CustomerRefused([f"{what}: {refusal_of(problem)}"]) from problem


def _title(change: PlannedChange) -> str:
    return f"{change.kind} {change.key}"
