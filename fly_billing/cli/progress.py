"""Progress bars for commands that work through a list. Not here: the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TimeElapsedColumn

from fly_billing.cli.terminal import Terminal, bars

Item = TypeVar("Item")


def progress_bars(console: Terminal) -> Progress:
    columns = (SpinnerColumn(), "{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return bars(console, *columns)


def each(
    progress: Progress,
    title: str,
    items: Sequence[Item],
    action: Callable[[Item], object],
    name: Callable[[Item], str] = str,
) -> None:
    """Call the action for each item, under a bar that names the current one."""
    task = progress.add_task(title, total=len(items))
    for item in items:
        progress.update(task, description=f"{title} {name(item)}".rstrip())
        action(item)
        progress.advance(task)
    progress.update(task, description=title if items else f"{title}: nothing to do")
