"""Lands open days again, by what changed since the last landing: `make bench-landing-again`.

One day has --files files of 100 events each, as collectors send them. The two days of --organizations organizations are
a twelfth of the usage of their month. CPU is that of this process and of Postgres, user and system. Written is what the
usage table grew by, and the WAL of Postgres.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table

from fly_billing.periods import FIRST_MONTH
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate
from fly_billing.usage.landing import land_days
from fly_billing.usage.usage_table import UsageTable
from tests.bench.bench_open_month import measured
from tests.bench.sample_of_size import Sample, add_records, make_sample
from tests.bench.server import bench_server

TODAY = date(2026, 9, 15)
SMALL = date(2026, 9, 16)
NOW = datetime(2026, 9, 16, 15, tzinfo=UTC)
EVENTS = 100
FIELDS = ("id", "source", "type", "subject", "time")


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__)
    read.add_argument("--files", type=int, default=5000)
    read.add_argument("--organizations", type=int, default=1000)
    read.add_argument("--cache", type=Path, default=Path(".data/bench"), help="folder of generated usage")
    given = read.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    sample = make_sample(given.cache, given.organizations)
    table = Table("", "CPU, Python", "CPU, Postgres", "usage table", "WAL", title=f"{given.organizations:,}")
    console = Console()
    with bench_server() as server, tempfile.TemporaryDirectory() as work, console.status("preparing") as status:
        database, landing = BillingDatabase(server.url("billing")), Path(work) / "landing"
        migrate(database)
        add_records(database, given.organizations)
        usage_table = UsageTable(Path(work) / "usage_table")
        lines = prepare(sample, landing, given.files)

        def land(what: str, *days: date, from_scratch: bool = False) -> None:
            status.update(what)
            before, size = measured(server.pid, database), size_of(usage_table)
            files = land_days(
                database, usage_table, landing, days, FIRST_MONTH, NOW, status.update, from_scratch=from_scratch
            )
            assert files and sum(file.accepted for file in files)
            python, postgres, wal, _ = (
                now - then for now, then in zip(measured(server.pid, database), before, strict=True)
            )
            grown = size_of(usage_table) - size
            table.add_row(what, f"{python:.2f} s", f"{postgres:.2f} s", f"{grown / 1e6:.1f} MB", f"{wal / 1e6:.1f} MB")

        two_days = TODAY - timedelta(days=1), TODAY
        land("two days, first time", *two_days)
        land("two days, nothing changed", *two_days)
        land("two days, from scratch", *two_days, from_scratch=True)
        land(f"a day of {given.files:,} files, first time", SMALL)
        land("the same, nothing changed", SMALL)
        for number in range(3):
            write(landing / SMALL.isoformat() / f"new-{number}.jsonl", lines[number * EVENTS : (number + 1) * EVENTS])
            land(f"a new file of {EVENTS} events", SMALL)
        land("the same, from scratch", SMALL, from_scratch=True)
    console.print(table)


def prepare(sample: Sample, landing: Path, files: int) -> list[str]:
    """Copy two days of the sample, and write a third as small files. Returns the lines for more files."""
    for day in (TODAY - timedelta(days=1), TODAY):
        (landing / day.isoformat()).parent.mkdir(exist_ok=True)
        (landing / day.isoformat()).symlink_to((sample.landing / day.isoformat()).resolve())
    source = str(sample.landing / SMALL.isoformat() / "*.parquet")
    found = duckdb.execute(f"from read_parquet('{source}') limit {(files + 3) * EVENTS}")
    names = [column[0] for column in found.description or []]
    lines = [line_of(dict(zip(names, row, strict=True))) for row in found.fetchall()]
    folder = landing / SMALL.isoformat()
    folder.mkdir()
    for number in range(files):
        write(folder / f"collector-{number:05}.jsonl", lines[number * EVENTS : (number + 1) * EVENTS])
    return lines[files * EVENTS :]


def line_of(row: dict[str, Any]) -> str:
    envelope = {name: str(row[name]) for name in FIELDS} | {"time": row["time"].astimezone(UTC).isoformat()}
    data = json.loads(row["data"]) | {"quantity": row["quantity"]}
    return json.dumps(envelope | {"data": data})


def write(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def size_of(usage_table: UsageTable) -> int:
    return sum(file.stat().st_size for file in usage_table.local_folder.rglob("*.parquet"))


if __name__ == "__main__":
    main()
