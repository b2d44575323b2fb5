"""A source's open file: events are appended and synced here, and the file is published into a day folder when it ends.

Until then it lies hidden in the landing folder, which landing skips; a published file never changes again. A process
locks the files that it writes to, so another one recovers only those whose process is gone. Not here: when a file ends.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path

from fly_billing.foreign_text import visible
from fly_billing.usage_intake.rules.file_names import HIDDEN, RANDOM_DIGITS, file_name

# Waits until what was written to a file or folder is on disk: os.fsync.
Sync = Callable[[int], None]

_ATTEMPTS = 10
_BLOCK = 2**16

log = logging.getLogger(__name__)


class OpenFile:
    """A hidden file, locked by this process.

    Attributes:
        path: Where it lies now.
        size: The bytes that are on disk.
        begun_at: Seconds of a monotonic clock.
        is_sound: False after a failed append: it must be published, and another one begun.
    """

    def __init__(self, path: Path, descriptor: int, size: int, begun_at: float, sync: Sync) -> None:
        self.path = path
        self.size = size
        self.begun_at = begun_at
        self.is_sound = True
        self._descriptor = descriptor
        self._sync = sync

    @classmethod
    def begin(cls, landing_dir: Path, source: str, now: datetime, begun_at: float, sync: Sync) -> OpenFile:
        """Make a file, whose name is on disk afterwards. Raises OSError."""
        for _ in range(_ATTEMPTS):
            path = landing_dir / f"{HIDDEN}{file_name(source, now, secrets.randbelow(10**RANDOM_DIGITS))}"
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o666)
            made = cls(path, descriptor, 0, begun_at, sync)
            try:
                if _lock(descriptor) and os.fstat(descriptor).st_nlink:
                    _sync_folder(landing_dir, sync)
                    return made
            except OSError:
                made.abandon()
                raise
            os.close(descriptor)  # a starting process took it for one that nobody writes to
        raise OSError(errno.EAGAIN, "another process takes each new file", os.fspath(landing_dir))

    def append(self, lines: bytes) -> None:
        """Write these lines. They are on disk when this returns. Raises OSError; then none of them may count."""
        try:
            _write(self._descriptor, lines)
            self._sync(self._descriptor)
        except OSError:
            self.is_sound = False
            with suppress(OSError):  # if it stays longer, its sender posts these events again, and they are duplicates
                os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(lines)

    def publish(self, landing_dir: Path, day: date) -> None:
        """Move the file into this day's folder, without a line that was not finished. Removes an empty file.

        Raises OSError: nothing has changed. Try again.
        """
        if self._cut() == 0:
            self.abandon()
            return
        folder = landing_dir / day.isoformat()
        if not folder.is_dir():
            folder.mkdir()
            _sync_folder(landing_dir, self._sync)
        place = folder / self.path.name.removeprefix(HIDDEN)
        self.path.rename(place)
        self.path = place
        try:
            for changed in (folder, landing_dir):
                _sync_folder(changed, self._sync)
        except OSError as problem:  # the events are on disk, under the one name or the other
            log.warning("%s could not be synced: %s", visible(str(folder)), problem.strerror)
        os.close(self._descriptor)

    def abandon(self) -> None:
        """Remove the file: no event in it was acknowledged."""
        with suppress(OSError):
            self.path.unlink()
        os.close(self._descriptor)

    def _cut(self) -> int:
        """Cut what was not acknowledged: all of a failed append, or a line without its end. Returns the size left."""
        if not self.is_sound:
            os.ftruncate(self._descriptor, self.size)
            self._sync(self._descriptor)
        elif (end := self._end_of_last_line()) < self.size:
            os.ftruncate(self._descriptor, end)
            self.size = end
            self._sync(self._descriptor)
        return self.size

    def _end_of_last_line(self) -> int:
        end = self.size
        while end > 0:
            start = max(0, end - _BLOCK)
            found = os.pread(self._descriptor, end - start, start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
        return 0


def find_left_open(landing_dir: Path, begun_at: float, sync: Sync) -> Iterator[OpenFile]:
    """Yield and lock the files whose process is gone. Raises OSError."""
    for path in sorted(landing_dir.glob(f"{HIDDEN}*.jsonl")):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:  # another process has just published it
            continue
        if _lock(descriptor) and _is_at(path, descriptor):
            sync(descriptor)  # complete lines that were never acknowledged are published, too
            yield OpenFile(path, descriptor, os.fstat(descriptor).st_size, begun_at, sync)
        else:  # another process writes to it, or has just published it
            os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _sync_folder(folder: Path, sync: Sync) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)
