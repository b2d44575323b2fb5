"""Plans and applies a workspace: makes the database agree with the files, in one transaction.

Not here: reading files (`files`), and the rules of terms and prices (`customers`, `pricing`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from fly_billing.corrections.correction import Actor
from fly_billing.customers.billing_details import DETAILS as DETAILS_TABLE
from fly_billing.customers.billing_details import write_billing_details
from fly_billing.customers.charges import write_charges
from fly_billing.customers.commitments import write_commitments
from fly_billing.customers.coupons import give_coupons, write_coupons
from fly_billing.customers.credits import write_credits
from fly_billing.customers.links import write_links
from fly_billing.customers.organizations import ORGANIZATIONS, Groups, write_organizations
from fly_billing.customers.price_overrides import write_memberships, write_price_overrides
from fly_billing.customers.rules.organizations import CustomerDetails
from fly_billing.customers.subscriptions import write_subscriptions
from fly_billing.customers.taxes import write_tax_statuses, write_taxes
from fly_billing.customers.writing import (
    ClosedMonthsChanged,
    CustomerRefused,
    Effect,
    Written,
    begin_changes,
    changing,
    closed_months_changed,
    keep_changes,
    known_rows,
)
from fly_billing.errors import ActionableError
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, rows
from fly_billing.postgres.isolation import reason_of
from fly_billing.pricing.price_books import load_price_book
from fly_billing.workspace.ending import end_records
from fly_billing.workspace.entries import DETAILS, OrganizationEntry
from fly_billing.workspace.files import Workspace, read_workspace
from fly_billing.workspace.held import held_records, known_prices, with_uses
from fly_billing.workspace.rules.planning import (
    ADDED,
    CHANGED,
    ENDED,
    RELEASED,
    REMOVED,
    TAKEN_OVER,
    PlannedChange,
    WorkspacePlan,
    make_plan,
)


class WorkspaceNotApplied(ActionableError):
    """A workspace can't be applied. The message says why; nothing was written."""


@dataclass(frozen=True)
class PlannedWorkspace:
    """A workspace and its plan.

    Attributes:
        problems: Why the rules of terms or the database would refuse the plan, a line each.
        closed_months: Changes that final invoices would wait for a decision on.
    """

    workspace: Workspace
    plan: WorkspacePlan
    problems: Sequence[str] = ()
    closed_months: Sequence[ClosedMonthsChanged] = ()

    @property
    def refusals(self) -> list[str]:
        """Every reason for which nothing of the plan can be applied."""
        lines = [f"{change.place}{change.kind} {change.key}: {change.refused}" for change in self.plan.refusals]
        return [*lines, *self.problems]


@dataclass(frozen=True)
class AppliedWorkspace:
    """What an apply did.

    Attributes:
        closed_months: Changes that final invoices wait for a decision on.
    """

    plan: WorkspacePlan
    closed_months: Sequence[ClosedMonthsChanged]


def plan_workspace(
    database: BillingDatabase, folder: Path, actor: Actor, groups: Groups, *, is_tried: bool = True
) -> PlannedWorkspace:
    """Read the folder and compare it with the database. Nothing is changed.

    Args:
        groups: How new organizations get their billing group.
        is_tried: Apply the plan and roll it back, to know what the rules of terms and the database would refuse.

    Raises:
        WorkspaceHasMistakes: The files have mistakes.
    """
    with database.consistent_read() as connection:
        workspace = read_workspace(folder, known_prices(connection))
        planned = PlannedWorkspace(workspace, _plan(connection, workspace, actor))
    if not is_tried or not planned.plan.changes or planned.refusals:
        return planned
    try:
        with changing(database, is_dry_run=True) as connection:
            applied = _apply(connection, workspace, actor, groups, None, may_close_many=True)
    except (CustomerRefused, WorkspaceNotApplied) as problem:
        return replace(planned, problems=str(problem).splitlines())
    return replace(planned, closed_months=applied.closed_months)


def _plan(connection: Connection, workspace: Workspace, actor: Actor) -> WorkspacePlan:
    plan = make_plan(workspace.records, held_records(connection, workspace), actor.at)
    return replace(plan, changes=with_uses(connection, plan.changes))


def apply_workspace(
    database: BillingDatabase,
    workspace: Workspace,
    actor: Actor,
    groups: Groups,
    *,
    approved: WorkspacePlan | None = None,
    may_close_many: bool = False,
) -> AppliedWorkspace:
    """Make the database agree with the files as they were read: all of it, or nothing. Again, it changes nothing.

    Args:
        groups: How new organizations get their billing group.
        approved: The plan that a person agreed to. None: whatever the plan is now.
        may_close_many: Close more organizations than `most_closed_percent` allows.

    Raises:
        WorkspaceNotApplied: The plan is not the approved one any more, a change is refused, or it closes too many
            organizations.
        CustomerRefused: The database or a rule of terms refuses a record.
    """
    with database.transaction() as connection:
        return _apply(connection, workspace, actor, groups, approved, may_close_many=may_close_many)


def _apply(
    connection: Connection,
    workspace: Workspace,
    actor: Actor,
    groups: Groups,
    approved: WorkspacePlan | None,
    *,
    may_close_many: bool,
) -> AppliedWorkspace:
    lock_until_commit(connection, "workspace")
    planned = PlannedWorkspace(workspace, _plan(connection, workspace, actor))
    _refuse(planned, approved, may_close_many=may_close_many)
    begin_changes(connection, actor)
    _load_books(connection, actor, planned)
    changes = planned.plan.changes
    end_records(connection, actor, [change for change in changes if change.action in (ENDED, REMOVED)])
    _write(connection, actor, planned, groups)
    _keep_owners(connection, planned)
    rows(connection, "check_deferred_constraints")
    return AppliedWorkspace(planned.plan, closed_months_changed(connection, actor))


def _refuse(planned: PlannedWorkspace, approved: WorkspacePlan | None, *, may_close_many: bool) -> None:
    plan = planned.plan
    if approved is not None and approved.changes != plan.changes:
        raise WorkspaceNotApplied("the database changed after the plan was shown: plan again")
    if planned.refusals:
        raise WorkspaceNotApplied("\n".join(planned.refusals))
    if not may_close_many and (loss := plan.loss(planned.workspace.settings.most_closed_percent)):
        raise WorkspaceNotApplied(f"{loss}: add --close-many if that is meant")


def _load_books(connection: Connection, actor: Actor, planned: PlannedWorkspace) -> None:
    """Load the price books with new or changed versions. Negotiated prices follow when their organizations exist."""
    changed = [change for change in planned.plan.changes if change.action in (ADDED, CHANGED)]
    changed = [change for change in changed if change.kind in _OF_BOOKS]
    if not changed:
        return
    for book in planned.workspace.books:
        try:
            load_price_book(connection, replace(book, meters=planned.workspace.meters, negotiated=(), members=()))
        except (ValueError, IntegrityError) as problem:
            reason = problem if isinstance(problem, ValueError) else reason_of(problem)
            raise WorkspaceNotApplied(f"price book {book.name}: {reason}") from problem
    month = BillingMonth.containing(actor.at)
    keep_changes(connection, actor, [(_written(change), month) for change in changed])


# The tables of the kinds that the files of price books have.
_OF_BOOKS = {"meter": "meters", "price": "prices", "book tax": "tax_rates"}


def _written(change: PlannedChange) -> Written:
    effect = Effect.NEW if change.action == ADDED else Effect.CHANGED
    fields = () if change.action == ADDED else tuple(f"{f.field}: {f.before} -> {f.after}" for f in change.fields)
    return Written(effect, _OF_BOOKS[change.kind], None, f"{change.kind} {change.key}", fields)


def _write(connection: Connection, actor: Actor, planned: PlannedWorkspace, groups: Groups) -> None:
    """Write the new and changed records of organizations and terms."""
    some: dict[tuple[str, str], list[PlannedChange]] = defaultdict(list)
    for change in planned.plan.changes:
        some[change.kind, change.action].append(change)
    if organizations := some["organization", CHANGED] + some["organization", ADDED]:
        _write_organizations(connection, actor, planned.workspace, organizations, groups)
    for kind, write in _WRITERS.items():
        for action in (CHANGED, ADDED):  # what ends makes room for what follows it
            if terms := [_term(planned.workspace, change) for change in some[kind, action]]:
                write(connection, actor, terms)


_WRITERS: Mapping[str, Callable[[Connection, Actor, Sequence[Any]], Any]] = {
    "link": write_links,
    "tax": write_taxes,
    "tax customer": write_tax_statuses,
    "subscription": write_subscriptions,
    "charge": write_charges,
    "commitment": write_commitments,
    "credit": write_credits,
    "coupon": write_coupons,
    "discount": partial(give_coupons, keeps_end=False),
    "negotiated price": write_price_overrides,
    "group member": write_memberships,
}


def _term(workspace: Workspace, change: PlannedChange) -> Any:
    """Return the typed record of a change, with the id of the row that it changes."""
    term = workspace.terms[change.kind, change.key]
    return replace(term, recorded_as=UUID(change.id)) if change.id and hasattr(term, "recorded_as") else term


def _write_organizations(
    connection: Connection, actor: Actor, workspace: Workspace, some: Sequence[PlannedChange], groups: Groups
) -> None:
    entries = [(change, workspace.organizations[change.key]) for change in some]
    known = known_rows(connection, ORGANIZATIONS, (change.key for change in some))
    starts = {name: row["created_at"] for (name,), row in known.items()}
    typed = [entry.organization(change.place, starts.get(change.key, actor.at)) for change, entry in entries]
    write_organizations(connection, actor, typed, groups)
    detailed = [(change, entry) for change, entry in entries if _has_details(change)]
    existing = known_rows(connection, DETAILS_TABLE, (change.key for change, _ in detailed))
    details = [_details(entry, existing.get((change.key,), {}), change.place) for change, entry in detailed]
    write_billing_details(connection, actor, details)


def _has_details(change: PlannedChange) -> bool:
    """Return True if a change of an organization is about the details for its invoices."""
    return any(
        field.field in DETAILS and (field.before, field.after) not in ((None, []), (None, "charge_automatically"))
        for field in change.fields
    )


def _details(entry: OrganizationEntry, existing: Mapping[str, Any], place: str) -> CustomerDetails:
    """Return the details that the file gives, and those that exist for columns that it does not have."""
    given = {name: getattr(entry, name) for name in DETAILS if name in entry.model_fields_set}
    kept = {name: tuple(value) if isinstance(value, list) else value for name, value in existing.items()}
    columns: dict[str, Any] = {"organization_id": entry.id, **kept, **given, "place": place}
    return CustomerDetails(**columns)


def _keep_owners(connection: Connection, planned: PlannedWorkspace) -> None:
    """Record which records the workspace owns from now on."""
    lost = [change for change in planned.plan.changes if change.action in (ENDED, REMOVED, RELEASED)]
    rows(
        connection, "release_workspace_records",
        kinds=[change.kind for change in lost], ids=[change.id for change in lost],
    )  # fmt: skip
    new = {(record.kind, record.key): record.id for record in planned.workspace.records}
    won = [change for change in planned.plan.changes if change.action in (ADDED, TAKEN_OVER, CHANGED)]
    rows(
        connection, "own_workspace_records",
        workspace=planned.workspace.settings.name, kinds=[change.kind for change in won],
        ids=[change.id or new[change.kind, change.key] for change in won],
        keys=[change.key for change in won],
    )  # fmt: skip
