"""Times the lookup and indexing of a million keys, by the number of keys present: `make bench-keys`.

Keys are random 64-bit hashes, as DuckDB's `hash` makes them. CPU is that of this process, user and system.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np

from fly_billing.usage.key_index import SMALLEST, KeyIndex, KeyTable, make_entries

MILLION = 1_000_000


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=int, nargs="+", default=[1, 20, 100], help="sizes of history")
    parser.add_argument("--landings", type=int, default=10, help="landings of a million keys to average over")
    given = parser.parse_args()
    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory(prefix="fly_billing-keys-") as work:
        index = KeyIndex(Path(work), KeyTable.make(Path(work), SMALLEST), KeyTable.make(Path(work), SMALLEST))
        history = 0
        print_line(f"{'history, M':>10} {'CPU s / M keys':>16} {'disk, bytes / key':>18}")
        for size in sorted(given.millions):
            while history < size:
                land(index, random, history)
                history += 1
            spent = sum(land(index, random, history + landing) for landing in range(given.landings))
            history += given.landings
            disk = sum(table.path.stat().st_size for table in (index.main, index.recent))
            print_line(f"{size:>10} {spent / given.landings:>16.3f} {disk / history / MILLION:>18.1f}")


def print_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def land(index: KeyIndex, random: np.random.Generator, day: int) -> float:
    """Look up a million new keys, add them and flush them to disk; return the CPU seconds."""
    hashes = random.integers(1 << 16, 1 << 64, MILLION, np.uint64)
    start = cpu()
    assert len(index.find_and_add(make_entries(hashes, np.full(MILLION, 1 + day % 60_000))).days) < 5
    index.flush()
    return cpu() - start


if __name__ == "__main__":
    main()
