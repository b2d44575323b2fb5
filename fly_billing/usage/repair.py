"""Puts a damaged usage table right: lands the days again whose content is not what Postgres has on record.

One transaction: when it ends, the table agrees with Postgres again, or nothing was changed there. Versions never go
back: what is written from here on has versions after the last acknowledged one, also where the table lost some. Keeps
out: how tables are compared (`landing_ledger`), landing (`landing`).
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
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, rows
from fly_billing.usage.landing import batches, land_batch
from fly_billing.usage.landing_ledger import Ledger, different_landing_days, open_against_ledger, read_ledger
from fly_billing.usage.usage_table import (
    EVENTS,
    UsageTable,
    UsageTableError,
    UsageTableMismatch,
    data_files,
    parts_of,
    unreadable_files,
)


class UsageTableNotRepaired(ActionableError):
    """The usage table can't be repaired like this; nothing was changed."""


@dataclass(frozen=True)
class Damage:
    """What is wrong with the usage table. `base` is the newest version that can be read, None if there is none.

    `days` are to be landed again; of those in `lost`, the landing folder is gone, so they can't be.
    """

    base: DeltaTable | None
    problem: str
    days: list[date] = field(default_factory=list)
    lost: list[date] = field(default_factory=list)

    @property
    def is_none(self) -> bool:
        return not self.problem


def find_damage(database: BillingDatabase, lake: UsageTable, landing_dir: Path) -> Damage:
    """Compare the whole table with Postgres, and read every row of its data files. Changes nothing."""
    with database.transaction() as connection:
        return _find_damage(connection, lake, landing_dir)


def _find_damage(connection: Connection, lake: UsageTable, landing_dir: Path) -> Damage:
    ledger = read_ledger(connection)
    try:
        table = open_against_ledger(connection, lake)
        if wrong := unreadable_files(lake.path, table.data_files):
            raise UsageTableMismatch(lake.path, "data files that can be read", "; ".join(wrong[:3]))
    except UsageTableMismatch as problem:
        assert ledger is not None
        base = _newest(lake, ledger)
        found = data_files(base) if base else []
        days = different_landing_days(ledger.parts, parts_of(lake.path, found))
        days |= {file.day for file in found if unreadable_files(lake.path, [file])}
        lost = [day for day in sorted(days) if not (landing_dir / day.isoformat()).is_dir()]
        return Damage(base, str(problem), sorted(days), lost)
    return Damage(table.delta, "")


def _newest(lake: UsageTable, ledger: Ledger) -> DeltaTable | None:
    """Return the newest version up to the acknowledged one that can be read. Raises NotRepaired for another table."""
    for version in range(ledger.acknowledged - ledger.shift, -1, -1):
        try:
            delta = lake.delta(version)
            parts_of(lake.path, data_files(delta))
        except (DeltaError, OSError, ValueError, UsageTableError, UsageTableMismatch):
            continue
        if ledger.table_id is not None and ledger.table_id != str(delta.metadata().id):
            raise UsageTableNotRepaired(
                f"{lake.path} has the usage table of another platform ({delta.metadata().id}): it is left alone. Set"
                " FLY_BILLING_LAKE_DIR to where this platform's table is, or to an empty folder for a new one"
            )
        return delta
    return None


def repair(
    database: BillingDatabase,
    lake: UsageTable,
    landing_dir: Path,
    first_month: BillingMonth,
    now: datetime,
    *,
    new_table: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Damage:
    """Land the days again that differ. Returns what was wrong; afterwards the table agrees with Postgres.

    `new_table` says that the old one is gone for good: where none of its versions can be read, a new one is made and
    all days are landed again. Raises NotRepaired, LandingError and DaysNotLanded; nothing is changed in Postgres then.
    """
    with database.transaction() as connection:
        lock_until_commit(connection, "land_usage")
        damage = _find_damage(connection, lake, landing_dir)
        if damage.is_none:
            return damage
        if damage.lost:
            named = ", ".join(map(str, damage.lost[:5])) + (", ..." if len(damage.lost) > 5 else "")
            raise UsageTableNotRepaired(
                f"{len(damage.lost)} landing days can't be landed again, as {landing_dir} has no folder of them:"
                f" {named}. Bring the folders back, or the usage table from a backup; nothing was changed"
            )
        if damage.base is None and not new_table:
            raise UsageTableNotRepaired(
                f"no version of the usage table can be read in {lake.path}: mount its share, or bring it back from a"
                " backup. If it is gone for good, say so with --new-table: all days are landed again then"
            )
        ledger = read_ledger(connection)
        assert ledger is not None
        _begin(connection, lake, ledger, damage)
        if damage.days:
            for some in batches(landing_dir, damage.days):
                land_batch(connection, lake, landing_dir, some, first_month, now, progress)
        open_against_ledger(connection, lake).files()
    return damage


def _begin(connection: Connection, lake: UsageTable, ledger: Ledger, damage: Damage) -> None:
    """Take the days that differ out of the table and off the record, in a generation of versions of its own."""
    next_version = ledger.acknowledged + 1
    if damage.base is None:
        _set_aside(lake.path)
        base = lake.create()
    else:
        _set_aside_log(lake.path, damage.base.version())
        base = lake.delta()
        rows(connection, "lose_versions", last=base.version() + ledger.shift)
    if damage.days and damage.base is not None:
        base = lake.replace_days(damage.days, EVENTS.empty_table())
    rows(
        connection, "add_usage_table",
        table_id=str(base.metadata().id), shift=next_version - base.version(), first_version=next_version,
        acknowledged=next_version,
    )  # fmt: skip
    # Before what the days brought is forgotten: the database refuses that in a transaction that did not land them.
    rows(connection, "mark_days_settled", days=damage.days, lake_version=next_version)
    rows(connection, "forget_landed_months", days=damage.days)


def _set_aside(path: Path) -> None:
    """Move what is there out of the way; it is not removed. A mount point stays, what is in it moves into a folder."""
    if path.is_dir() and any(path.iterdir()):
        aside = path / _free_name(path, "_damaged")
        aside.mkdir()
        for one in list(path.iterdir()):
            if one != aside and not one.name.startswith("_damaged"):
                one.rename(aside / one.name)


def _set_aside_log(path: Path, last: int) -> None:
    """Move what the table's log has after this version out of the way, so that commits follow on it."""
    log = path / "_delta_log"
    later = [one for one in log.iterdir() if one.name[:20].isdecimal() and int(one.name[:20]) > last]
    if later:
        aside = path / _free_name(path, "_damaged_log")
        aside.mkdir()
        # The pointer to the last checkpoint may name one of these; Delta does without it.
        for one in [*later, log / "_last_checkpoint"]:
            if one.exists():
                one.rename(aside / one.name)


def _free_name(path: Path, name: str) -> str:
    return next(f"{name}_{number}" for number in range(1, 10_000) if not (path / f"{name}_{number}").exists())
