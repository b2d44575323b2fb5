"""Local copies of objects that never change, such as the Parquet files of the usage table. They are fetched once.

The copies together stay below a limit: the ones that were not used for longest are removed first. A copy that was
used within a day is never removed, as a query may be reading it.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from fly_billing.object_store.address import StoreFolder
from fly_billing.object_store.objects import copy_to_disk
from fly_billing.output_files import make_folder

FETCHED_AT_ONCE = 8
KEPT_SECONDS = 24 * 3600
UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class LocalCopies:
    """The folder of the copies of all object stores.

    Attributes:
        limit: The most bytes that all copies of a store folder may take.
    """

    path: Path
    limit: int

    def folder_of(self, folder: StoreFolder) -> Path:
        """Return the local folder with the copies of this folder."""
        name = hashlib.sha256(f"{folder.access.endpoint} {folder}".encode()).hexdigest()[:16]
        return self.path / name

    def fetch(self, folder: StoreFolder, sizes: Mapping[str, int]) -> dict[str, str]:
        """Fetch the objects that have no copy of their size. Returns the reason for each that can't be fetched.

        Args:
            sizes: The bytes of each object, by its name below the folder.
        """
        local = self.folder_of(folder)
        missing = [name for name, size in sizes.items() if not _use(local / name, size)]
        if not missing:
            return {}
        for above in {(local / name).parent for name in missing}:
            make_folder(above)
        with ThreadPoolExecutor(min(FETCHED_AT_ONCE, len(missing))) as pool:
            results = pool.map(lambda name: _fetch(folder, name, local / name), missing)
            problems = {name: problem for name, problem in zip(missing, results, strict=True) if problem}
        self._remove_unused(local)
        return problems

    def forget(self, folder: StoreFolder, names: Iterable[str]) -> None:
        """Remove these copies, so that they are fetched again."""
        for name in names:
            (self.folder_of(folder) / name).unlink(missing_ok=True)

    def _remove_unused(self, local: Path) -> None:
        copies = sorted(_copies(local))
        left = sum(size for _, size, _ in copies)
        for used_at, size, path in copies:
            if left <= self.limit or time.time() - used_at < KEPT_SECONDS:
                return
            path.unlink(missing_ok=True)
            left -= size


def _use(path: Path, size: int) -> bool:
    """Return whether the copy exists, and note that it is in use."""
    try:
        if path.stat().st_size != size:
            return False
        os.utime(path)
    except OSError:
        return False
    return True


def _fetch(folder: StoreFolder, name: str, path: Path) -> str | None:
    unfinished = path.with_name(f"{uuid4().hex}{UNFINISHED}")
    try:
        copy_to_disk(folder, name, unfinished)
        unfinished.replace(path)
    except OSError as problem:
        return problem.strerror or str(problem)
    finally:
        unfinished.unlink(missing_ok=True)
    return None


def _copies(local: Path) -> Iterable[tuple[float, int, Path]]:
    """Yield (last use, bytes, path) of each copy, and of what a killed process left."""
    for pattern in ("*/*/*.parquet", f"*/*/*{UNFINISHED}"):
        for path in local.glob(pattern):
            try:
                found = path.stat()
            except FileNotFoundError:  # another process removed it
                continue
            yield found.st_mtime, found.st_size, path
