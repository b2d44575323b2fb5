"""Times a month, landing to checks, by one process and by several: `make bench-processes`.

One process is measured twice: on one core, and on all cores, which DuckDB then uses. Postgres always has all. Each
round bills the same month of the same organizations in all three ways, in another order each time.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.bench.month_platform import OURS, Platform, Result
from tests.bench.sample_of_size import make_sample
from tests.bench.server import durable_server

CORES = sorted(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Way:
    """How many processes bill the month, and on how many cores."""

    name: str
    processes: int
    cores: int


WAYS = (
    Way("1 process, 1 core", 1, 1),
    Way(f"1 process, {len(CORES)} cores", 1, len(CORES)),
    Way(f"{len(CORES)} processes", len(CORES), len(CORES)),
)
Rounds = dict[tuple[str, str], list[Result]]


def measure(organizations: int, rounds: int, cache: Path) -> Iterator[tuple[str, str, Result]]:
    """Yield the way, the stage and its cost."""
    make_sample(cache, organizations)
    with durable_server() as server, tempfile.TemporaryDirectory() as work:
        platform = Platform(server, Path(work), cache, organizations)
        platform.grow_old(0, with_sql=True)
        for number in range(rounds):
            first = number % len(WAYS)
            for way in WAYS[first:] + WAYS[:first]:
                order = platform.next_order()
                with _limited_to(way):
                    for stage in OURS:
                        yield way.name, stage, platform.measured(stage, order)
                platform.forget()


@contextmanager
def _limited_to(way: Way) -> Iterator[None]:
    """Let the processes that are started here use so many cores and processes."""
    os.environ["FLY_BILLING_PROCESSES"] = str(way.processes)
    os.sched_setaffinity(0, CORES[: way.cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, CORES)


def table_of(results: Rounds) -> Table:
    table = Table("medians: seconds (CPU s)", *(way.name for way in WAYS), f"{WAYS[0].name} : {WAYS[-1].name}")
    for stage in (*OURS, "together"):
        cells, seconds = [], []
        for way in WAYS:
            found = _together(results, way.name) if stage == "together" else results[way.name, stage]
            seconds.append([result["seconds"] for result in found])
            cells.append(f"{median(seconds[-1]):.1f} ({median(result['cpu'] for result in found):.1f})")
        gains = [one / many for one, many in zip(seconds[0], seconds[-1], strict=True)]
        table.add_row(stage, *cells, f"{median(gains):.2f} ({min(gains):.2f}..{max(gains):.2f})")
    return table


def _together(results: Rounds, way: str) -> list[Result]:
    rounds = zip(*(results[way, stage] for stage in OURS), strict=True)
    return [{key: sum(stage[key] for stage in stages) for key in ("seconds", "cpu")} for stages in rounds]


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__)
    read.add_argument("--organizations", type=int, default=10_000)
    read.add_argument("--rounds", type=int, default=3)
    read.add_argument("--cache", type=Path, default=Path(".data/bench"), help="folder of generated usage")
    given = read.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    results: Rounds = defaultdict(list)
    for way, stage, result in measure(given.organizations, given.rounds, given.cache):
        results[way, stage].append(result)
        console.print(
            f"{datetime.now(UTC):%H:%M:%S} {way}, {stage}: {result['seconds']:.2f} s, {result['cpu']:.2f} CPU s,"
            f" {result['peak_bytes'] / 1e9:.2f} GB"
        )
    Console(width=160).print(table_of(results))


if __name__ == "__main__":
    main()
