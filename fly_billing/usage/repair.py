"""Repairs a damaged usage table: lands the days again whose content differs from the ledger in Postgres.

A repair is one transaction: it ends with a table that agrees with Postgres, or changes nothing there. Version numbers
never decrease: new versions follow the last acknowledged one, even if the table lost some.

Not here: comparing tables (`landing_ledger`), landing (`landing`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from sqlalchemy import Connection

from fly_billing.errors import ActionableError
from fly_billing.money import counted
from fly_billing.object_store.address import Place, StoreFolder
from fly_billing.object_store.objects import StoredObject, check_bucket, list_entries, list_objects, move_objects
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, rows
from fly_billing.usage.data_files import UsageTableError, UsageTableMismatch, list_data_files, sum_partitions
from fly_billing.usage.landing import land_batch
from fly_billing.usage.landing_batches import split_into_batches
from fly_billing.usage.landing_folder import describe_error, has_day_folder
from fly_billing.usage.landing_ledger import Ledger, find_different_days, open_against_ledger, read_ledger
from fly_billing.usage.source_contracts import SourceContracts
from fly_billing.usage.usage_table import EVENTS, UsageTable

CHECKPOINT_POINTER = "_last_checkpoint"


class UsageTableRepairError(ActionableError):
    """The usage table can't be repaired this way. Nothing was changed."""


@dataclass(frozen=True)
class Damage:
    """The damage to the usage table.

    Attributes:
        base: The newest version that can be read, None if there is none.
        problem: The damage; empty if there is none.
        days: The days to land again.
        lost: Those of `days` that can't land again, because their landing folders are missing.
    """

    base: DeltaTable | None
    problem: str
    days: list[date] = field(default_factory=list)
    lost: list[date] = field(default_factory=list)

    @property
    def is_none(self) -> bool:
        return not self.problem


def find_damage(database: BillingDatabase, usage_table: UsageTable, landing_dir: Place) -> Damage:
    """Compare the whole table with Postgres and read every row of its files. Changes nothing."""
    with database.transaction() as connection:
        return _find_damage(connection, usage_table, landing_dir)


def _find_damage(connection: Connection, usage_table: UsageTable, landing_dir: Place) -> Damage:
    for place in (usage_table.path, landing_dir):
        _refuse_unreachable(place)
    ledger = read_ledger(connection)
    try:
        table = open_against_ledger(connection, usage_table)
        if wrong := usage_table.find_unreadable(table.data_files):
            raise UsageTableMismatch(usage_table.path, "readable data files", "; ".join(wrong[:3]))
    except UsageTableMismatch as problem:
        assert ledger is not None
        base = _newest(usage_table, ledger)
        found = list_data_files(base) if base else []
        days = find_different_days(ledger.partitions, sum_partitions(usage_table.path, found))
        days |= {file.day for file in found if usage_table.find_unreadable([file])}
        lost = [day for day in sorted(days) if not has_day_folder(landing_dir, day)]
        return Damage(base, str(problem), sorted(days), lost)
    return Damage(table.delta, "")


def _refuse_unreachable(place: Place) -> None:
    """Raise UsageTableRepairError if an object store can't be read now: its versions would all look lost."""
    if isinstance(place, StoreFolder):
        try:
            check_bucket(place)
        except OSError as problem:
            raise UsageTableRepairError(f"{place} can't be read: {describe_error(problem)}") from None


def _newest(usage_table: UsageTable, ledger: Ledger) -> DeltaTable | None:
    """Return the newest readable version, up to the acknowledged one.

    Raises UsageTableRepairError if it belongs to another table.
    """
    for version in range(ledger.acknowledged - ledger.shift, -1, -1):
        try:
            delta = usage_table.delta(version)
            sum_partitions(usage_table.path, list_data_files(delta))
        except (DeltaError, OSError, ValueError, UsageTableError, UsageTableMismatch):
            continue
        if ledger.table_id is not None and ledger.table_id != str(delta.metadata().id):
            raise UsageTableRepairError(
                f"{usage_table.path} holds the usage table of another platform ({delta.metadata().id}), unchanged."
                " Set FLY_BILLING_LAKE_DIR to the folder of this platform's table, or to an empty folder for a new one"
            )
        return delta
    return None


def reland_damaged_days(
    database: BillingDatabase,
    usage_table: UsageTable,
    landing_dir: Place,
    first_month: BillingMonth,
    now: datetime,
    *,
    new_table: bool = False,
    progress: Callable[[str], None] = lambda _: None,
    contracts: SourceContracts | None = None,
) -> Damage:
    """Land the days with differences again. Returns the damage; afterwards the table agrees with Postgres.

    Args:
        new_table: The old table is lost for good. If no version of it can be read, create a new table and land all
            days again.
        contracts: Of the declared sources; None: none is declared.

    Raises:
        UsageTableRepairError, LandingError, DaysNotLanded: Nothing was changed in Postgres.
    """
    with database.transaction() as connection:
        lock_until_commit(connection, "land_usage")
        damage = _find_damage(connection, usage_table, landing_dir)
        if damage.is_none:
            return damage
        if damage.lost:
            named = ", ".join(map(str, damage.lost[:5])) + (", ..." if len(damage.lost) > 5 else "")
            raise UsageTableRepairError(
                f"{counted(len(damage.lost), 'landing day')} can't be landed again, because {landing_dir} has no folder"
                f" of {named}. Restore each folder, or the usage table from a backup. Nothing was changed"
            )
        if damage.base is None and not new_table:
            raise UsageTableRepairError(
                f"no version of the usage table in {usage_table.path} can be read. Mount its share, or restore it from"
                " a backup. If it is lost for good, add --new-table: this lands all days again into a new table"
            )
        ledger = read_ledger(connection)
        assert ledger is not None
        _begin(connection, usage_table, ledger, damage)
        if damage.days:
            for some in split_into_batches(landing_dir, damage.days).days:
                land_batch(connection, usage_table, landing_dir, some, first_month, now, progress, contracts)
        open_against_ledger(connection, usage_table).files()
    return damage


def _begin(connection: Connection, usage_table: UsageTable, ledger: Ledger, damage: Damage) -> None:
    """Delete the damaged days from the table and the ledger, and start a new generation of versions."""
    next_version = ledger.acknowledged + 1
    if damage.base is None:
        _set_aside(usage_table.path)
        base = usage_table.create()
    else:
        _set_aside_log(usage_table.path, damage.base.version())
        base = usage_table.delta()
        rows(connection, "mark_versions_lost", last=base.version() + ledger.shift)
    if damage.days and damage.base is not None:
        base = usage_table.replace_days(damage.days, EVENTS.empty_table())
    rows(
        connection, "add_usage_table",
        table_id=str(base.metadata().id), shift=next_version - base.version(), first_version=next_version,
        acknowledged=next_version,
    )  # fmt: skip
    # This comes first: the database only lets a transaction that landed a day replace that day's months.
    rows(connection, "mark_days_written", days=damage.days, lake_version=next_version)
    rows(connection, "reset_landed_months", days=damage.days)


def _set_aside(path: Place) -> None:
    """Move the old content into a subfolder instead of deleting it, because the folder may be a mount point."""
    if isinstance(path, StoreFolder):
        names = [stored.name for stored in _objects(path) if not stored.name.startswith("_damaged")]
        move_objects(path, names, path / _free_stored_name(path, "_damaged"))
        return
    if path.is_dir() and any(path.iterdir()):
        aside = path / _free_name(path, "_damaged")
        aside.mkdir()
        for entry in list(path.iterdir()):
            if entry != aside and not entry.name.startswith("_damaged"):
                entry.rename(aside / entry.name)


def _set_aside_log(path: Place, last: int) -> None:
    """Move the commits after this version out of the Delta log, so that the next commit follows it."""
    if isinstance(path, StoreFolder):
        _set_aside_stored_log(path, last)
        return
    log = path / "_delta_log"
    later = [file for file in log.iterdir() if _is_after(file.name, last)]
    if later:
        aside = path / _free_name(path, "_damaged_log")
        aside.mkdir()
        # The checkpoint pointer may name one of the moved files. Delta works without it.
        for file in [*later, log / CHECKPOINT_POINTER]:
            if file.exists():
                file.rename(aside / file.name)


def _set_aside_stored_log(folder: StoreFolder, last: int) -> None:
    log = folder / "_delta_log"
    names = [stored.name for stored in _objects(log)]
    if later := [name for name in names if _is_after(name, last)]:
        pointer = [name for name in names if name == CHECKPOINT_POINTER]
        move_objects(log, later + pointer, folder / _free_stored_name(folder, "_damaged_log"))


def _is_after(name: str, last: int) -> bool:
    """Return True for the log file of a later version."""
    return name[:20].isdecimal() and int(name[:20]) > last


def _objects(folder: StoreFolder) -> list[StoredObject]:
    try:
        return list_objects(folder)
    except FileNotFoundError:
        return []


def _free_stored_name(folder: StoreFolder, name: str) -> str:
    taken = set(list_entries(folder))
    return next(f"{name}_{number}" for number in range(1, 10_000) if f"{name}_{number}" not in taken)


def _free_name(path: Path, name: str) -> str:
    return next(f"{name}_{number}" for number in range(1, 10_000) if not (path / f"{name}_{number}").exists())
