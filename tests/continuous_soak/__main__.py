"""Simulate a day of continuous billing: `make soak-continuous SIZES=10000`."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from rich.console import Console
from sqlalchemy import text

from fly_billing.embedded_postgres import throwaway
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate
from fly_billing.usage.landing_run import land_and_check
from fly_billing.usage.usage_table import UsageTable
from tests.bench.bench_landing_again import size_of
from tests.bench.bench_open_month import WAL
from tests.bench.process_cpu import server_seconds
from tests.bench.sample_of_size import MONTH, Sample, add_records, make_sample
from tests.bench.server import SETTINGS
from tests.continuous_soak.day import CYCLE, Day
from tests.continuous_soak.report import data_of, plot, table_of
from tests.continuous_soak.scratch import build_from_scratch, digests
from tests.pictures.facts import write_data

START = datetime(2026, 9, 15, tzinfo=UTC)


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__)
    read.add_argument("--organizations", type=int, default=1000)
    read.add_argument("--cycles", type=int, default=288)
    read.add_argument("--events", type=int, help="events of the month before the day; default: 667 per organization")
    read.add_argument("--only-cycles", action="store_true", help="do not compare the end with a month from scratch")
    read.add_argument("--minutes", type=float, help="stop after so many real minutes")
    read.add_argument("--seed", type=int, default=1)
    read.add_argument("--start-seconds", type=float, default=10, help="from a tick to the start of a run")
    read.add_argument("--cache", type=Path, default=Path(".data/bench"), help="folder of generated usage")
    read.add_argument("--write", type=Path, help="folder for the plot and the numbers")
    given = read.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    sample, console = make_sample(given.cache, given.organizations, given.events), Console()
    with (
        throwaway(("billing", "scratch"), SETTINGS) as server,
        tempfile.TemporaryDirectory() as work,
        console.status("landing the month so far") as status,
    ):
        database, scratch = (BillingDatabase(server.url(name)) for name in ("billing", "scratch"))
        for each in (database, scratch):
            migrate(each)
            add_records(each, given.organizations)
        landing, usage = Path(work) / "landing", UsageTable(Path(work) / "usage_table")
        link_days(sample, landing)
        days = [MONTH.first_day + timedelta(days=number) for number in range(START.day - 1)]
        land_and_check(database, usage, landing, days, START)

        def cost() -> tuple[float, float, float]:
            return time.process_time(), server_seconds(server.pid), number_of(database, WAL)

        names = [f"org-{number:05}" for number in range(given.organizations)]
        day = Day(database, usage, landing, names, START, cost, Random(given.seed), given.start_seconds)
        day.prepare()
        sizes: dict[str, list[float]] = {"database": [size_of_database(database)], "usage_table": [size_of(usage)]}
        files = [count_files(usage)]
        costs = day.run(given.cycles, status.update if console.is_terminal else console.print, given.minutes)
        sizes["database"].append(size_of_database(database))
        sizes["usage_table"].append(size_of(usage))
        files.append(count_files(usage))
        ours = theirs = digests(database)
        if not given.only_cycles:
            status.update("from scratch")
            end = START + len(costs) * CYCLE
            build_from_scratch(scratch, UsageTable(Path(work) / "scratch"), landing, day.statements, MONTH, end)
            theirs = digests(scratch)
    facts = {
        "organizations": given.organizations, "start_seconds": given.start_seconds, "load": os.getloadavg()[2],
        **sizes, "data_files": files, "rows": {name: rows for name, (rows, _) in ours.items()},
        "is_equal": None if given.only_cycles else ours == theirs,
    }  # fmt: skip
    data = data_of(costs, facts)
    console.print(table_of(data))
    if given.write:
        write_data(given.write / "soak_continuous.json", data)
        plot(data, given.write / "soak_continuous.png")
    assert ours == theirs, {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}


def link_days(sample: Sample, landing: Path) -> None:
    """Link the files of the days before the soak's day into the landing folder; soak files go beside them."""
    for day in sample.landing_days:
        if day < START.date():
            folder = landing / day.isoformat()
            folder.mkdir(parents=True)
            for file in (sample.landing / day.isoformat()).iterdir():
                (folder / file.name).symlink_to(file.resolve())


def number_of(database: BillingDatabase, statement: str) -> float:
    with database.transaction() as connection:
        return float(connection.execute(text(statement)).scalar_one())


def size_of_database(database: BillingDatabase) -> float:
    return number_of(database, "select pg_database_size(current_database())")


def count_files(usage: UsageTable) -> int:
    return sum(1 for _ in usage.local_folder.rglob("*.parquet"))


if __name__ == "__main__":
    main()
