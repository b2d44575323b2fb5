"""Plans and applies a workspace: makes the database agree with the files, in one transaction.

Not here: reading files (`files`), writing records (`writing`, `ending`), and the rules of terms and prices
(`customers`, `pricing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection

from fly_billing.corrections.correction import Actor
from fly_billing.customers.billable import refuse_unbillable_terms
from fly_billing.customers.organizations import Groups
from fly_billing.customers.writing import (
    ClosedMonthsChanged,
    CustomerRefused,
    begin_changes,
    changing,
    closed_months_changed,
)
from fly_billing.errors import ActionableError
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, rows
from fly_billing.workspace.ending import end_records
from fly_billing.workspace.files import Workspace, read_workspace
from fly_billing.workspace.held import held_records, known_prices, with_uses
from fly_billing.workspace.rules.edited_keys import refuse_edited_keys
from fly_billing.workspace.rules.planning import (
    CHANGED,
    ENDED,
    REMOVED,
    PlannedChange,
    WorkspacePlan,
    make_plan,
)
from fly_billing.workspace.writing import PriceBookRefused, keep_owners, load_books, write_records


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
    def loss(self) -> str | None:
        """Why it closes suspiciously many organizations, or ends many terms; None if it does not."""
        return self.plan.loss(self.workspace.settings.most_closed_percent)

    @property
    def refusals(self) -> list[str]:
        """Every reason for which nothing of the plan can be applied."""
        lines = [f"{change.place}{change.kind} {change.key}: {change.refused}" for change in self.plan.refusals]
        return [*lines, *self.problems]


@dataclass(frozen=True)
class AppliedWorkspace:
    """The outcome of an apply.

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
    except (CustomerRefused, PriceBookRefused) as problem:
        return replace(planned, problems=str(problem).splitlines())
    return replace(planned, closed_months=applied.closed_months)


def _plan(connection: Connection, workspace: Workspace, actor: Actor) -> WorkspacePlan:
    held = held_records(connection, workspace)
    plan = make_plan(workspace.records, held, actor.at)
    return replace(plan, changes=refuse_edited_keys(with_uses(connection, plan.changes), workspace.records, held))


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
        may_close_many: Close more organizations, or end more terms, than `most_closed_percent` allows.

    Raises:
        WorkspaceNotApplied: The plan is not the approved one any more, a change is refused, or it closes too many
            organizations.
        CustomerRefused, PriceBookRefused: The database or a rule of terms or prices refuses a record.
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
    load_books(connection, actor, workspace, planned.plan)
    changes = planned.plan.changes
    end_records(connection, actor, [change for change in changes if change.action in (ENDED, REMOVED)])
    write_records(connection, actor, workspace, planned.plan, groups)
    keep_owners(connection, workspace, planned.plan)
    refuse_unbillable_terms(connection, priced_otherwise(changes))
    rows(connection, "check_deferred_constraints")
    return AppliedWorkspace(planned.plan, closed_months_changed(connection, actor))


def priced_otherwise(changes: Sequence[PlannedChange]) -> list[str]:
    """Return the organizations that get another currency or price book."""
    return [
        change.key
        for change in changes
        if change.kind == "organization" and change.action == CHANGED
        and {"currency", "price_book"} & {each.field for each in change.fields}
    ]  # fmt: skip


def _refuse(planned: PlannedWorkspace, approved: WorkspacePlan | None, *, may_close_many: bool) -> None:
    plan = planned.plan
    if approved is not None and approved.changes != plan.changes:
        raise WorkspaceNotApplied("the database changed after the plan was shown: plan again")
    if planned.refusals:
        raise WorkspaceNotApplied("\n".join(planned.refusals))
    if not may_close_many and planned.loss:
        raise WorkspaceNotApplied(f"{planned.loss}: add --close-many if that is meant")
