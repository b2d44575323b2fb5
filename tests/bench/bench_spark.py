"""Times the rollups of a month by DuckDB and by Spark, and checks that their snapshots are equal.

`python -m tests.bench.bench_spark`, after `make .venv/.installed-engines`; not part of `make bench`. One machine acts
as the cluster, so this measures Spark's cost, not its gain. Each engine runs in a process of its own; `first` is with
a cold Java, `again` is the same work in a warm one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table

from fly_billing.embedded_postgres import throwaway
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate
from fly_billing.usage.engines.duckdb_engine import PriceOf, no_price
from fly_billing.usage.engines.engine import RollupEngine, open_engine
from fly_billing.usage.landing import land_days
from fly_billing.usage.rollups import roll_up
from fly_billing.usage.usage_table import UsageTable, UsageTableVersion
from tests.bench.sample_of_size import FIRST_MONTH, MONTH, NOW, Sample, add_records, make_sample

ENGINES = (("duckdb", ""), ("spark", "local[2]"), ("spark", "local-cluster[2,1,1536]"))
MEMORY = {"PYSPARK_SUBMIT_ARGS": "--driver-memory 2g --executor-memory 1g pyspark-shell"}


class Timed:
    """A rollup engine that records its seconds."""

    def __init__(self, engine: RollupEngine) -> None:
        self.engine = engine
        self.seconds: dict[str, float] = {}

    def read(self, duck: duckdb.DuckDBPyConnection, table: UsageTableVersion, month: BillingMonth) -> int:
        return self.engine.read(duck, table, month)

    def aggregate(
        self, duck: duckdb.DuckDBPyConnection, month: BillingMonth, as_of: datetime, price_of: PriceOf = no_price
    ) -> None:
        started = time.perf_counter()
        self.engine.aggregate(duck, month, as_of, price_of)
        self.seconds["aggregate"] = time.perf_counter() - started

    def recount(self, duck: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], tuple[int, Decimal]]:
        started = time.perf_counter()
        found = self.engine.recount(duck)
        self.seconds["compare"] = time.perf_counter() - started
        return found


def run_engine(
    name: str, master: str, database: BillingDatabase, usage_table: UsageTable, groups: list[str]
) -> dict[str, Any]:
    """Roll the month up twice. `changed` in the result counts the organizations with new snapshots in the first run."""
    started = time.perf_counter()
    with open_engine(name, master) as engine:
        result: dict[str, Any] = {"start": time.perf_counter() - started}
        for run in ("first", "again"):
            timed, started = Timed(engine), time.perf_counter()
            done = roll_up(database, usage_table, MONTH, groups, NOW, timed)
            result[run] = {"all": time.perf_counter() - started, **timed.seconds}
            result.setdefault("changed", done.changed)
    return {**result, "events": done.events, "rollups": done.rollups}


def measure(sample: Sample) -> Iterator[dict[str, Any]]:
    """Yield the result of each of ENGINES. The first one starts on an empty database."""
    with throwaway(databases=("billing",)) as server, tempfile.TemporaryDirectory() as work:
        database, usage_table = BillingDatabase(server.url("billing")), UsageTable(Path(work) / "usage_table")
        migrate(database)
        add_records(database, sample.organizations)
        land_days(database, usage_table, sample.landing, sample.landing_days, FIRST_MONTH, NOW)
        for name, master in ENGINES:
            yield _in_a_process_of_its_own(
                [name, master, server.url("billing"), str(usage_table.path), sample.groups()]
            )


def _in_a_process_of_its_own(order: list[Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.bench_spark", "--order", json.dumps(order)],
        capture_output=True, text=True, env=os.environ | MEMORY, encoding="utf-8",
)  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{order[:2]} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__)
    read.add_argument("--sizes", type=int, nargs="+", default=[1000, 3000])
    read.add_argument("--cache", type=Path, default=Path(".data/bench"), help="folder of generated usage")
    read.add_argument("--order", help=argparse.SUPPRESS)
    given = read.parse_args()
    if given.order:
        name, master, url, usage_table, groups = json.loads(given.order)
        result = run_engine(name, master, BillingDatabase(url), UsageTable(Path(usage_table)), groups)
        sys.stdout.write(json.dumps(result) + "\n")
        return
    columns = (
        "events",
        "rollups",
        "engine",
        "start",
        "first: add up",
        "compare",
        "again: add up",
        "compare",
        "all",
        "",
    )
    table = Table(*columns, title="A month rolled up, in seconds")
    given.cache.mkdir(parents=True, exist_ok=True)
    for size in given.sizes:
        for (name, master), result in zip(ENGINES, measure(make_sample(given.cache, size)), strict=True):
            Console(stderr=True).print(name, master, result)
            times = (
                result["start"],
                *(result[run][step] for run in ("first", "again") for step in ("aggregate", "compare")),
            )
            is_same = "same snapshots" if name != "duckdb" and not result["changed"] else ""
            if name != "duckdb" and result["changed"]:
                raise SystemExit(f"{name} {master} differs for {result['changed']} organizations")
            table.add_row(
                f"{result['events']:,}", f"{result['rollups']:,}", f"{name} {master}",
                *(f"{seconds:.1f}" for seconds in times), f"{result['again']['all']:.1f}", is_same,
            )  # fmt: skip
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
