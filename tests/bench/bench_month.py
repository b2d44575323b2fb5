"""Times a month from landing files to final invoices, ours and a month in SQL in turn: `make bench`.

The headline is CPU seconds of all processes: the stage's own, its children, and Postgres with all its backends. It
varies less than time on a busy machine. Each round bills the same month both ways on one durable Postgres server with
months of history, and the other way round in the next round; then both must have charged the same to the last digit.
Stages are processes of their own; what they import before they begin does not count, on either side.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from tests.bench.month_platform import Platform, Result
from tests.bench.month_plot import plot_months
from tests.bench.month_table import markdown
from tests.bench.realistic_month import add_terms
from tests.bench.sample_formats import FORMATS, PARQUET, REALISTIC
from tests.bench.sample_of_size import make_sample
from tests.bench.server import durable_server

EASY = "easy"
MONTHS: dict[str, tuple[str, Callable[..., None] | None]] = {EASY: (PARQUET, None), REALISTIC: (REALISTIC, add_terms)}
# Larger sizes land Parquet only: their other files would take hours.
MOST_WITH_FORMATS = 1000

Rounds = dict[str, list[Result]]
Size = dict[str, Any]


def default_rounds(organizations: int) -> int:
    """Return 1 for a small size, which only checks that the bench runs, and for a large one, which takes long."""
    return 3 if 1000 <= organizations < 10_000 else 1


def default_history(organizations: int) -> int:
    if organizations < 1000:
        return 0
    return 24 if organizations < 10_000 else 6


def measure(organizations: int, rounds: int, history: int, cache: Path, say: Callable[[str], None]) -> Iterator[Size]:
    """Yield the results of a size after each of its months."""
    make_sample(cache, organizations)
    size: Size = {"rounds": rounds, "history": history}
    for month in MONTHS:
        say(f"{organizations:,} organizations, the {month} month: {history} months of history")
        results: Rounds = defaultdict(list)
        for stage, result in _month(organizations, month, rounds, history, cache):
            results[stage].append(result)
            if "cpu" in result:
                say(f"{organizations:,}, {month}, {stage}: {result['cpu']:.2f} CPU s, {result['seconds']:.2f} s")
        size[month] = dict(results)
        yield size


def _month(organizations: int, month: str, rounds: int, history: int, cache: Path) -> Iterator[tuple[str, Result]]:
    usage, terms = MONTHS[month]
    with durable_server() as server, tempfile.TemporaryDirectory() as work:
        platform = Platform(server, Path(work), cache, organizations, usage, terms)
        platform.grow_old(history, with_sql=True)
        for number in range(rounds):
            yield from platform.one_round(sql_first=number % 2 == 1)
            if number == rounds - 1 and month == EASY:
                yield from platform.beside()
            else:
                platform.forget()
        if month == EASY and organizations <= MOST_WITH_FORMATS:
            for kind, stage, result in platform.landings(FORMATS):
                yield f"{stage} {kind}", result


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__)
    read.add_argument("--sizes", type=int, nargs="+", default=[1000])
    read.add_argument("--rounds", type=int, help="default: 3 at 1,000 organizations, 1 from 10,000 and below 1,000")
    read.add_argument("--history", type=int, help="earlier months with invoices; default: 24, or 6 from 10,000, or 0")
    read.add_argument("--cache", type=Path, default=Path(".data/bench"), help="folder of generated usage")
    read.add_argument("--write", type=Path, help="folder for bench_month.json, .md and .png, written after each month")
    read.add_argument("--keep", action="store_true", help="keep the other sizes of the files there")
    given = read.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    results: dict[int, Size] = read_results(given.write) if given.keep else {}
    for size in given.sizes:
        rounds = given.rounds or default_rounds(size)
        history = default_history(size) if given.history is None else given.history
        for done in measure(size, rounds, history, given.cache, partial(_log, console)):
            results = dict(sorted({**results, size: done}.items()))
            if given.write:
                write(given.write, results)
    Console(width=160).print(Markdown(markdown(results)))


def _log(console: Console, line: str) -> None:
    console.print(f"{datetime.now(UTC):%H:%M:%S} {line}")


def read_results(folder: Path) -> dict[int, Size]:
    path = folder / "bench_month.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {int(size): results for size, results in found.items()}


def write(folder: Path, results: dict[int, Size]) -> None:
    (folder / "bench_month.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (folder / "bench_month.md").write_text(markdown(results), encoding="utf-8")
    plot_months(results, folder / "bench_month.png")


if __name__ == "__main__":
    main()
