"""Writes records of one table: compares them with those in the database, adds and changes, and keeps who and why.

The modules of subjects turn their records into `TableRow`s. Not here: what a record means.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from fly_billing.corrections.correction import Actor
from fly_billing.errors import ActionableError
from fly_billing.foreign_text import visible
from fly_billing.money import plain
from fly_billing.periods import BillingMonth, moment_text
from fly_billing.postgres.database import BillingDatabase, Row, copy_rows, lock_until_commit, records, rows
from fly_billing.postgres.isolation import isolate_failures, reason_of
from fly_billing.postgres.statements import sql

LONGEST_CHANGE = 10_000
# Postgres's code of a foreign key that is violated: an item of an open invoice names the deleted row.
USED = "23503"


class CustomerRefused(ActionableError):
    """Records can't be written; nothing of them was. The message has a line for each problem.

    Attributes:
        problems: The lines.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(map(visible, problems))  # a line break in a name begins no line
        super().__init__("\n".join(self.problems))


class Effect(StrEnum):
    """The effect of writing a record."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class Written:
    """The outcome of one record.

    Attributes:
        table: The table that has the record.
        organization_id: None: a coupon, which is nobody's.
        what: The record, for people.
        changes: What changed, as `ended_at: none -> 2026-11-15`.
    """

    effect: Effect
    table: str
    organization_id: str | None
    what: str
    changes: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        return {
            "effect": str(self.effect), "table": self.table, "organization": self.organization_id, "what": self.what,
            "changes": list(self.changes),
        }  # fmt: skip


@dataclass(frozen=True)
class TermTable:
    """A table of organizations or terms, with the names of its statements.

    Attributes:
        key: The columns that identify a row.
        known: The statement that reads rows: of the organizations `:keys` (of coupons: those codes).
        add, change: The statements that insert and update one row.
        withdraw: The statement that deletes one row, which the database refuses if a final invoice used it. None: the
            table has no rows that are deleted.
    """

    name: str
    key: tuple[str, ...]
    known: str
    add: str
    change: str
    withdraw: str | None = None


@dataclass(frozen=True)
class TableRow:
    """A record to write: the columns of its table.

    Attributes:
        what: The record, for people.
        first_month: The first month that it is about.
    """

    values: Mapping[str, Any]
    organization_id: str | None
    what: str
    first_month: BillingMonth
    place: str = ""


Known = dict[tuple[Any, ...], Row]


@contextmanager
def changing(database: BillingDatabase, *, is_dry_run: bool) -> Iterator[Connection]:
    """Yield a connection for changes that are made together. A dry run makes all of them, and then none.

    One at a time: two could each find that there is no subscription yet, and add one.
    """
    with database.transaction() as connection:
        lock_until_commit(connection, "workspace")
        yield connection
        if is_dry_run:
            rows(connection, "check_deferred_constraints")  # otherwise only a commit checks them
            connection.rollback()


def begin_changes(connection: Connection, actor: Actor) -> None:
    """Name the author to the triggers that note changes of closed months."""
    rows(connection, "set_audit_context", who=actor.name, why=actor.why or "")


def known_rows(connection: Connection, table: TermTable, keys: Iterable[str]) -> Known:
    """Read the rows of these organizations (of coupons: with these codes) by key."""
    found = rows(connection, table.known, keys=sorted(set(keys)))
    return {tuple(row[name] for name in table.key): row for row in found}


def by_organization(some: Iterable[Row]) -> Mapping[str, Sequence[Row]]:
    """Group rows by their organization. One without rows has an empty list."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in some:
        found[row["organization_id"]].append(row)
    return found


def write_rows(
    connection: Connection, actor: Actor, table: TermTable, some: Sequence[TableRow], known: Known
) -> list[Written]:
    """Add the new rows and change those that differ.

    Args:
        known: The existing rows, from `known_rows`.

    Returns:
        The outcome of each row, in their order.

    Raises:
        CustomerRefused: A row is given twice, or the database refuses one. Has a line for each.
    """
    begin_changes(connection, actor)
    keys = [tuple(row.values[name] for name in table.key) for row in some]
    repeated = {key for key, count in Counter(keys).items() if count > 1}
    refuse([f"{row.place}{row.what} is given twice" for row, key in zip(some, keys, strict=True) if key in repeated])
    written = [_compare(table, row, known.get(key)) for row, key in zip(some, keys, strict=True)]
    paired = list(zip(some, written, strict=True))
    problems = _execute(connection, table.add, [row for row, done in paired if done.effect == Effect.NEW])
    problems += _execute(connection, table.change, [row for row, done in paired if done.effect == Effect.CHANGED])
    refuse(problems)
    _keep(connection, actor, paired)
    return written


def withdraw_rows(connection: Connection, actor: Actor, table: TermTable, some: Sequence[TableRow]) -> list[Written]:
    """Delete rows that no invoice used, because they were a mistake or never began.

    Raises:
        CustomerRefused: Has a line for each row that an invoice used.
    """
    assert table.withdraw is not None
    begin_changes(connection, actor)
    refuse(_execute(connection, table.withdraw, some))
    written = [Written(Effect.WITHDRAWN, table.name, row.organization_id, row.what) for row in some]
    _keep(connection, actor, zip(some, written, strict=True))
    return written


def refuse(problems: Sequence[str]) -> None:
    if problems:
        raise CustomerRefused(problems)


def _compare(table: TermTable, row: TableRow, existing: Row | None) -> Written:
    if existing is None:
        return Written(Effect.NEW, table.name, row.organization_id, row.what)
    changes = tuple(
        f"{name}: {shown(existing[name])} -> {shown(value)}"
        for name, value in row.values.items()
        if existing[name] != value
    )
    return Written(Effect.CHANGED if changes else Effect.UNCHANGED, table.name, row.organization_id, row.what, changes)


def shown(value: Any) -> str:
    """Write a column's value for people."""
    if isinstance(value, datetime):
        return moment_text(value.astimezone(UTC))
    if isinstance(value, Decimal) and value.is_finite():
        return plain(value)
    if isinstance(value, dict | list | tuple):
        return json.dumps(value)
    return "none" if value is None else str(value)


def _execute(connection: Connection, statement: str, some: Sequence[TableRow]) -> list[str]:
    """Run the statement for each row. Returns a line for each row that the database refuses."""

    def act(part: Sequence[TableRow]) -> None:
        connection.execute(text(sql(statement)), [_bound(row.values) for row in part])

    _, failed = isolate_failures(connection, some, act)
    return [f"{row.place}{row.what}: {refusal_of(problem)}" for row, problem in failed]


def _bound(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: json.dumps(value) if isinstance(value, dict) else value for name, value in values.items()}


def refusal_of(problem: Exception) -> str:
    """Return the reason of the database, with its hint on what to do."""
    error = problem.orig if isinstance(problem, DBAPIError) else None
    if getattr(error, "sqlstate", None) == USED:
        return "an open invoice has it already: end it instead, or charge or give back the difference"
    hint = getattr(getattr(error, "diag", None), "message_hint", None)
    return f"{reason_of(problem)}{f': {hint}' if hint else ''}"


def _keep(connection: Connection, actor: Actor, paired: Iterable[tuple[TableRow, Written]]) -> None:
    keep_changes(connection, actor, [(done, row.first_month) for row, done in paired])


def keep_changes(connection: Connection, actor: Actor, some: Iterable[tuple[Written, BillingMonth]]) -> None:
    """Record who changed what and why, for `history`. Each with the first month that it is about."""
    verbs = {Effect.NEW: "added", Effect.CHANGED: "changed", Effect.WITHDRAWN: "withdrawn"}
    copy_rows(
        connection, "customer_changes",
        ("organization_id", "on_table", "action", "what", "first_month", "changed_by", "why"),
        (
            (
                done.organization_id, done.table, verbs[done.effect],
                "; ".join([done.what, *done.changes])[:LONGEST_CHANGE], month.first_day, actor.name, actor.why,
            )
            for done, month in some
            if done.effect != Effect.UNCHANGED
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class ClosedMonthsChanged:
    """A change of this transaction that affects months with final invoices: each waits for a decision.

    Attributes:
        organization_id: None: it is of a price book, for all that are billed by it.
        last_month: The last month that it affects; None: no end.
    """

    organization_id: str | None
    what: str
    first_month: date
    last_month: date | None

    @property
    def notice(self) -> str:
        name = self.organization_id or "ORG"
        return (
            f"{self.what}: final invoices from {self.first_month:%Y-%m} on stay as they are until somebody decides:"
            f" `fly-billing corrections` lists them, `rebill {name} MONTH` books the difference"
        )


def closed_months_changed(connection: Connection, actor: Actor) -> list[ClosedMonthsChanged]:
    """List the changes of this transaction that final invoices wait for a decision on."""
    return records(connection, ClosedMonthsChanged, "closed_months_changed", who=actor.name)


def problems_of(some: Sequence[Any], check: Callable[[Any], str | None]) -> list[str]:
    """Check each record; return a line for each with a problem: its place, its title, and the problem."""
    found = ((record, check(record)) for record in some)
    return [f"{record.place}{record.title}: {problem}" for record, problem in found if problem]
