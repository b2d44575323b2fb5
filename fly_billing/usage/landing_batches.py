"""Splits landing days into batches whose files fit into memory together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from fly_billing.object_store.address import Place
from fly_billing.usage.landing_folder import LandingFile, list_files, size_of
from fly_billing.usage.readers.compressed_files import ENDINGS as PACKED

# Equals half a million rows of Parquet, for which a process takes 0.8 GB at most.
BYTES_AT_ONCE = 48 * 2**20
# The least for which a process that runs already is worth its part in the talk.
BYTES_PER_SHARE = 8 * 2**20
# Estimates the uncompressed size of a compressed file. A row takes half the space in Parquet, or less.
PACKED_TIMES, PARQUET_TIMES = 10, 2


@dataclass(frozen=True)
class Batches:
    """Landing days in batches whose files fit into memory together: that of as many processes as there are."""

    processes: int
    days: Sequence[Sequence[date]]


def split_into_batches(landing_dir: Place, days: Sequence[date], most: int = 1) -> Batches:
    """Split the days into batches for at most this many processes.

    A process takes about a second to start, so each has to get a whole batch.
    """
    sizes = {day: _bytes_of(landing_dir, day) for day in days}
    processes = max(1, min(most, sum(sizes.values()) // BYTES_AT_ONCE))
    batches: list[list[date]] = []
    size = 0
    for day in days:
        if not batches or size + sizes[day] > BYTES_AT_ONCE * processes:
            batches.append([])
            size = 0
        batches[-1].append(day)
        size += sizes[day]
    return Batches(processes, batches)


def fit_into_a_batch(files: Iterable[LandingFile]) -> bool:
    """Return True if these files fit into memory together."""
    return sum(map(_unpacked_bytes, files)) <= BYTES_AT_ONCE


def split_into_shares(files: Sequence[LandingFile], processes: int) -> list[list[LandingFile]]:
    """Split the files into shares of about the same size, at most one per process.

    The files of a day stay together if they are no more than a share, so that the day gets one data file.
    """
    sizes = {file: _unpacked_bytes(file) for file in files}
    total = sum(sizes.values())
    number = min(processes, total // BYTES_PER_SHARE)
    if number <= 1:
        return [list(files)]
    days: dict[date, list[LandingFile]] = {}
    for file in files:
        days.setdefault(file.day, []).append(file)
    units = []
    for some in days.values():
        units += [some] if sum(map(sizes.__getitem__, some)) <= total // number else [[file] for file in some]
    shares: list[list[LandingFile]] = [[] for _ in range(number)]
    filled = [0] * number
    for unit in sorted(units, key=lambda unit: sum(map(sizes.__getitem__, unit)), reverse=True):
        least = filled.index(min(filled))
        shares[least] += unit
        filled[least] += sum(map(sizes.__getitem__, unit))
    return [share for share in shares if share]


def _bytes_of(landing_dir: Place, day: date) -> int:
    """Return the approximate size of a day's files; 0 if they can't be listed, which the landing itself reports."""
    try:
        return sum(map(_unpacked_bytes, list_files(landing_dir, day)))
    except OSError:
        return 0


def _unpacked_bytes(file: LandingFile) -> int:
    """Return the approximate size of a file; 0 if it can't be read, which the landing itself reports."""
    if file.problem:
        return 0
    try:
        suffix = file.path.suffix.lower()
        times = PACKED_TIMES if suffix in PACKED else PARQUET_TIMES if suffix == ".parquet" else 1
        return size_of(file) * times
    except OSError:
        return 0
