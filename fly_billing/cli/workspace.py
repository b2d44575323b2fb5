"""Writes, plans and applies a workspace of files: `fly-billing init`, `plan` and `apply`."""

from __future__ import annotations

import getpass
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, confirm, joined, styled
from fly_billing.corrections.correction import Actor
from fly_billing.customers.organizations import Groups
from fly_billing.money import counted
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate, owner_database
from fly_billing.pricing.rules.book_difference import FieldChange
from fly_billing.settings import Settings
from fly_billing.workspace.applying import (
    AppliedWorkspace,
    PlannedWorkspace,
    apply_workspace,
    plan_workspace,
)
from fly_billing.workspace.rules.planning import ACTIONS, ADDED, TAKEN_OVER, PlannedChange, WorkspacePlan
from fly_billing.workspace.starter_files import write_starter

# The sign and the style of each action. What is taken over is counted only.
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
        close_many: Close more organizations than the workspace's settings allow.
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


def show_plan(console: Terminal, folder: Path, *, as_json: bool) -> bool:
    """Print what an apply would change. Returns True if it would change nothing. Raises WorkspaceHasMistakes."""
    with local_platform(migrates=True) as settings:
        planned = plan_workspace(_database(settings), folder.resolve(), Actor(getpass.getuser(), datetime.now(UTC)))
    if as_json:
        print(json.dumps(_data(planned.plan, planned.workspace.settings.name), indent=2))
    else:
        _print_plan(console, planned)
    return not planned.plan.changes


def apply_folder(console: Terminal, folder: Path, options: ApplyOptions) -> bool:
    """Show the plan, ask, and apply it. Returns False if the person says no.

    Raises:
        WorkspaceHasMistakes, WorkspaceNotApplied, CustomerRefused: Nothing was applied.
    """
    actor = Actor(options.by or getpass.getuser(), datetime.now(UTC), options.why or "applied from workspace files")
    with local_platform(migrates=True) as settings:
        database = _database(settings)
        planned = plan_workspace(database, folder.resolve(), actor)
        if not options.as_json:
            _print_plan(console, planned)
        if not planned.plan.changes:
            _print_json(options, planned.plan, planned.workspace.settings.name)
            return True
        if not options.yes and not (sys.stdin.isatty() and confirm(console, "Apply this plan?")):
            console.print("Nothing was applied. `fly-billing apply --yes` applies it without asking.")
            return False
        applied = apply_workspace(
            database, planned.workspace, actor, Groups(settings.max_org_partitions, settings.shared_groups),
            approved=None if options.yes else planned.plan, may_close_many=options.close_many,
        )  # fmt: skip
    _print_json(options, applied.plan, planned.workspace.settings.name)
    if not options.as_json:
        _print_applied(console, applied)
    return True


def _database(settings: Settings) -> BillingDatabase:
    migrate(owner_database(settings))
    return BillingDatabase(settings.database_url)


def _print_json(options: ApplyOptions, plan: WorkspacePlan, name: str) -> None:
    if options.as_json:
        print(json.dumps(_data(plan, name), indent=2))


def _data(plan: WorkspacePlan, name: str) -> dict[str, Any]:
    return {"workspace": name, "counts": plan.counts, "changes": [change.as_data() for change in plan.changes]}


def _print_plan(console: Terminal, planned: PlannedWorkspace) -> None:
    plan = planned.plan
    for change in plan.changes:
        if change.action != TAKEN_OVER or change.refused:
            _print_change(console, change)
    taken = Counter(change.kind for change in plan.changes if change.action == TAKEN_OVER)
    if taken:
        kinds = ", ".join(f"{kind} ({number})" for kind, number in taken.items())
        console.print(f"= in the database already, and the workspace's from now on: {kinds}", soft_wrap=True)
    counts = plan.counts
    done = ", ".join(f"{counts[action]} {action}" for action in ACTIONS if counts[action])
    console.print(f"{planned.workspace.settings.name}: {done or 'no changes'}; {counts['unchanged']} unchanged.")
    if loss := plan.loss(planned.workspace.settings.most_closed_percent):
        console.print(styled("refused", "red"), f"{loss}: `apply` needs --close-many", soft_wrap=True)
    if refused := plan.refusals:
        console.print(styled("refused", "red"), f"{counted(len(refused), 'change')}: nothing can be applied")


def _print_change(console: Terminal, change: PlannedChange) -> None:
    sign, style = _SIGNS.get(change.action, ("~", "yellow"))
    fields = _added(change) if change.action == ADDED else [_field(field) for field in change.fields]
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


def _print_applied(console: Terminal, applied: AppliedWorkspace) -> None:
    console.print("Applied.")
    notices: Sequence[str] = list(dict.fromkeys(change.notice for change in applied.closed_months))
    for notice in notices:
        console.print(styled("note", "yellow"), notice, soft_wrap=True)
