"""Adds new files to landing days whose other files are as they landed. Reads and writes only the new rows.

The result equals that of landing these days whole, except that each addition writes data files of its own. A property
test compares both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime

from sqlalchemy import Connection

from fly_billing.money import counted
from fly_billing.object_store.address import Place
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import rows
from fly_billing.usage.data_files import PartitionKey
from fly_billing.usage.key_index import KeyIndex
from fly_billing.usage.landing_batches import fit_into_a_batch
from fly_billing.usage.landing_changes import find_additions, read_landed_files, rules_fingerprint
from fly_billing.usage.landing_folder import LandingFile
from fly_billing.usage.landing_ledger import acknowledge_version, open_for_landing, read_ledger
from fly_billing.usage.landing_rows import (
    LandedFile,
    LandingMeter,
    add_rows,
    count_files,
    count_partitions,
    find_rejected,
    properties_of_quantities,
    read_known,
    read_meters,
    record_files,
    record_rejected,
    register_known,
    rejected_batches,
    validate_rows,
)
from fly_billing.usage.landing_staging import stage_files
from fly_billing.usage.new_data_files import write_data_files
from fly_billing.usage.readers.json_lines import register_json_functions
from fly_billing.usage.source_contracts import SourceContracts
from fly_billing.usage.usage_table import UsageTable, open_duckdb

# A day with this many data files lands whole, which joins them. Additions every five minutes make 288 a day, and
# `usage.maintenance` joins them every night.
MOST_DATA_FILES = 600


class LandsWhole(Exception):
    """Files can't be added to these days: they have to land whole. Nothing was changed."""

    def __init__(self, days: Collection[date]) -> None:
        super().__init__(f"these days have to land whole: {', '.join(map(str, sorted(days)))}")
        self.days = frozenset(days)


def land_additions(
    connection: Connection,
    usage_table: UsageTable,
    landing_dir: Place,
    days: Sequence[date],
    first_month: BillingMonth,
    now: datetime,
    progress: Callable[[str], None],
    contracts: SourceContracts,
) -> dict[date, list[LandedFile]]:
    """Land the new files of those days whose other files are as they landed, in the transaction of the caller.

    The caller holds the lock `land_usage`. Returns the files of each of these days, with those that landed before.
    Days that are not in it have to land whole.

    Raises:
        LandsWhole: Files can't be added to some of the days. Nothing was changed: call it again without them.
        UsageTableMismatch: This is not the usage table that earlier landings wrote.
    """
    meters = read_meters(connection)
    rules = rules_fingerprint(meters, contracts.declared, first_month)
    found = find_additions(connection, landing_dir, days, rules, now)
    new = {day: files for day, files in found.items() if files}
    unchanged = [day for day in found if day not in new]
    rows(connection, "mark_days_unchanged", days=unchanged, now=now)
    if unchanged:
        progress(f"{counted(len(unchanged), 'landing day')} of {len(days)} unchanged")
    if new:
        _add(connection, usage_table, new, first_month, meters, rules, now, progress, contracts)
    landed: dict[date, list[LandedFile]] = {day: [] for day in found}
    for file in read_landed_files(connection, list(found)):
        landed[file.day].append(file)
    return landed


def _add(
    connection: Connection,
    usage_table: UsageTable,
    new: Mapping[date, Sequence[LandingFile]],
    first_month: BillingMonth,
    meters: Sequence[LandingMeter],
    rules: str,
    now: datetime,
    progress: Callable[[str], None],
    contracts: SourceContracts,
) -> None:
    """Land these files in addition to those that their days have. Raises the errors of `land_additions`."""
    files = [file for some in new.values() for file in some]
    if not fit_into_a_batch(files):
        raise LandsWhole(new)  # whole days land in batches
    with open_duckdb(usage_table.memory_mb) as duck:
        register_json_functions(duck)
        table = open_for_landing(connection, usage_table, progress)
        data_files = Counter(file.day for file in table.data_files)
        if crowded := [day for day in new if data_files[day] >= MOST_DATA_FILES]:
            raise LandsWhole(crowded)
        index = KeyIndex.open(duck, table, progress)
        register_known(duck, read_known(connection, meters))
        staged = stage_files(duck, files, progress, properties_of_quantities(meters))
        validate_rows(duck, first_month, contracts)
        if repeated := add_rows(duck, connection, table, index, list(new)):
            raise LandsWhole(repeated)
        partitions = count_partitions(duck)
        progress(f"adding {counted(len(files), 'file')} to {counted(len(new), 'landing day')} of the usage table")
        written = usage_table.commit_files(write_data_files(duck, usage_table, partitions))
        # The index is written before the landing commits: it may list keys that the table lacks, but never miss one.
        index.commit(duck, table, written)
        version = written.version() + table.shift
        rows(connection, "mark_days_landed", days=list(new), now=now, lake_version=version, rules=rules)
        acknowledge_version(connection, table, written, new, _totals(connection, new, partitions))
        find_rejected(duck)
        contracts.count(duck)
        record_files(connection, staged, count_files(duck))
        record_rejected(connection, rejected_batches(duck))


def _totals(
    connection: Connection, days: Collection[date], added: Mapping[PartitionKey, tuple[int, int]]
) -> dict[PartitionKey, tuple[int, int]]:
    """Add (accepted, rows) of the new files to those that Postgres records for these days, by day and month."""
    ledger = read_ledger(connection)
    assert ledger is not None
    totals = {
        key: (expected.accepted, expected.rows)
        for key, expected in ledger.partitions.items()
        if key[0] in days and expected.rows
    }
    for key, (accepted, number) in added.items():
        before = totals.get(key, (0, 0))
        totals[key] = before[0] + accepted, before[1] + number
    return totals
