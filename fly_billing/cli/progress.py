"""Progress bars of commands that do one thing after another. Keeps out: what is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TimeElapsedColumn

from fly_billing.cli.terminal import Terminal, bars

T = TypeVar("T")


def progress_bars(console: Terminal) -> Progress:
    columns = (
        SpinnerColumn(),
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return bars(console, *columns)


def each(
    progress: Progress, what: str, things: Sequence[T], do: Callable[[T], object], name: Callable[[T], str] = str
) -> None:
    """Do it to each of the things, under a bar that says which one is being done."""
    task = progress.add_task(what, total=len(things))
    for thing in things:
        progress.update(task, description=f"{what} {name(thing)}".rstrip())
        do(thing)
        progress.advance(task)
    progress.update(task, description=what if things else f"{what}: nothing left to do")
