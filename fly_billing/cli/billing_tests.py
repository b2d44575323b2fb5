"""Runs billing tests and prints their results: `fly-billing test`.

Not here: the format of a case, and running it (`testing`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from fly_billing.cli.terminal import Terminal, busy, joined, styled
from fly_billing.money import counted
from fly_billing.testing import CaseResult, read_cases, run_cases


def run_tests(console: Terminal, folders: Sequence[Path], jobs: int | None, *, as_json: bool) -> bool:
    """Run the cases in and below the folders, and print a line for each, and what differs.

    Returns:
        True if all passed.

    Raises:
        CasesHaveMistakes: Nothing was run.
    """
    cases, begun, results = read_cases(folders), time.monotonic(), []
    with _progress(console, len(cases), is_shown=not as_json) as show:
        for result in run_cases(cases, jobs):
            results.append(result)
            show(result)
    failed = sum(not result.passed for result in results)
    if as_json:
        print(json.dumps([_data(result) for result in results], indent=2))
    else:
        seconds = f"{time.monotonic() - begun:.1f} s"
        console.print(f"{counted(len(results), 'case')}: {len(results) - failed} passed, {failed} failed in {seconds}")
    return not failed


@contextmanager
def _progress(console: Terminal, number: int, *, is_shown: bool) -> Iterator[Any]:
    """Yield a function that prints a result. On a terminal, a line counts those that are done."""
    if not is_shown:
        yield lambda result: None
        return
    done = 0
    with busy(console, f"0 of {counted(number, 'case')}") as update:

        def show(result: CaseResult) -> None:
            nonlocal done
            done += 1
            _print(console, result)
            update(f"{done} of {counted(number, 'case')}")

        yield show


def _print(console: Terminal, result: CaseResult) -> None:
    state, style = ("passed", "green") if result.passed else ("FAILED", "red")
    refused = " (refused, as it may be)" if result.passed and result.refusal else ""
    line = joined(styled(state, style), f" {result.name}{refused} {result.seconds:.1f} s")
    console.print(line, soft_wrap=True)
    if result.passed:
        return
    if result.mismatches:
        console.print(_table(result))
    if result.refusal is not None:
        for number, text in enumerate(result.refusal.splitlines()):
            console.print(joined("  ", styled("refused " if number == 0 else "        ", "red"), text), soft_wrap=True)


def _table(result: CaseResult) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("  ", width=2)
    for heading in ("Step", "Item", "Expected", "Actual"):
        table.add_column(heading, overflow="fold")
    for each in result.mismatches:
        table.add_row("", each.place, each.item, styled(each.expected, "green"), styled(each.actual, "red"))
    return table


def _data(result: CaseResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "folder": str(result.folder),
        "passed": result.passed,
        "seconds": round(result.seconds, 3),
        "refused": result.refusal,
        "differences": [asdict(each) for each in result.mismatches],
    }
