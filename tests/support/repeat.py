"""Runs tests repeatedly, beside busy processes if asked.

`python -m tests.support.repeat --runs 10 --burners 2 -- PYTEST ARGUMENTS`

Prints the counts and the seconds of each run, and at the end the tests that failed in some runs but not in all: those
depend on chance. Exits 1 if any run failed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

FAILED = re.compile(r"^(?:FAILED|ERROR) (\S.*?)(?: - .*)?$", re.MULTILINE)
TOTALS = re.compile(r"^=*\s*((?:\d+ \w+(?:, )?)+ in .*?)\s*=*$", re.MULTILINE)
WHOLE_SUITE = ("-n", "2", "--dist", "loadgroup")
# A burner ends when its parent has ended, for any reason.
BURNER = """
import os
os.nice(10)
parent = os.getppid()
while os.getppid() == parent:
    sum(range(100_000))
"""


@contextmanager
def burning(count: int) -> Iterator[None]:
    """Keep this number of processes busy, at a low priority, while the block runs."""
    burners = [subprocess.Popen([sys.executable, "-c", BURNER]) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def run_once(arguments: list[str]) -> tuple[int, str]:
    """Run pytest; return its exit code and its output."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rfE", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "400"}, check=False, encoding="utf-8"
    )
    return done.returncode, done.stdout + done.stderr


def main(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Arguments of pytest. Default: the whole suite on two cores")
    ] = None,
    runs: Annotated[int, typer.Option(min=1)] = 10,
    burners: Annotated[int, typer.Option(min=0, help="Number of processes that keep the cores busy")] = 0,
) -> None:
    """Run the tests repeatedly and list those that fail by chance."""
    failures: Counter[str] = Counter()
    bad_runs = 0
    with burning(burners):
        for number in range(1, runs + 1):
            began = time.monotonic()
            code, output = run_once(arguments or list(WHOLE_SUITE))
            totals = TOTALS.findall(output)
            result = totals[-1] if totals else output[-500:]
            typer.echo(f"run {number}: exit code {code}, {time.monotonic() - began:.0f} s: {result}")
            failures.update(set(FAILED.findall(output)))
            bad_runs += code != 0
    for test, count in failures.most_common():
        typer.echo(f"failed in {count} of {runs} runs{'' if count == runs else ', by chance'}: {test}")
    typer.echo(f"{runs - bad_runs} of {runs} runs passed, with {burners} burners")
    raise typer.Exit(int(bad_runs > 0))


if __name__ == "__main__":
    typer.run(main)
