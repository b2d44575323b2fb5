"""Imports the files of a FOCUS export: `fly-billing import-focus`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal, busy
from fly_billing.focus.imports import FocusImport, import_focus
from fly_billing.money import counted
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate, owner_database

MOST_REJECTED = 10


def import_focus_files(console: Terminal, files: Sequence[Path], cost: str) -> None:
    """Import the files and print how many rows became usage, were rejected, or changed since an earlier import."""
    with local_platform(migrates=True) as settings, busy(console, "Importing") as show:
        database = BillingDatabase(settings.database_url)
        migrate(owner_database(settings))
        imported = import_focus(
            database,
            settings.local_landing_dir("into which imported usage is not written"),
            *files,
            max_org_partitions=settings.max_org_partitions,
            shared_groups=settings.shared_groups,
            now=datetime.now(UTC),
            cost=cost,
            progress=show,
        )
    names = ", ".join(file.name for file in files)
    console.print(
        f"{counted(imported.rows, 'row')} of {names}: {counted(imported.usage, 'usage event')},"
        f" {counted(imported.one_off, 'one-off item')}, {len(imported.rejected):,} rejected;"
        f" {counted(len(imported.organizations), 'organization')} ({imported.new_organizations} new),"
        f" {counted(imported.new_prices, 'new price')}",
    )
    console.print(
        f"{imported.new:,} new, {imported.known:,} known from earlier imports, {imported.changed:,} changed and"
        f" replaced, {imported.vanished:,} missing now and {_fate(imported)}"
    )
    for row in imported.rejected[:MOST_REJECTED]:
        console.print(f"rejected {row.file} line {row.line}: {row.reason}")
    for month in imported.months:
        console.print(f"Next: fly-billing land {month}; fly-billing bill {month}; fly-billing sync {month}")


def _fate(imported: FocusImport) -> str:
    """Return what happens to charges of an earlier export that this one does not have."""
    if not imported.kept:
        return "removed"
    return "kept, because rows were rejected: fix those rows and import again, or the missing charges stay billed"
