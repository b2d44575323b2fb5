"""Lands usage: reads the files of landing days into the usage table and records every row in Postgres.

A landing replaces all earlier content of its day, so landing a day twice changes nothing. No row is lost: for each
file, landed = accepted + duplicate + rejected, and a constraint of the database checks it. Days whose files are as they
landed are not read again (`landing_changes`), and new files are added to them (`landing_additions`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
from sqlalchemy import Connection

from fly_billing.money import counted
from fly_billing.object_store.address import Place
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, records, rows
from fly_billing.processes import ProcessLost, ProcessPool
from fly_billing.usage.checks import LandingCounts
from fly_billing.usage.key_index import KeyIndex
from fly_billing.usage.landing_additions import LandsWhole, land_additions
from fly_billing.usage.landing_batches import Batches, split_into_batches, split_into_shares
from fly_billing.usage.landing_changes import rules_fingerprint
from fly_billing.usage.landing_folder import (
    LandingError,
    LandingFile,
    check_landing_folder,
    describe_error,
    list_day_folders,
    list_files,
    readable_name,
)
from fly_billing.usage.landing_in_parts import Landing, read_in_parts
from fly_billing.usage.landing_ledger import acknowledge_version, open_for_landing, register_usage_table
from fly_billing.usage.landing_rows import (
    LandedFile,
    LandedRows,
    count_files,
    count_orphaned_files,
    count_partitions,
    find_rejected,
    properties_of_quantities,
    read_known,
    read_meters,
    record_files,
    record_rejected,
    recount_orphaned_files,
    register_known,
    rejected_batches,
    replace_rows,
    validate_rows,
)
from fly_billing.usage.landing_staging import StagedFiles, stage_files
from fly_billing.usage.new_data_files import write_data_files
from fly_billing.usage.readers.json_lines import register_json_functions
from fly_billing.usage.source_contracts import SourceContracts
from fly_billing.usage.usage_table import UsageTable, UsageTableVersion, open_duckdb


class DaysNotLanded(LandingError):
    """Some landing days could not be landed. Nothing changed for them; all other days landed.

    Attributes:
        failures: The reason and what to do, per day.
        files: The files of the days that landed.
    """

    def __init__(self, failures: Mapping[date, str], files: Sequence[LandedFile] = ()) -> None:
        reasons = "; ".join(f"{day}: {failures[day]}" for day in sorted(failures))
        super().__init__(f"these days were not landed and are unchanged: {reasons}")
        self.failures = dict(failures)
        self.files = list(files)


@dataclass(frozen=True)
class _FilePlace:
    """The place of a file: its landing day, and its path below that day's folder."""

    landing_day: date
    path: str


@dataclass(frozen=True)
class Crew:
    """The processes that a landing may use, this one included.

    Attributes:
        tries: How often they try a batch. They try again after one of them was lost.
    """

    pool: ProcessPool
    most: int = 1
    tries: int = 2


# Lands days, with these processes if they are worth it.
Land = Callable[[Sequence[date], Crew | None], list[LandedFile]]


def land_days(
    database: BillingDatabase,
    usage_table: UsageTable,
    landing_dir: Place,
    days: Sequence[date],
    first_month: BillingMonth,
    now: datetime,
    progress: Callable[[str], None] = lambda _: None,
    contracts: SourceContracts | None = None,
    *,
    from_scratch: bool = False,
    processes: int = 1,
) -> list[LandedFile]:
    """Land these days in batches (`landing_batches`). Each batch is committed before the next one starts.

    Days whose files are as they landed stay as they are, and new files are added to them. Returns the files of all
    these days.

    Args:
        contracts: Of the declared sources; gets what each of them brought. None: none is declared.
        from_scratch: Land every day whole, also unchanged ones.
        processes: The most processes that land days which never landed before (`landing_in_parts`).

    Raises:
        DaysNotLanded: Some days can't be landed: the folder can't be read, or it is missing although its files were
            landed before. Raised after all other days have landed.
        LandingError: The landing folder is missing, or contains no day folder although days were landed before.
        UsageTableMismatch: This is not the usage table that earlier landings wrote.
    """
    check_landing_folder(landing_dir)
    refuse_empty_share(database, landing_dir)
    register_usage_table(database, usage_table)

    contracts = contracts or SourceContracts()
    with ProcessPool() as pool:

        def land(some: Sequence[date], crew: Crew | None = None) -> list[LandedFile]:
            with database.transaction() as connection:
                lock_until_commit(connection, "land_usage")
                return land_batch(
                    connection, usage_table, landing_dir, some, first_month, now, progress, contracts, crew
                )

        def add(some: Sequence[date]) -> dict[date, list[LandedFile]]:
            with database.transaction() as connection:
                lock_until_commit(connection, "land_usage")
                return land_additions(connection, usage_table, landing_dir, some, first_month, now, progress, contracts)

        kept = {} if from_scratch else _keep_what_is_unchanged(add, days)
        known = {counts.landing_day for counts in database.records(LandingCounts, "accounted_usage", days=list(days))}
        new = split_into_batches(landing_dir, [day for day in days if day not in known | kept.keys()], processes)
        landed, failures = _land_whole(land, new, Crew(pool, new.processes))
        others = [day for day in days if day in known and day not in kept]
        again, of_others = _land_whole(land, split_into_batches(landing_dir, others))
        # A day that landed whole may have lost an event that rows of an unchanged day contradicted.
        freed = kept.keys() & set(database.values("days_to_land_again"))
        more, of_freed = _land_whole(land, split_into_batches(landing_dir, sorted(freed)))
    landed += again + [file for day, files in kept.items() if day not in freed for file in files] + more
    if failures := failures | of_others | of_freed:
        raise DaysNotLanded(failures, landed)
    return landed


def refuse_empty_share(database: BillingDatabase, landing_dir: Place) -> None:
    """Raise LandingError if files were landed before and no day folder exists now: an unmounted share looks like this.

    Without this check, days that never landed would count as days without usage.
    """
    (last,) = database.values("last_day_with_files")
    if last and not list_day_folders(landing_dir):
        raise LandingError(
            f"{landing_dir / last.isoformat()} and the folders of all other landed days are missing. Is"
            f" {landing_dir} mounted? Nothing was landed. If you moved them on purpose, create a folder for today"
        )


def _land_whole(land: Land, batches: Batches, crew: Crew | None = None) -> tuple[list[LandedFile], dict[date, str]]:
    """Land these batches of days. Returns the files that landed, and why the other days did not land."""
    landed: list[LandedFile] = []
    failures: dict[date, str] = {}
    for some in batches.days:
        try:
            landed += _land_what_can_be(land, some, crew)
        except DaysNotLanded as problem:
            landed += problem.files
            failures |= problem.failures
    return landed, failures


def _keep_what_is_unchanged(
    add: Callable[[Sequence[date]], dict[date, list[LandedFile]]], days: Sequence[date]
) -> dict[date, list[LandedFile]]:
    """Land only the new files of the days for which that is enough. Returns the files of those days."""
    try:
        return add(days)
    except LandsWhole as others:
        return _keep_what_is_unchanged(add, [day for day in days if day not in others.days])
    except (duckdb.Error, pa.ArrowException, MemoryError):
        return {}  # landing them whole meets the same error, and says for which day


def _land_what_can_be(land: Land, days: Sequence[date], crew: Crew | None = None) -> list[LandedFile]:
    """Land the days together. If some of them fail, land the others and raise DaysNotLanded for the failed ones."""
    try:
        return land(days, crew)
    except DaysNotLanded as problem:
        failures = problem.failures
        left = [[day for day in days if day not in failures]]
    except (duckdb.Error, pa.ArrowException, MemoryError, ProcessLost) as problem:
        if isinstance(problem, ProcessLost) and crew is not None and crew.tries > 1:
            return _land_what_can_be(land, days, replace(crew, tries=crew.tries - 1))
        if len(days) == 1 and crew is None:
            raise DaysNotLanded({days[0]: describe_error(problem)}) from problem
        # The error does not name the day, so land each day separately. Not in processes, which may be short of memory.
        failures, left, crew = {}, [[day] for day in days], None
    landed: list[LandedFile] = []
    for some in left:
        try:
            landed += _land_what_can_be(land, some, crew) if some else []
        except DaysNotLanded as problem:
            landed += problem.files
            failures |= problem.failures
    if failures:
        raise DaysNotLanded(failures, landed)
    return landed


def land_batch(
    connection: Connection,
    usage_table: UsageTable,
    landing_dir: Place,
    days: Sequence[date],
    first_month: BillingMonth,
    now: datetime,
    progress: Callable[[str], None],
    contracts: SourceContracts | None = None,
    crew: Crew | None = None,
) -> list[LandedFile]:
    """Land these days together, in the transaction of the caller, who holds the lock `land_usage`.

    Raises the same errors as `land_days`.
    """
    table = open_for_landing(connection, usage_table, progress)
    landed, files = _files_of(connection, landing_dir, days)
    meters, contracts = read_meters(connection), contracts or SourceContracts()
    known, rules = read_known(connection, meters), rules_fingerprint(meters, contracts.declared, first_month)
    shares = split_into_shares(files, 1 if crew is None or landed else crew.most)
    if crew and len(shares) > 1:
        threads = max(1, (os.cpu_count() or 1) // len(shares))
        landing = Landing(usage_table, known, days, first_month, contracts.declared, threads)
        with read_in_parts(connection, table, landing, shares, crew.pool, contracts, progress) as found:
            return _commit(connection, usage_table, table, found, days, days, now, rules)
    with open_duckdb(usage_table.memory_mb) as duck:
        register_json_functions(duck)
        index = KeyIndex.open(duck, table, progress)
        register_known(duck, known)
        staged = stage_files(duck, files, progress, properties_of_quantities(meters))
        _refuse_to_forget(connection, days, staged)
        validate_rows(duck, first_month, contracts)
        touched = replace_rows(duck, connection, table, index, days)
        partitions = count_partitions(duck)
        progress(f"writing {counted(len(touched), 'landing day')} to the usage table")
        data_files = write_data_files(duck, usage_table, partitions)
        find_rejected(duck)
        contracts.count(duck)
        counts = count_files(duck)
        orphaned = count_orphaned_files(duck)
        found = LandedRows(staged, duck, index, data_files, partitions, counts, rejected_batches(duck))
        files_landed = _commit(connection, usage_table, table, found, days, touched, now, rules)
        recount_orphaned_files(connection, orphaned)
        return files_landed


def _commit(
    connection: Connection,
    usage_table: UsageTable,
    table: UsageTableVersion,
    found: LandedRows,
    days: Sequence[date],
    touched: Sequence[date],
    now: datetime,
    rules: str,
) -> list[LandedFile]:
    """Commit the data files to the usage table, and record the landing of these days.

    Args:
        touched: The days whose earlier data files the new ones replace.
        rules: The fingerprint of everything but the files that decides what lands.
    """
    written = usage_table.commit_files(found.data_files, touched)
    version = written.version() + table.shift
    rows(connection, "mark_days_landed", days=list(days), now=now, lake_version=version, rules=rules)
    # The index is written before the landing commits: it may list keys that the table lacks, but never miss one.
    found.index.commit(found.duck, table, written)
    # This comes first: the database only lets a transaction that landed a day replace that day's months.
    rows(connection, "mark_days_written", days=list(touched), lake_version=version)
    acknowledge_version(connection, table, written, touched, found.partitions)
    files = record_files(connection, found.staged, found.counts, replaced=days)
    record_rejected(connection, found.rejected)
    return files


def _files_of(connection: Connection, landing_dir: Place, days: Sequence[date]) -> tuple[set[date], list[LandingFile]]:
    """Return those of these days that landed before, and all their files.

    Raises DaysNotLanded for days whose folder can't be read completely.
    """
    landed = {counts.landing_day for counts in records(connection, LandingCounts, "accounted_usage", days=list(days))}
    files: list[LandingFile] = []
    failures: dict[date, str] = {}
    for day in days:
        folder = landing_dir / day.isoformat()
        try:
            files += list_files(landing_dir, day)
        except OSError as problem:
            is_gone = isinstance(problem, FileNotFoundError)
            if not is_gone or (isinstance(folder, Path) and os.path.lexists(folder)):
                where = readable_name(problem.filename or str(folder))
                failures[day] = f"{where} can't be read ({describe_error(problem)}), so its usage is unknown"
            elif day in landed:
                failures[day] = (
                    f"{folder} is missing, but its files were landed before. Landing the day again would delete their"
                    " events. Restore the folder (an empty one if the day really has no usage), then land the day again"
                )
    if failures:
        raise DaysNotLanded(failures)
    return landed, files


def _refuse_to_forget(connection: Connection, days: Sequence[date], staged: StagedFiles) -> None:
    """Raise DaysNotLanded if a file with accepted events can't be read now: landing its day would delete them."""
    brought = set(records(connection, _FilePlace, "files_with_events", days=list(days)))
    failures = {
        file.day: f"{file.place} can't be read now ({problem}). Its accepted events are kept"
        for file, problem in staged.unread.items()
        if _FilePlace(file.day, file.name) in brought
    }
    if failures:
        raise DaysNotLanded(failures)
