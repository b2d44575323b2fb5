"""Splits landing days into batches whose files fit into memory together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from fly_billing.object_store.address import Place
from fly_billing.usage.landing_folder import LandingFile, list_files, size_of
from fly_billing.usage.readers.compressed_files import ENDINGS as PACKED

# Equals about a million rows of Parquet.
BYTES_AT_ONCE = 48 * 2**20
# Estimates the uncompressed size of a compressed file.
PACKED_TIMES = 10


def split_into_batches(landing_dir: Place, days: Sequence[date]) -> Iterator[list[date]]:
    """Split the days into batches whose files fit into memory together."""
    batch: list[date] = []
    size = 0
    for day in days:
        ours = _bytes_of(landing_dir, day)
        if batch and size + ours > BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append(day)
        size += ours
    if batch:
        yield batch


def fit_into_a_batch(files: Iterable[LandingFile]) -> bool:
    """Return True if these files fit into memory together."""
    return sum(map(_unpacked_bytes, files)) <= BYTES_AT_ONCE


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
        return size_of(file) * (PACKED_TIMES if file.path.suffix.lower() in PACKED else 1)
    except OSError:
        return 0
