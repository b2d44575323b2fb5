"""The sample's usage in other files: JSONL, CSV, and a landing day of thousands of small files. Kept beside it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb

from tests.bench.realistic_month import make_realistic_usage
from tests.bench.sample_of_size import Sample

PARQUET, JSONL, CSV, SMALL_FILES, REALISTIC = "parquet", "jsonl", "csv", "small_files", "realistic"
FORMATS = (JSONL, CSV, SMALL_FILES)
SMALL_FILE_EVENTS = 100
SMALL_FILES_PER_1000 = 5000

# The quantity is a property of `data`, as in a CloudEvent of a collector.
AS_JSON = """
select
    id, source, type, subject, strftime(time, '%Y-%m-%dT%H:%M:%S.%fZ') as time,
    json_merge_patch(data, json_object('quantity', quantity)) as data
from read_parquet($files)
"""
AS_CSV = """
select id, source, type, subject, strftime(time, '%Y-%m-%dT%H:%M:%S.%fZ') as time, quantity, data
from read_parquet($files)
"""


def landing_of(sample: Sample, kind: str) -> Path:
    """Return the landing folder of the sample in files of this kind, and make it unless it is there."""
    if kind == PARQUET:
        return sample.landing
    landing = sample.landing.with_name(f"{sample.landing.name}-{kind}")
    if not landing.is_dir():
        making = landing.with_name(f"{landing.name}.making")
        shutil.rmtree(making, ignore_errors=True)
        for day in sample.landing_days:
            (making / day.isoformat()).mkdir(parents=True)
        MAKERS[kind](sample, making)
        making.rename(landing)
    return landing


def _make_jsonl(sample: Sample, landing: Path) -> None:
    _convert(sample, landing, AS_JSON, "jsonl", "format json")


def _make_csv(sample: Sample, landing: Path) -> None:
    _convert(sample, landing, AS_CSV, "csv", "format csv, header")


def _convert(sample: Sample, landing: Path, query: str, suffix: str, options: str) -> None:
    with duckdb.connect() as duck:
        duck.execute("set TimeZone = 'UTC'")
        for path in sorted(sample.landing.rglob("*.parquet")):
            target = landing / path.parent.name / f"{path.stem}.{suffix}"
            duck.execute(f"copy ({query.replace('$files', repr(str(path)))}) to '{target}' ({options})")


def _make_small_files(sample: Sample, landing: Path) -> None:
    """Write a day's worth of a collector that sends a file every few seconds, all on the last landing day."""
    files = max(1, sample.organizations * SMALL_FILES_PER_1000 // 1000)
    with duckdb.connect() as duck:
        duck.execute("set TimeZone = 'UTC'")
        found = sorted(str(path) for path in sample.landing.rglob("*.parquet"))
        rows = duck.execute(
            f"select to_json(row)::varchar from ({AS_JSON}) as row limit {files * SMALL_FILE_EVENTS}",  # noqa: S608
            {"files": found},
        ).fetchall()
    folder = landing / sample.landing_days[-1].isoformat()
    for number, lines in enumerate(_blocks([line for (line,) in rows], SMALL_FILE_EVENTS)):
        (folder / f"collector-{number:05}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _blocks(lines: list[str], size: int) -> list[list[str]]:
    return [lines[first : first + size] for first in range(0, len(lines), size)]


MAKERS: dict[str, Callable[[Sample, Path], None]] = {
    JSONL: _make_jsonl, CSV: _make_csv, SMALL_FILES: _make_small_files, REALISTIC: make_realistic_usage,
}  # fmt: skip
