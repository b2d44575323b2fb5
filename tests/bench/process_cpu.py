"""CPU seconds of processes, from Linux' /proc. On a busy machine they vary less than times do."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_ATTEMPTS = 20


def cpu_seconds(processes: Iterable[int]) -> float:
    """Return the CPU seconds that these processes have used so far, and their children that have ended."""
    return sum(sum(map(int, _fields(process)[11:15])) for process in processes) / _TICKS


def own_seconds() -> float:
    """Return the CPU seconds of this process, all its threads, and its children that have ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def server_seconds(postmaster: int) -> float:
    """Return the CPU seconds of a Postgres server and of all its processes, ended ones included.

    A backend that ends while we read would be missed or counted twice, so we read until none ended meanwhile.
    """
    for _ in range(_ATTEMPTS):
        before = _ticks(postmaster)
        of_children = sum(_ticks_of_child(int(process.name), postmaster) for process in Path("/proc").glob("[0-9]*"))
        if _ticks(postmaster)[1] == before[1]:
            break
    return (sum(before) + of_children) / _TICKS


def _ticks(process: int) -> tuple[int, int]:
    """Return the ticks of a process itself, and of its children that have ended."""
    used, system, of_ended, system_of_ended = map(int, _fields(process)[11:15])
    return used + system, of_ended + system_of_ended


def _ticks_of_child(process: int, parent: int) -> int:
    try:
        fields = _fields(process)
    except OSError:  # it ended
        return 0
    return sum(map(int, fields[11:15])) if int(fields[1]) == parent else 0


def _fields(process: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on; the second one, the name, may have spaces."""
    return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
