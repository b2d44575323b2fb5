"""Reads every database that a workspace declares. One that can't be read does not stop the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fly_billing.corrections.correction import Actor
from fly_billing.customers.organizations import Groups
from fly_billing.errors import ActionableError
from fly_billing.platform_database.recording import PlatformRead, read_platform_database
from fly_billing.postgres.database import BillingDatabase
from fly_billing.workspace.files import read_declared_databases


@dataclass
class PlatformReads:
    """The outcome of reading all databases of a workspace.

    Attributes:
        reads: The databases that were read.
        problems: Why the others were not: nothing was written for them.
    """

    reads: list[PlatformRead] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """True if every database was read, and every row of it taken."""
        return not self.problems and not any(read.refused or read.loss for read in self.reads)

    def refused_rows(self) -> list[dict[str, Any]]:
        """Return the rows that were refused, with their database."""
        return [{"database": read.database, **row.as_data()} for read in self.reads for row in read.refused]

    def differences(self) -> list[dict[str, Any]]:
        """Return what changed: a row for each record."""
        return [
            {
                "database": read.database, "action": change.action, "record": f"{change.kind} {change.key}",
                "fields": ", ".join(f"{each.field}: {each.before} -> {each.after}" for each in change.fields),
            }
            for read in self.reads
            for change in read.changes
        ]  # fmt: skip

    def total(self, count: str) -> int:
        """Return the sum of a count (`added`, `ended`, `refused`, ...) over all databases."""
        return sum(read.counts[count] for read in self.reads)


def read_all_databases(
    billing: BillingDatabase,
    folder: Path | None,
    actor: Actor,
    groups: Groups,
    *,
    is_dry_run: bool = False,
    may_lose_many: bool = False,
) -> PlatformReads:
    """Read the databases of the workspace in a folder, one after the other, each in a transaction of its own.

    Args:
        folder: None: there is no workspace, and nothing to read.
        actor, groups, is_dry_run, may_lose_many: As in `read_platform_database`.

    Raises:
        WorkspaceHasMistakes: The folder is not a workspace, or its databases have mistakes.
    """
    found = PlatformReads()
    declared = read_declared_databases(folder) if folder else None
    for database in declared.databases if declared else ():
        assert declared is not None
        try:
            found.reads.append(
                read_platform_database(
                    billing, declared, database, actor, groups, is_dry_run=is_dry_run, may_lose_many=may_lose_many
                )
            )
        except ActionableError as problem:
            found.problems.append(str(problem))
    return found


def names_databases(folder: Path | None) -> Sequence[str]:
    """Return the names of a workspace's databases. Raises WorkspaceHasMistakes."""
    return [database.name for database in read_declared_databases(folder).databases] if folder else []
