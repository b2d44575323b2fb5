"""CPU seconds of processes, from Linux' /proc. On a busy machine they vary less than times do."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(processes: Iterable[int]) -> float:
    """Return the CPU seconds that these processes have used so far, and their children that have ended."""
    return sum(sum(map(int, _fields(process)[11:15])) for process in processes) / _TICKS


def _fields(process: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on; the second one, the name, may have spaces."""
    return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
