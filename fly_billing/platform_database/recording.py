"""Compares the rows of a platform's database with the billing database, and writes the difference in one transaction.

An organization with a row that is refused stays as it is; the others are written. Not here: reading rows (`snapshot`,
`rows`), and the rules of terms (`customers`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from fly_billing.corrections.correction import Actor
from fly_billing.customers.billable import refuse_unbillable_terms
from fly_billing.customers.organizations import Groups
from fly_billing.customers.writing import (
    ClosedMonthsChanged,
    CustomerRefused,
    begin_changes,
    changing,
    closed_months_changed,
    refusal_of,
)
from fly_billing.errors import ActionableError
from fly_billing.platform_database.checking import CheckedRows, check_rows, record_of
from fly_billing.platform_database.rows import PlatformRows, read_rows
from fly_billing.platform_database.rules.losses import OwnedRecords, suspicious_loss
from fly_billing.platform_database.rules.refusals import RefusedRow, attributed
from fly_billing.platform_database.rules.successions import (
    Matched,
    match_rows,
    refuse_both,
    refuse_moved,
    renamed_organizations,
)
from fly_billing.platform_database.snapshot import ForeignDatabase, foreign_snapshot
from fly_billing.postgres.database import BillingDatabase, rows, values
from fly_billing.postgres.isolation import is_row_error
from fly_billing.pricing.price_books import read_price_books
from fly_billing.settings import secret_from_environment
from fly_billing.workspace.applying import priced_otherwise
from fly_billing.workspace.databases import DeclaredDatabases, PlatformDatabase
from fly_billing.workspace.ending import end_records
from fly_billing.workspace.entries import OrganizationEntry, WorkspaceSettings
from fly_billing.workspace.files import VERSION, Workspace
from fly_billing.workspace.held import held_records, with_uses
from fly_billing.workspace.rules.mistakes import books_of
from fly_billing.workspace.rules.planning import ADDED, ENDED, REMOVED, PlannedChange, WorkspacePlan, make_plan
from fly_billing.workspace.rules.records import HeldRecord, Record, comparable
from fly_billing.workspace.writing import keep_owners, write_records

_QUERY_OF = {"organization": "organizations", "subscription": "subscriptions", "charge": "charges"}


_KINDS = tuple(_QUERY_OF)


class PlatformRecordsLost(ActionableError):
    """The platform's database has lost suspiciously many rows. Nothing was written; the message says what was lost."""


class PlatformReadRunning(ActionableError):
    """Another process reads the same database now."""


@dataclass(frozen=True)
class PlatformRead:
    """The outcome of reading one database.

    Attributes:
        database: Its name in sources.yaml.
        changes: What was written, or would be.
        unchanged: The number of records that agreed already.
        read: The number of rows of each query.
        refused: Rows whose organizations stay as they are.
        loss: Why nothing is written without `may_lose_many`. None: nothing suspicious.
        closed_months: Changes that final invoices wait for a decision on.
    """

    database: str
    changes: Sequence[PlannedChange]
    unchanged: int
    read: Mapping[str, int]
    refused: Sequence[RefusedRow]
    loss: str | None = None
    closed_months: Sequence[ClosedMonthsChanged] = ()

    @property
    def counts(self) -> dict[str, int]:
        return {**WorkspacePlan(self.changes, self.unchanged).counts, "refused": len(self.refused)}


@dataclass(frozen=True)
class _Planned:
    """The changes that the rows ask for.

    Attributes:
        held: All records in the billing database, also of organizations that stay as they are.
    """

    workspace: Workspace
    plan: WorkspacePlan
    matched: Matched
    checked: CheckedRows
    held: Sequence[HeldRecord]


def read_platform_database(
    billing: BillingDatabase,
    declared: DeclaredDatabases,
    database: PlatformDatabase,
    actor: Actor,
    groups: Groups,
    *,
    is_dry_run: bool = False,
    may_lose_many: bool = False,
) -> PlatformRead:
    """Read a platform's database and make the billing database agree with it. Again, it changes nothing.

    Args:
        actor: Who reads it. A change applies from `actor.at` on.
        groups: How new organizations get their billing group.
        is_dry_run: Write everything, and roll it back. A suspicious loss is returned and not raised.
        may_lose_many: Close more organizations, or end more terms, than `most_closed_percent` allows.

    Raises:
        PlatformDatabaseProblem, SettingsError: The database can't be read.
        PlatformRecordsLost: It would end suspiciously many records. Nothing was written.
        PlatformReadRunning: Another process reads it now: of two snapshots, the older one could be written last.
    """
    with billing.session_lock(f"platform database {declared.owner(database)}") as is_ours:
        if not is_ours:
            raise PlatformReadRunning(f"{database.name}: another process reads it now: wait until it has ended")
        return _read_and_write(
            billing, declared, database, actor, groups, is_dry_run=is_dry_run, may_lose_many=may_lose_many
        )


def _read_and_write(
    billing: BillingDatabase,
    declared: DeclaredDatabases,
    database: PlatformDatabase,
    actor: Actor,
    groups: Groups,
    *,
    is_dry_run: bool,
    may_lose_many: bool,
) -> PlatformRead:
    found = _read(declared, database)
    at = actor.at.replace(microsecond=0)
    with changing(billing, is_dry_run=is_dry_run) as connection:
        planned = _plan(connection, declared, database, found, at)
        loss = None if may_lose_many else _loss(connection, planned, declared, at)
        if loss and is_dry_run:
            return _outcome(database, planned, loss=loss)
        if loss:
            raise PlatformRecordsLost(
                f"{database.name}: {loss}. Nothing was written. If that is meant: `fly-billing read-platform"
                " --close-many`"
            )
        planned = _write(connection, replace(actor, at=at), planned, groups)
        return _outcome(database, planned, closed_months=closed_months_changed(connection, actor))


def _read(declared: DeclaredDatabases, database: PlatformDatabase) -> PlatformRows:
    url: SecretStr = secret_from_environment(
        database.url_variable, f"sources.yaml names it for the database {database.name}"
    )
    foreign = ForeignDatabase(database.name, database.url_variable, url, database.statement_seconds)
    with foreign_snapshot(foreign) as snapshot:
        return read_rows(snapshot, database, declared.only_book)


def _plan(
    connection: Connection,
    declared: DeclaredDatabases,
    database: PlatformDatabase,
    found: PlatformRows,
    now: datetime,
) -> _Planned:
    settings = WorkspaceSettings(version=VERSION, name=declared.owner(database))
    checked = check_rows(found, books_of(read_price_books(connection)))
    while True:  # until no row is refused: a refused one keeps all records of its organization as they are
        planned = _compared(connection, settings, checked, now)
        refused = [_refused(change, checked) for change in planned.plan.refusals]
        refused += [
            RefusedRow("organizations", None, name, name, problem)
            for name, problem in renamed_organizations(planned.plan.changes, planned.held).items()
        ]
        if not refused:
            return planned
        checked = checked.without(refused)


def _compared(
    connection: Connection, settings: WorkspaceSettings, checked: CheckedRows, now: datetime
) -> _Planned:  # fmt: skip
    organizations = {entry.id: entry for _, entry in checked.entries if isinstance(entry, OrganizationEntry)}
    terms = {
        (entry.KIND, entry.record_key): entry.record(record_of(row, entry, organizations).place)
        for row, entry in checked.entries
        if not isinstance(entry, OrganizationEntry)
    }
    named = [record_of(row, entry, organizations) for row, entry in checked.entries]
    workspace = Workspace(settings, named, organizations, {}, (), ())
    held = [one for one in held_records(connection, workspace) if one.kind in _QUERY_OF]
    held_back = checked.held_back
    compared = [one for one in held if one.organization not in held_back]
    matched = match_rows(terms, compared, settings.name, now)
    wanted = [_with_term(record, matched.terms.get((record.kind, record.key))) for record in named]
    plan = make_plan(wanted, _present(matched, wanted, checked.unreadable), now)
    changes = refuse_moved(with_uses(connection, plan.changes), matched.moved)
    changes = sorted(
        refuse_both(changes, matched.held), key=lambda change: (_KINDS.index(change.kind), _is_new(change))
    )
    plan = replace(plan, changes=changes)
    return _Planned(replace(workspace, records=wanted, terms=matched.terms), plan, matched, checked, held)


def _is_new(change: PlannedChange) -> bool:
    return change.action == ADDED  # what ends stands before what follows it


def _with_term(record: Record, term: Any) -> Record:
    """Return the record of a row with the values of its term, which may be a successor of an earlier one."""
    if term is None:
        return record
    names = {"organization": "organization_id", "price": "price_key"}
    columns = {name: comparable(getattr(term, names.get(name, name))) for name in record.values}
    if record.kind == "charge":
        columns |= {"amount": comparable(term.total), "currency": record.values["currency"]}
    return replace(record, values=columns, id=str(term.id))


def _present(matched: Matched, wanted: Sequence[Record], unreadable: Collection[str]) -> list[HeldRecord]:
    """Return the records without those of which nobody knows whether they are gone: their row may be unreadable."""
    keys = {(record.kind, record.key) for record in wanted}
    replaced = {*matched.moved, *matched.succeeded}
    gone = [one for one in matched.held if one.is_owned and (one.kind, one.key) not in keys and one.key not in replaced]
    closing = {one.key for one in gone if one.kind == "organization"} if "organizations" in unreadable else set()
    hidden = {id(one) for one in gone if _QUERY_OF[one.kind] in unreadable or one.organization in closing}
    return [one for one in matched.held if id(one) not in hidden]


def _refused(change: PlannedChange, checked: CheckedRows) -> RefusedRow:
    row = checked.places.get(change.place)
    problem = f"{change.kind} {change.key}: {change.refused}"
    if row is not None:
        return replace(row, problem=problem)
    return RefusedRow(_QUERY_OF[change.kind], None, change.key, change.organization, problem)


def _loss(connection: Connection, planned: _Planned, declared: DeclaredDatabases, now: datetime) -> str | None:
    charges = [one.id for one in planned.held if one.kind == "charge" and one.is_owned]
    billed = {str(each) for each in values(connection, "billed_one_off_items", ids=charges)}
    return suspicious_loss(
        planned.plan.changes, OwnedRecords.of(planned.held, billed, now), planned.checked.read,
        {*planned.matched.moved, *planned.matched.succeeded}, declared.settings.most_closed_percent,
    )  # fmt: skip


def _write(connection: Connection, actor: Actor, planned: _Planned, groups: Groups) -> _Planned:
    """Write the changes; those of organizations that the rules of terms or the database refuse are left out."""
    while True:
        try:
            with connection.begin_nested():
                _write_changes(connection, actor, planned, planned.plan.changes, groups)
        except (CustomerRefused, DBAPIError) as problem:
            refused = _whose(connection, actor, planned, groups, problem)
            if not refused:
                raise
        else:
            return planned
        checked = planned.checked.without(refused)
        bad = checked.held_back
        changes = [change for change in planned.plan.changes if change.organization not in bad]
        planned = replace(planned, plan=replace(planned.plan, changes=changes), checked=checked)


def _write_changes(
    connection: Connection, actor: Actor, planned: _Planned, changes: Sequence[PlannedChange], groups: Groups
) -> None:
    plan = replace(planned.plan, changes=changes)
    begin_changes(connection, actor)
    end_records(connection, actor, [change for change in changes if change.action in (ENDED, REMOVED)])
    write_records(connection, actor, planned.workspace, plan, groups)
    keep_owners(connection, planned.workspace, plan)
    refuse_unbillable_terms(connection, priced_otherwise(changes))
    rows(connection, "check_deferred_constraints")


def _whose(
    connection: Connection, actor: Actor, planned: _Planned, groups: Groups, problem: Exception
) -> list[RefusedRow]:  # fmt: skip
    """Return the rows that a refusal is about: those that it names, or those of the organizations that fail alone."""
    if not isinstance(problem, CustomerRefused):
        if not is_row_error(problem):
            raise problem
        return _failing_alone(connection, actor, planned, groups)
    found, others = attributed(problem.problems, planned.checked.places)
    return found if found and not others else [*found, *_failing_alone(connection, actor, planned, groups)]


def _failing_alone(connection: Connection, actor: Actor, planned: _Planned, groups: Groups) -> list[RefusedRow]:
    """Try the changes of each half of the organizations, and so on, until only those that fail are left."""
    found: list[RefusedRow] = []
    left = [sorted({change.organization or "" for change in planned.plan.changes})]
    while left:
        some = left.pop()
        its = [change for change in planned.plan.changes if change.organization in some]
        savepoint = connection.begin_nested()
        try:
            _write_changes(connection, actor, planned, its, groups)
        except (CustomerRefused, DBAPIError) as problem:
            if not isinstance(problem, CustomerRefused) and not is_row_error(problem):
                raise
            middle = len(some) // 2
            if middle:
                left += [some[:middle], some[middle:]]
            else:
                text = "; ".join(problem.problems) if isinstance(problem, CustomerRefused) else refusal_of(problem)
                found.append(RefusedRow("organizations", None, some[0], some[0], text))
        finally:
            savepoint.rollback()
    return found


def _outcome(
    database: PlatformDatabase,
    planned: _Planned,
    *,
    loss: str | None = None,
    closed_months: Sequence[ClosedMonthsChanged] = (),
) -> PlatformRead:
    checked = planned.checked
    return PlatformRead(
        database.name, planned.plan.changes, planned.plan.unchanged, checked.read, checked.refused, loss, closed_months
    )
