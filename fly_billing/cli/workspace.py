"""Writes, plans and applies a workspace of files: `fly-billing init`, `plan` and `apply`."""

from __future__ import annotations

import getpass
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, confirm, joined, styled
from fly_billing.cli.workspace_folder import say_if_sources_are_not_used, workspace_folder
from fly_billing.corrections.correction import Actor
from fly_billing.customers.organizations import Groups
from fly_billing.money import counted
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate, owner_database
from fly_billing.pricing.rules.book_difference import FieldChange, parts_of
from fly_billing.settings import Settings
from fly_billing.workspace.applying import (
    PlannedWorkspace,
    WorkspaceNotApplied,
    apply_workspace,
    plan_workspace,
)
from fly_billing.workspace.rules.notices import notices_of
from fly_billing.workspace.rules.planning import ACTIONS, ADDED, TAKEN_OVER, PlannedChange
from fly_billing.workspace.starter_files import write_starter

# The sign and the style of each action. Records that are taken over are only counted.
_SIGNS = {
    "added": ("+", "green"),
    "changed": ("~", "yellow"),
    "ended": ("-", "red"),
    "removed": ("-", "red"),
    "released": (".", ""),
}


@dataclass(frozen=True)
class ApplyOptions:
    """Options of `fly-billing apply`.

    Attributes:
        by: Who applies it; None: the user of the operating system.
        close_many: Close more organizations, or end more terms, than the workspace's settings allow.
    """

    yes: bool
    by: str | None
    why: str | None
    close_many: bool
    as_json: bool


def start_workspace(console: Terminal, folder: Path) -> None:
    """Write a new workspace. Raises FolderNotEmpty, FolderNotMade, OutputNotWritten."""
    for name in write_starter(folder):
        console.print(str(folder / name), soft_wrap=True)
    console.print(f"Edit these files, then: fly-billing plan {folder}; fly-billing apply {folder}", soft_wrap=True)


def show_plan(console: Terminal, folder: Path | None, *, as_json: bool, is_check: bool) -> bool:
    """Print what an apply would change.

    Args:
        folder: None: FLY_BILLING_WORKSPACE, or the current folder.

    Returns:
        True if it can be applied and, for a check, changes nothing.

    Raises:
        FolderNotNamed: No folder is named, and the current one is not a workspace.
        WorkspaceHasMistakes: The files have mistakes.
    """
    its = workspace_folder(folder, "plan")
    with local_platform(migrates=True) as settings:
        actor = Actor(getpass.getuser(), datetime.now(UTC))
        planned = plan_workspace(_database(settings), its, actor, _groups(settings))
    if as_json:
        print(json.dumps(_data(planned), indent=2))
    else:
        _print_plan(console, planned)
    return not (planned.refusals or planned.loss or (is_check and planned.plan.changes))


def apply_folder(console: Terminal, folder: Path | None, options: ApplyOptions) -> bool:
    """Show the plan, ask, and apply it. Returns False if the person says no.

    Raises:
        FolderNotNamed, WorkspaceHasMistakes, WorkspaceNotApplied, CustomerRefused, PriceBookRefused: Nothing was
            applied.
    """
    its = workspace_folder(folder, "apply")
    actor = Actor(options.by or getpass.getuser(), datetime.now(UTC), options.why or "applied from workspace files")
    with local_platform(migrates=True) as settings:
        database, groups = _database(settings), _groups(settings)
        planned = plan_workspace(database, its, actor, groups, is_tried=not options.yes)
        if not options.as_json:
            _print_plan(console, planned)
        if planned.refusals:
            raise WorkspaceNotApplied("\n".join(planned.refusals))
        if planned.plan.changes:
            if not options.yes and not (sys.stdin.isatty() and confirm(console, "Apply this plan?")):
                console.print("Nothing was applied. `fly-billing apply --yes` applies it without asking.")
                return False
            applied = apply_workspace(
                database, planned.workspace, actor, groups,
                approved=None if options.yes else planned.plan, may_close_many=options.close_many,
            )  # fmt: skip
            planned = replace(planned, plan=applied.plan, closed_months=applied.closed_months)
    if options.as_json:
        print(json.dumps(_data(planned), indent=2))
        return True
    if planned.plan.changes:
        console.print("Applied.")
        if options.yes:
            _print_notes(console, _closed_months(planned))
    say_if_sources_are_not_used(console, its, settings)
    return True


def _groups(settings: Settings) -> Groups:
    return Groups(settings.max_org_partitions, settings.shared_groups)


def _database(settings: Settings) -> BillingDatabase:
    migrate(owner_database(settings))
    return BillingDatabase(settings.database_url)


def _data(planned: PlannedWorkspace) -> dict[str, Any]:
    return {
        "workspace": planned.workspace.settings.name,
        "counts": planned.plan.counts,
        "changes": [change.as_data() for change in planned.plan.changes],
        "refused": planned.refusals,
        "needs_close_many": planned.loss,
        "notices": _notices(planned),
    }


def _notices(planned: PlannedWorkspace) -> list[str]:
    return [*notices_of(planned.plan.changes, BillingMonth.containing(datetime.now(UTC))), *_closed_months(planned)]


def _closed_months(planned: PlannedWorkspace) -> list[str]:
    return list(dict.fromkeys(change.notice for change in planned.closed_months))


def _print_plan(console: Terminal, planned: PlannedWorkspace) -> None:
    plan = planned.plan
    for change in plan.changes:
        if change.action != TAKEN_OVER or change.refused:
            print_change(console, change)
    taken = Counter(change.kind for change in plan.changes if change.action == TAKEN_OVER)
    if taken:
        kinds = ", ".join(f"{kind} ({number})" for kind, number in taken.items())
        console.print(f"= in the database already, and the workspace's from now on: {kinds}", soft_wrap=True)
    counts = plan.counts
    done = ", ".join(f"{counts[action]} {action}" for action in ACTIONS if counts[action])
    console.print(f"{planned.workspace.settings.name}: {done or 'no changes'}; {counts['unchanged']} unchanged.")
    if planned.loss:
        console.print(styled("refused", "red"), f"{planned.loss}: `apply` needs --close-many", soft_wrap=True)
    for problem in planned.problems:
        console.print(styled("refused", "red"), problem, soft_wrap=True)
    if refused := planned.refusals:
        console.print(f"{counted(len(refused), 'change')} refused: nothing can be applied.")
    _print_notes(console, _notices(planned))


def print_change(console: Terminal, change: PlannedChange) -> None:
    """Print a change with its sign, its fields, and why it is refused."""
    sign, style = _SIGNS.get(change.action, ("~", "yellow"))
    changed = [_field(part) for field in change.fields for part in parts_of(field)]
    fields = _added(change) if change.action == ADDED else changed
    details = f": {', '.join(fields)}" if fields else ""
    text = f" {change.kind} {change.key} {change.action}{details}"
    used = f" ({change.used_by} used it)" if change.used_by and not change.refused else ""
    console.print(joined(styled(sign, style), text, styled(used, "yellow")), soft_wrap=True)
    if change.refused:
        console.print(joined("    ", styled("refused", "red"), f" {change.place}{change.refused}"), soft_wrap=True)


def _added(change: PlannedChange) -> list[str]:
    """Return the fields of a new record that its key does not have."""
    named = set(change.key.split("/"))
    return [
        f"{field.field} {_text(field.after)}"
        for field in change.fields
        if field.after not in (None, False, [], {}) and str(field.after) not in named
    ]


def _field(field: FieldChange) -> str:
    return f"{field.field} {_text(field.before)} -> {_text(field.after)}"


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


def _print_notes(console: Terminal, notices: Sequence[str]) -> None:
    for notice in notices:
        console.print(styled("note", "yellow"), notice, soft_wrap=True)
