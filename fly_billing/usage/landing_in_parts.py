"""Lands new days in several processes: each reads, checks and writes a share of the files.

The copies of an event may be in any two files. So each process returns 64-bit hashes of its keys. Only the rows whose
hash is in two places, or known from earlier landings, meet in this process, where the same statement as for one process
compares the keys themselves. One Delta commit adds the files of all processes, or of none.

Splitting the rows by a hash of their key would bring copies together, too, but each row would move to another process;
here eight bytes of it do. Not here: days that landed before (`landing`), whose earlier events matter as well.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from deltalake.transaction import AddAction
from sqlalchemy import Connection

from fly_billing.money import counted
from fly_billing.periods import BillingMonth
from fly_billing.postgres.statements import sql
from fly_billing.processes import ProcessCall, ProcessPool
from fly_billing.usage.data_files import PartitionKey
from fly_billing.usage.key_index import KeyIndex, Words
from fly_billing.usage.landing_folder import LandingFile
from fly_billing.usage.landing_rows import (
    FileCounts,
    Known,
    LandedRows,
    count_files,
    count_partitions,
    deduplicate,
    find_rejected,
    find_shared,
    keys_of,
    properties_of_quantities,
    register_known,
    register_prefixes,
    rejected_batches,
    validate_rows,
)
from fly_billing.usage.landing_staging import StagedFiles, stage_files
from fly_billing.usage.new_data_files import write_data_files
from fly_billing.usage.readers.json_lines import register_json_functions
from fly_billing.usage.rules.declared_sources import DeclaredSources
from fly_billing.usage.source_contracts import LandedSource, SourceContracts
from fly_billing.usage.usage_table import UsageTable, UsageTableVersion, open_duckdb

# The memory limit of each process's DuckDB, if the setting is not lower. More goes to temporary files. With libraries
# and Arrow's tables, a process then stays below 1 GB.
MEMORY_MB = 500


@dataclass(frozen=True)
class Landing:
    """A landing of some days: all that a process needs to know besides its files."""

    usage_table: UsageTable
    known: Known
    days: Sequence[date]
    first_month: BillingMonth
    declared: DeclaredSources
    threads: int


@dataclass(frozen=True)
class ReadShare:
    """The outcome of reading a share.

    Attributes:
        hashes: The hash of each valid row's key.
        landing_days: The landing day of each valid row, in days since 1970-01-01.
    """

    staged: StagedFiles
    hashes: Words
    landing_days: Words


@dataclass(frozen=True)
class WrittenShare:
    """The outcome of writing a share.

    Attributes:
        data_files: The new files of the usage table, which no version has yet.
        partitions: Accepted rows, and accepted and duplicate ones, by landing day and usage month.
        sources: The rows of each declared source, by name.
    """

    data_files: Sequence[AddAction]
    partitions: dict[PartitionKey, tuple[int, int]]
    counts: FileCounts
    sources: dict[str, LandedSource]


def land_share(landing: Landing, files: Sequence[LandingFile]) -> Generator[Any, Any, None]:
    """Land these files, in a talk with `read_in_parts`.

    Yields ReadShare, and gets the prefixes of hashes that are in several places. Yields the rows with these prefixes
    (Arrow), and gets `shared_keys` (Arrow). Yields WrittenShare, and then the rejected rows in small batches.
    """
    with open_duckdb(min(landing.usage_table.memory_mb, MEMORY_MB), landing.threads) as duck:
        register_json_functions(duck)
        register_known(duck, landing.known)
        staged = stage_files(duck, files, lambda _: None, properties_of_quantities(landing.known.meters))
        contracts = SourceContracts(landing.declared)
        validate_rows(duck, landing.first_month, contracts)
        duck.execute(sql("landing_candidates"))
        duck.executemany("insert into replaced values (?)", [[day] for day in landing.days])
        register_prefixes(duck, "shared_prefixes", (yield ReadShare(staged, *keys_of(duck))))
        duck.register("shared_keys", (yield duck.execute(sql("candidates_by_prefix")).to_arrow_table()))
        duck.execute(sql("deduplicated"))
        partitions = count_partitions(duck)
        data_files = write_data_files(duck, landing.usage_table, partitions)
        find_rejected(duck)
        contracts.count(duck)
        yield WrittenShare(data_files, partitions, count_files(duck), contracts.landed)
        yield from rejected_batches(duck)


@contextmanager
def read_in_parts(
    connection: Connection,
    table: UsageTableVersion,
    landing: Landing,
    shares: Sequence[Sequence[LandingFile]],
    pool: ProcessPool,
    contracts: SourceContracts,
    progress: Callable[[str], None],
) -> Iterator[LandedRows]:
    """Read these shares, separate events from their duplicates, and write the data files, each share in a process.

    Yields the outcome, whose rejected rows are read in the block.

    Raises:
        ProcessLost: A process was killed, or ran out of memory. Nothing was committed.
        duckdb.Error, pyarrow.ArrowException, UsageTableError: As in one process.
    """
    calls = [{"landing": landing, "files": share} for share in shares]
    with open_duckdb(landing.usage_table.memory_mb) as duck, pool.calling(land_share, calls) as processes:
        progress(f"reading {counted(sum(map(len, shares)), 'file')} in {len(shares)} processes")
        index = KeyIndex.open(duck, table, progress)
        register_known(duck, landing.known)
        read: list[ReadShare] = [process.receive() for process in processes]
        shared_keys = _shared_keys(connection, duck, table, index, landing.days, read, processes)
        try:
            written: list[WrittenShare] = _answers(processes, shared_keys)
        except BaseException:
            _remove_files_of(landing.usage_table, landing.days)
            raise
        for share in written:
            contracts.add(share.sources.values())
        yield LandedRows(
            staged=_together(read),
            duck=duck,
            index=index,
            data_files=[file for share in written for file in share.data_files],
            partitions=_sum([share.partitions for share in written]),
            counts={file: counts for share in written for file, counts in share.counts.items()},
            rejected=_rejected(processes),
        )


def _shared_keys(
    connection: Connection,
    duck: duckdb.DuckDBPyConnection,
    table: UsageTableVersion,
    index: KeyIndex,
    days: Sequence[date],
    read: Sequence[ReadShare],
    processes: Sequence[ProcessCall],
) -> pa.Table:
    """Compare the rows whose keys may be in several places. Returns the table `shared_keys`."""
    hashes = np.concatenate([share.hashes for share in read])
    matches = find_shared(duck, index, hashes, np.concatenate([share.landing_days for share in read])).without(days)
    ((repeated,),) = duck.execute("select list(prefix) from repeated_prefixes").fetchall()
    prefixes = np.union1d(np.array(repeated or [], np.uint64), matches.prefixes)
    duck.register("validated", pa.concat_tables(_answers(processes, prefixes)))
    duck.execute(sql("landing_candidates"))
    duck.executemany("insert into replaced values (?)", [[day] for day in days])
    table.open_view(duck, "previous_events", days=[])  # these days have no earlier events
    deduplicate(duck, connection, table, days, matches)
    return duck.execute("from shared_keys").to_arrow_table()


def _answers(processes: Sequence[ProcessCall], message: Any) -> list[Any]:
    """Send the same message to all processes. Returns their answers."""
    for process in processes:
        process.send(message)
    return [process.receive() for process in processes]


def _together(read: Sequence[ReadShare]) -> StagedFiles:
    """Join the contents of all shares, in the order of days and names."""
    contents = {file: content for share in read for file, content in share.staged.contents.items()}
    unread = {file: reason for share in read for file, reason in share.staged.unread.items()}
    return StagedFiles({file: contents[file] for file in sorted(contents, key=_day_and_name)}, unread)


def _day_and_name(file: LandingFile) -> tuple[date, str]:
    return file.day, file.name


def _sum(partitions: Sequence[Mapping[PartitionKey, tuple[int, int]]]) -> dict[PartitionKey, tuple[int, int]]:
    found: dict[PartitionKey, tuple[int, int]] = {}
    for some in partitions:
        for key, (accepted, number) in some.items():
            before = found.get(key, (0, 0))
            found[key] = before[0] + accepted, before[1] + number
    return found


def _rejected(processes: Sequence[ProcessCall]) -> Iterator[list[tuple[Any, ...]]]:
    for process in processes:
        process.send(None)
    for process in processes:
        while batch := process.receive():
            yield batch
            process.send(None)


def _remove_files_of(usage_table: UsageTable, days: Collection[date]) -> None:
    """Remove what was written for days that no version of the table has: a full disk should not stay full."""
    for day in days:
        for path in usage_table.local_folder.glob(f"usage_month=*/landing_day={day}/*.parquet"):
            path.unlink(missing_ok=True)
