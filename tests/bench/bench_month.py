"""Times a month from landing files to finalized invoices, and compares it with other ways to do it.

Run by `make bench`, by default with 1,000 organizations (`--sizes 1000 10000 30000`: 20 million events at the largest
size), on a platform that has 24 months of invoices. Every stage is a process of its own and runs `--runs` times; the
table shows the median. Baselines run in between, on the same machine, so that their ratios are valid on any.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn
from rich.table import Table

from fly_billing.embedded_postgres import PostgresServer
from fly_billing.embedded_postgres.roles import DAGSTER
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate
from tests.bench.history import add_history, forget_month
from tests.bench.month_plot import plot_months
from tests.bench.month_stages import Order
from tests.bench.sample_of_size import add_records, make_sample
from tests.bench.server import bench_server

OURS = ("land", "rollup", "invoice")
BESIDE = ("check", "rebill_one", "statement", "monthly_totals")
# `dagster` is no baseline but ours too: the same month as one run.
BASELINES = ("dagster", "floor", "pandas_and_a_loop", "to_sql_and_queries", "inside_postgres")
# Stripe's limits: calls per second to one endpoint, and usage events per second (its own endpoint's limit).
PER_ENDPOINT, METER_EVENTS = 25, 1000

Results = dict[str, dict[str, Any]]


class Platform:
    """Organizations with a history, in a throw-away server; every run bills the same month again."""

    def __init__(self, server: PostgresServer, work: Path, cache: Path, organizations: int) -> None:
        self._database = BillingDatabase(server.url("billing"))
        self._folders = work
        self._runs = 0
        migrate(self._database)
        add_records(self._database, organizations)
        self._order = Order(
            str(cache), organizations, "", server.url("billing"), server.url("dagster", "postgresql+psycopg2", DAGSTER)
        )

    def grow_old(self, months: int) -> None:
        """Bill the month once, and copy it into `months` months of history."""
        order = self.next_order()
        for stage in OURS:
            run_stage(stage, order)
        add_history(self._database, months)

    def measure(self, baselines: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each stage with its result: seconds, peak memory and counts."""
        order = self.next_order()
        for stage in (*OURS, *BESIDE):
            yield stage, run_stage(stage, order)
        if "floor" in baselines:
            run_stage("results_for_floor", order)
        for stage in (name for name in baselines if name != "dagster"):
            yield stage, run_stage(stage, order)
        if "dagster" in baselines:
            forget_month(self._database, landed=False)
            yield "dagster", run_stage("dagster", order)
        forget_month(self._database, landed=True)

    def next_order(self) -> Order:
        self._runs += 1
        work = self._folders / str(self._runs)
        work.mkdir()
        return replace(self._order, work=str(work))


def run_stage(stage: str, order: Order) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.month_stages", stage, json.dumps(asdict(order))],
        capture_output=True, text=True, encoding="utf-8",
)  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{stage} of {order.organizations} organizations failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def median_of(runs: Sequence[Results]) -> Results:
    """Take each stage's run with the median time, and the highest peak memory of all."""
    median: Results = {}
    for stage in runs[0]:
        results = sorted((run[stage] for run in runs if stage in run), key=lambda result: result["seconds"])
        middle = results[(len(results) - 1) // 2]
        median[stage] = middle | {
            "seconds": statistics.median(result["seconds"] for result in results),
            "runs": len(results),
            "peak_bytes": max(result["peak_bytes"] for result in results),
        }
    return median


def ours(results: Mapping[str, Mapping[str, Any]]) -> float:
    return float(sum(results[stage]["seconds"] for stage in OURS))


def usage_pushed(results: Mapping[str, Mapping[str, Any]]) -> tuple[int, float, int, float]:
    """Return calls and least seconds of pushing each usage event and invoice line to Stripe, then those of our sync.

    Stripe's limits determine the seconds; our sync makes three calls per invoice, in parallel.
    """
    events, invoices, items = (
        results["rollup"]["events"], results["invoice"]["invoices"], results["invoice"]["items"]
    )  # fmt: skip
    pushed = events + items + 2 * invoices
    return pushed, events / METER_EVENTS + items / PER_ENDPOINT, 3 * invoices, invoices / PER_ENDPOINT


def table_of(results: Mapping[int, Results]) -> list[list[str]]:
    """Return the rows of the table: the name of the figure, then a column per size."""

    def row(name: str, cell: Any) -> list[str]:
        return [name, *(cell(result) for result in results.values())]

    rows = [
        row("events, accepted", lambda r: f"{r['rollup']['events']:,}"),
        row("invoice items", lambda r: f"{r['invoice']['items']:,}"),
        *(
            row(f"{stage}: seconds, peak memory", lambda r, s=stage: _took(r[s]) if s in r else "not run")
            for stage in (*OURS, *BESIDE, *BASELINES)
        ),
        row("landing to finalized invoices", lambda r: f"{ours(r):.1f} s"),
        row("the same per organization", lambda r: f"{1000 * ours(r) / r['invoice']['invoices']:.1f} ms"),
        row("Dagster's bookkeeping, of its run", lambda r: _share(r["dagster"]) if "dagster" in r else "not run"),
    ]
    rows += [
        row(f"{name} / ours", lambda r, n=name: f"{r[n]['seconds'] / ours(r):.2f}" if n in r else "not run")
        for name in BASELINES[1:]
    ]
    rows.append(
        row("usage pushed to Stripe: calls, seconds at least", lambda r: "{:,}, {:,.0f} s".format(*usage_pushed(r)[:2]))
    )
    rows.append(row("ours: calls, seconds at least", lambda r: "{:,}, {:,.0f} s".format(*usage_pushed(r)[2:])))
    return rows


def _took(result: Mapping[str, Any]) -> str:
    return f"{result['seconds']:.2f} s, {result['peak_bytes'] / 1e9:.2f} GB"


def _share(result: Mapping[str, Any]) -> str:
    return f"{result['bookkeeping_seconds']:.1f} of {result['run_seconds']:.1f} s, {result['keys']} keys"


def machine() -> str:
    names = ("dagster", "duckdb", "deltalake", "pandas", "psycopg", "embedded-postgres")
    model = next(
        (
            line.partition(": ")[2]
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return f"{model}, Python {platform.python_version()}, {versions}"


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__)
    read.add_argument("--sizes", type=int, nargs="+", default=[1000])
    read.add_argument("--runs", type=int, default=3)
    read.add_argument("--baseline-runs", type=int, default=1, help="number of runs that include the baselines")
    read.add_argument(
        "--history", type=int, default=24, help="earlier months with invoices; their data may be in memory"
    )
    read.add_argument("--cache", type=Path, default=Path(".data/bench"), help="folder of generated usage")
    read.add_argument("--baselines", nargs="*", default=list(BASELINES), choices=BASELINES)
    read.add_argument("--write", type=Path, help="folder for bench_month.json, .md and .png, written after each size")
    read.add_argument("--keep", action="store_true", help="keep the other sizes and baselines of the files there")
    given = read.parse_args()
    console = Console(stderr=True)
    results: dict[int, Results] = read_results(given.write) if given.keep else {}
    stages = (len(OURS) + len(BESIDE)) * given.runs + len(given.baselines) * given.baseline_runs
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=console) as progress:
        for size in given.sizes:
            task = progress.add_task(f"{size:,} organizations: usage", total=stages)
            given.cache.mkdir(parents=True, exist_ok=True)
            make_sample(given.cache, size)
            runs: list[Results] = []
            with bench_server() as server, tempfile.TemporaryDirectory() as work:
                progress.update(task, description=f"{size:,} organizations: history")
                platform = Platform(server, Path(work), given.cache, size)
                platform.grow_old(given.history)
                for number in range(given.runs):
                    runs.append({})
                    for stage, took in platform.measure(given.baselines if number < given.baseline_runs else ()):
                        runs[-1][stage] = took
                        progress.update(task, advance=1, description=f"{size:,} organizations: {stage}")
            results = dict(sorted({**results, size: results.get(size, {}) | median_of(runs)}.items()))
            if given.write:
                write(given.write, results, table_of(results))
    rows = table_of(results)
    shown = Table("", *(f"{size:,} organizations" for size in results), title=f"A month, median of {given.runs} runs")
    for row in rows:
        shown.add_row(*row)
    Console().print(shown)


def read_results(folder: Path) -> dict[int, Results]:
    return {
        int(size): results
        for size, results in json.loads((folder / "bench_month.json").read_text(encoding="utf-8")).items()
    }


def write(folder: Path, results: Mapping[int, Results], rows: Sequence[Sequence[str]]) -> None:
    (folder / "bench_month.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    lines = [
        f"Medians; bench_month.json has the number of runs. {machine()}.",
        "",
        "| | " + " | ".join(f"{size:,} organizations" for size in results) + " |",
        "|---" * (len(results) + 1) + "|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    (folder / "bench_month.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    plot_months(results, folder / "bench_month.png")


if __name__ == "__main__":
    main()
