"""Compares the usage table with what Postgres has on record, before anything is read from it or written to it.

Postgres knows which table is the right one, the last version that a landing committed (acknowledged), and the rows and
files of every landing day and usage month: written by the transaction of that landing. The table's side comes from its
Delta log, so a comparison reads no data. All readers open the table here and read the acknowledged version: what a
killed landing wrote without committing is not seen. Keeps out: what is read (`usage_table`), landing files (`landing`),
putting a damaged table right (`repair`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from sqlalchemy import Connection

from fly_billing.postgres.database import BillingDatabase, Row, lock_until_commit, rows
from fly_billing.usage.usage_table import (
    KEEP_LOG,
    Part,
    PartKey,
    UsageTable,
    UsageTableError,
    UsageTableMismatch,
    UsageTableVersion,
    data_files,
    first_line,
    parts_of,
)

# Differences that a message names.
NAMED = 3
NOTHING = Part(0, "")


@dataclass(frozen=True)
class ExpectedPart:
    """What the table must hold of a landing day and usage month; rows and files are None if not kept yet."""

    accepted: int
    rows: int | None
    files: str | None


@dataclass(frozen=True)
class Ledger:
    """What Postgres has on record of the usage table. `table_id` is None where that was not kept yet."""

    table_id: str | None
    shift: int
    first_version: int
    acknowledged: int
    older: list[tuple[int, int, int]]
    parts: Mapping[PartKey, ExpectedPart]


def read_ledger(connection: Connection) -> Ledger | None:
    """Return what the usage table must be; None where no usage was ever landed and no table made."""
    (row,) = rows(connection, "usage_ledger")
    if not row["tables"] and row["last_landed"] is None:
        return None
    parts = {
        (date.fromisoformat(day), date.fromisoformat(month)): ExpectedPart(*expected)
        for day, month, *expected in row["parts"]
    }
    if not row["tables"]:
        return Ledger(None, 0, 0, row["last_landed"], [], parts)
    used = row["tables"][-1]
    acknowledged = max(used["acknowledged"], row["last_landed"] or 0)
    older = _readable(row["tables"])
    return Ledger(used["table_id"], used["shift"], used["first_version"], acknowledged, older, parts)


def _readable(tables: list[Row]) -> list[tuple[int, int, int]]:
    """List (first, last, shift) of the versions that the table in use has from before it was repaired."""
    return [
        (one["first_version"], one["acknowledged"] if one["lost_after"] is None else one["lost_after"], one["shift"])
        for one in tables[:-1]
        if one["table_id"] == tables[-1]["table_id"]
    ]


def open_usage_table(database: BillingDatabase, lake: UsageTable) -> UsageTableVersion:
    """As `open_against_ledger`, in a transaction of its own."""
    with database.transaction() as connection:
        return open_against_ledger(connection, lake)


def open_against_ledger(connection: Connection, lake: UsageTable) -> UsageTableVersion:
    """Open the acknowledged version of the usage table, if it is what Postgres has on record.

    Raises UsageTableMismatch where there is no table, or another one, or an older one, or one with other rows or files.
    Where no usage was ever landed there is no table to read: the one returned has no rows.
    """
    ledger = read_ledger(connection)
    if ledger is None:
        return UsageTableVersion(lake.path, None, memory_mb=lake.memory_mb)
    table = UsageTableVersion(
        lake.path, _open(lake, ledger), ledger.shift, ledger.first_version, ledger.older, lake.memory_mb
    )
    try:
        found = table.parts
    except (UsageTableError, ValueError) as problem:
        expected = f"version {ledger.acknowledged} with a log that lists its files"
        raise UsageTableMismatch(lake.path, expected, first_line(problem)) from None
    wrong = different_parts(ledger.parts, found)
    if ledger.table_id is None:
        wrong |= _different_days(connection, found)
    if wrong:
        named = sorted(wrong.items())[:NAMED]
        more = f", and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise UsageTableMismatch(
            lake.path,
            f"in version {ledger.acknowledged} " + ", ".join(f"{part}: {expected}" for part, (expected, _) in named),
            ", ".join(f"{part}: {has}" for part, (_, has) in named) + more,
        )
    return table


def _open(lake: UsageTable, ledger: Ledger) -> DeltaTable:
    expected = f"version {ledger.acknowledged}" + (f" of table {ledger.table_id}" if ledger.table_id else "")
    try:
        is_there = lake.exists()
    except (DeltaError, OSError) as problem:
        raise UsageTableMismatch(lake.path, expected, f"what can't be read ({first_line(problem)})") from None
    if not is_there:
        there = "an empty folder" if lake.path.is_dir() and not any(lake.path.iterdir()) else "no usage table"
        raise UsageTableMismatch(lake.path, expected, there if lake.path.is_dir() else "no such folder")
    try:
        delta = lake.delta(ledger.acknowledged - ledger.shift)
    except (DeltaError, OSError, ValueError) as problem:
        raise UsageTableMismatch(lake.path, expected, _what_is_there(lake, ledger, first_line(problem))) from None
    if _is_another(delta, ledger):
        raise UsageTableMismatch(lake.path, expected, f"another table, {delta.metadata().id}")
    return delta


def _what_is_there(lake: UsageTable, ledger: Ledger, problem: str) -> str:
    try:
        delta = lake.delta()
    except (DeltaError, OSError, ValueError):
        return f"a table log that can't be read ({problem})"
    if _is_another(delta, ledger):
        return f"another table, {delta.metadata().id}"
    if (version := delta.version() + ledger.shift) < ledger.acknowledged:
        return f"version {version}, which is older"
    return f"version {version}, and the expected one can't be read ({problem})"


def _is_another(delta: DeltaTable, ledger: Ledger) -> bool:
    return ledger.table_id is not None and ledger.table_id != str(delta.metadata().id)


def different_parts(
    expected: Mapping[PartKey, ExpectedPart], found: Mapping[PartKey, Part]
) -> dict[str, tuple[str, str]]:
    """Return, by the name of each part that is not as it must be, what was expected and what was found."""
    wrong = {}
    for key in expected.keys() | found.keys():
        must, has = expected.get(key, ExpectedPart(0, 0, "")), found.get(key, NOTHING)
        name = f"landing day {key[0]} of month {key[1]:%Y-%m}"
        if must.rows is None:
            if has.rows < must.accepted:
                wrong[name] = (f"at least {must.accepted} rows", f"{has.rows} rows")
        elif must.rows != has.rows:
            wrong[name] = (f"{must.rows} rows", f"{has.rows} rows")
        elif must.files != has.files:
            wrong[name] = (f"the {must.rows} rows that were landed", f"{has.rows} rows in other files")
    return wrong


def different_landing_days(expected: Mapping[PartKey, ExpectedPart], found: Mapping[PartKey, Part]) -> set[date]:
    """Return the landing days that have a part which is not as it must be."""
    return {
        key[0]
        for key in expected.keys() | found.keys()
        if different_parts({key: expected[key]} if key in expected else {}, {key: found[key]} if key in found else {})
    }


def _different_days(connection: Connection, found: Mapping[PartKey, Part]) -> dict[str, tuple[str, str]]:
    """Compare by landing day only, with the ledger of files: for what was landed before parts were kept."""
    by_day: dict[date, int] = {}
    for (day, _), part in found.items():
        by_day[day] = by_day.get(day, 0) + part.rows
    must = {row["landing_day"]: row["rows"] for row in rows(connection, "landed_rows")}
    return {
        f"landing day {day}": (f"{must.get(day, 0)} rows", f"{by_day.get(day, 0)} rows")
        for day in must.keys() | by_day.keys()
        if must.get(day, 0) != by_day.get(day, 0)
    }


def put_on_record(database: BillingDatabase, lake: UsageTable) -> None:
    """Make the usage table where no usage was ever landed, and put it on record. Does nothing where that is done.

    In a transaction of its own: should the landing be killed, its table is known to be ours. A table from before
    tables were put on record is compared by what there is to compare, then recorded. Raises UsageTableMismatch.
    """
    with database.transaction() as connection:
        lock_until_commit(connection, "land_usage")
        ledger = read_ledger(connection)
        if ledger is None:
            delta = _first_table(lake)
            rows(
                connection, "add_usage_table",
                table_id=delta.metadata().id, shift=0, first_version=0, acknowledged=delta.version(),
            )  # fmt: skip
        elif ledger.table_id is None:
            table = open_against_ledger(connection, lake)
            assert table.delta is not None
            rows(
                connection, "add_usage_table",
                table_id=table.delta.metadata().id, shift=0, first_version=0, acknowledged=table.version,
            )  # fmt: skip
            for (day, month), part in table.parts.items():
                rows(connection, "keep_part", day=day, month=month, rows=part.rows, files=part.files)
            rows(connection, "keep_empty_parts")


def _first_table(lake: UsageTable) -> DeltaTable:
    try:
        if not lake.exists():
            return lake.create()
        delta = lake.delta()
        is_new = delta.version() == 0 and not data_files(delta)
    except (DeltaError, OSError, ValueError):
        is_new = False
    if not is_new:
        raise UsageTableMismatch(
            lake.path,
            "no table, as this billing database has no landing on record",
            "one that another billing database wrote (or this one, before it was restored from an older backup)",
        )
    return delta


def open_to_write(connection: Connection, lake: UsageTable, progress: Callable[[str], None]) -> UsageTableVersion:
    """Open the table for a landing, which has the lock `land_usage`; undo what was committed to it unacknowledged.

    A landing writes on top of the latest version. So what a killed landing, or somebody else, wrote after the
    acknowledged one is undone by a commit of its own first: else it would count with the next landing. Raises
    UsageTableMismatch.
    """
    table = open_against_ledger(connection, lake)
    if table.delta is None:
        raise UsageTableMismatch(lake.path, "a table on record", "none")
    try:
        latest = lake.delta()
        if latest.version() > table.delta.version() and data_files(latest) != table.data_files:
            ahead = latest.version() - table.delta.version()
            progress(f"undoing {ahead} commits of the usage table that no landing acknowledged")
            latest.restore(table.delta.version(), post_commithook_properties=KEEP_LOG)
            latest = lake.delta()
    except (DeltaError, OSError, ValueError) as problem:
        found = f"later commits that can't be read or undone ({first_line(problem)})"
        raise UsageTableMismatch(lake.path, f"version {table.version} to be the last one", found) from None
    if parts_of(lake.path, data_files(latest)) != table.parts:
        raise UsageTableMismatch(lake.path, f"the content of version {table.version}", "other files after undoing")
    return table


def acknowledge(
    connection: Connection,
    before: UsageTableVersion,
    written: DeltaTable,
    days: Collection[date],
    counted: Mapping[PartKey, tuple[int, int]],
) -> int:
    """Record what a landing wrote, for its transaction to commit. Returns the version as Postgres has it.

    `days` are the landing days whose content it replaced, `counted` their (accepted, rows). Raises
    UsageTableMismatch where the table has anything else of these days, or something new of others.
    """
    parts = parts_of(before.path, data_files(written))
    expected = {key: ExpectedPart(0, part.rows, part.files) for key, part in before.parts.items() if key[0] not in days}
    for key, (accepted, number) in counted.items():
        expected[key] = ExpectedPart(accepted, number, parts.get(key, NOTHING).files)
    if wrong := different_parts(expected, parts):
        part, (must, has) = min(wrong.items())
        raise UsageTableMismatch(before.path, f"after landing {part}: {must}", has)
    version = written.version() + before.shift
    rows(connection, "acknowledge_version", version=version)
    rows(connection, "forget_landed_months", days=list(days))
    for (day, month), (accepted, number) in counted.items():
        files = parts[day, month].files
        rows(connection, "add_landed_month", day=day, month=month, accepted=accepted, rows=number, files=files)
    return version
