"""File locks that the kernel releases when their holder dies, however it dies.

Keeps out what the locks mean: that is `lifecycle`. A lock file may be deleted by whoever holds it exclusively.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fly_billing.embedded_postgres.errors import EmbeddedPostgresError


class Lock:
    """One held lock. Its descriptor is close-on-exec, so no server or other program we start inherits it."""

    def __init__(self, path: Path, *, shared: bool = False, wait: bool = True) -> None:
        """Take it; raises BlockingIOError at once if it is held by another and `wait` is false."""
        import fcntl  # not at the top: Windows has none, and has to get as far as the message that says so

        self._path = path
        self._mode = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        self._descriptor = self._take()

    def _take(self) -> int:
        while True:
            descriptor = _open(self._path)
            try:
                self._flock(descriptor, self._mode)
                if _is_still_at(self._path, descriptor):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # deleted by its last holder while we waited: a lock on it would exclude nobody

    @staticmethod
    def _flock(descriptor: int, mode: int) -> None:
        import fcntl

        fcntl.flock(descriptor, mode)

    def became_exclusive(self) -> bool:
        """Turn a shared lock into the only one; false if others share it, and then it is no longer held at all."""
        import fcntl

        with suppress(BlockingIOError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def release(self) -> None:
        """Give it up, also for a forked child that got a copy of the descriptor: closing alone would not."""
        import fcntl

        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)


@contextmanager
def exclusive(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the only lock on `path` while the block runs."""
    lock = Lock(path, wait=wait)
    try:
        yield
    finally:
        lock.release()


def _open(path: Path) -> int:
    if path.is_dir():
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    make_folder(path.parent)
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        return _open(path)  # the folder was removed in between
    except PermissionError as error:
        raise belongs_to_another(path) from error


def belongs_to_another(path: Path) -> EmbeddedPostgresError:
    """Name the usual reason: the project was run as root once, and as somebody else now."""
    return EmbeddedPostgresError(
        f"{path} is not open to this user (id {os.geteuid()}): another one, perhaps root, has made it. "
        "Use the project as that user, or have that user remove the data (make clean)."
    )


def _is_still_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def make_folder(path: Path, mode: int = 0o711) -> None:
    """Make the folder if it is missing, passable for the server's account whatever the umask is.

    An existing folder is left as it is: it is not ours to open.
    """
    try:
        if path.is_dir():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(exist_ok=True)
        path.chmod(mode)
    except OSError as error:
        raise EmbeddedPostgresError(f"The folder {path} cannot be made: {error.strerror}.") from error
