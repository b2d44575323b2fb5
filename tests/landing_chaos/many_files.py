"""Splits the two files of each day of a sample into many, as sources write them hourly."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from tests.bench.sample_of_size import Sample


def in_many_files(sample: Sample) -> Sample:
    """Return the sample with a file for each row group (122,880 rows) of its files. It is kept beside the sample."""
    folder = sample.landing.with_name(f"{sample.landing.name}-files")
    if not folder.is_dir():
        making = folder.with_name(f"{folder.name}.making")
        shutil.rmtree(making, ignore_errors=True)
        for day in sorted(sample.landing.iterdir()):
            (making / day.name).mkdir(parents=True)
            for file in sorted(day.iterdir()):
                _split(file, making / day.name)
        making.rename(folder)
    return replace(sample, landing=folder)


def _split(file: Path, folder: Path) -> None:
    with pq.ParquetFile(file) as parquet:
        for number in range(parquet.num_row_groups):
            pq.write_table(parquet.read_row_group(number), folder / f"{file.stem}-{number}.parquet")
