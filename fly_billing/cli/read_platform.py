"""Reads the databases of the platform that a workspace declares: `fly-billing read-platform`."""

from __future__ import annotations

import getpass
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, styled
from fly_billing.cli.workspace import print_change
from fly_billing.cli.workspace_folder import workspace_folder
from fly_billing.corrections.correction import Actor
from fly_billing.customers.organizations import Groups
from fly_billing.money import counted
from fly_billing.platform_database.all_databases import PlatformReads, read_all_databases
from fly_billing.platform_database.recording import PlatformRead
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate, owner_database
from fly_billing.settings import Settings
from fly_billing.workspace.rules.planning import ACTIONS, TAKEN_OVER


@dataclass(frozen=True)
class ReadOptions:
    """Options of `fly-billing read-platform`.

    Attributes:
        close_many: Close more organizations, or end more terms, than the workspace's settings allow.
    """

    is_dry_run: bool
    close_many: bool
    as_json: bool


def read_platform(console: Terminal, folder: Path | None, options: ReadOptions) -> bool:
    """Read the databases of a workspace and print the differences.

    Args:
        folder: None: FLY_BILLING_WORKSPACE, or the current folder.

    Returns:
        True if every database was read and every row taken.

    Raises:
        FolderNotNamed: No folder is named, and the current one is not a workspace.
        WorkspaceHasMistakes: The folder is not a workspace, or its databases have mistakes.
    """
    its = workspace_folder(folder, "read-platform")
    with local_platform(migrates=True) as settings:
        migrate(owner_database(settings))
        actor = Actor(getpass.getuser(), datetime.now(UTC), "read from the platform's database")
        found = read_all_databases(
            BillingDatabase(settings.database_url), its, actor, _groups(settings),
            is_dry_run=options.is_dry_run, may_lose_many=options.close_many,
        )  # fmt: skip
    if options.as_json:
        print(json.dumps(_data(found, is_dry_run=options.is_dry_run), indent=2))
    else:
        _print(console, found, is_dry_run=options.is_dry_run)
    return found.is_complete


def _groups(settings: Settings) -> Groups:
    return Groups(settings.max_org_partitions, settings.shared_groups)


def _data(found: PlatformReads, *, is_dry_run: bool) -> dict[str, Any]:
    return {
        "written": not is_dry_run,
        "databases": [
            {
                "name": read.database, "rows": dict(read.read), "counts": read.counts,
                "changes": [change.as_data() for change in read.changes],
                "refused": [row.as_data() for row in read.refused], "needs_close_many": read.loss,
                "notices": [month.notice for month in read.closed_months],
            }
            for read in found.reads
        ],
        "problems": found.problems,
    }  # fmt: skip


def _print(console: Terminal, found: PlatformReads, *, is_dry_run: bool) -> None:
    for read in found.reads:
        _print_read(console, read, is_dry_run=is_dry_run)
    for problem in found.problems:
        console.print(styled("failed", "red"), problem, soft_wrap=True)
    if not found.reads and not found.problems:
        console.print("sources.yaml declares no databases, so there is nothing to read: see docs/platform_database.md")


def _print_read(console: Terminal, read: PlatformRead, *, is_dry_run: bool) -> None:
    for change in read.changes:
        if change.action != TAKEN_OVER:
            print_change(console, change)
    for row in read.refused:
        console.print(styled("refused", "red"), row.sentence, soft_wrap=True)
    if read.loss:
        console.print(styled("refused", "red"), f"{read.loss}: this needs --close-many", soft_wrap=True)
    for month in read.closed_months:
        console.print(styled("note", "yellow"), month.notice, soft_wrap=True)
    done = ", ".join(f"{read.counts[action]} {action}" for action in ACTIONS if read.counts[action])
    rows = counted(sum(read.read.values()), "row")
    nothing = " Nothing was written." if is_dry_run else ""
    console.print(
        f"{read.database}: {rows}; {done or 'no changes'}; {read.unchanged} unchanged;"
        f" {counted(len(read.refused), 'row')} refused.{nothing}",
        soft_wrap=True,
    )
