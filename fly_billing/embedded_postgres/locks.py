"""File locks that the kernel releases when their process ends, even if it is killed.

A process that has the exclusive lock may delete the lock file. `lifecycle` gives the locks their meaning.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fly_billing.embedded_postgres.errors import EmbeddedPostgresError


class Lock:
    """A lock that this process has. Its descriptor is close-on-exec, so programs that we start do not inherit it."""

    def __init__(self, path: Path, *, shared: bool = False, wait: bool = True) -> None:
        """Take the lock. Without `wait`, raises BlockingIOError at once if another process has it."""
        import fcntl  # not at the top: Windows does not have it, but must be able to show our error message

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
            os.close(descriptor)  # the file was deleted while we waited, so a lock on it would be without effect

    @staticmethod
    def _flock(descriptor: int, mode: int) -> None:
        import fcntl

        fcntl.flock(descriptor, mode)

    def became_exclusive(self) -> bool:
        """Turn a shared lock into an exclusive one. If others share it, return False and lose the lock."""
        import fcntl

        with suppress(BlockingIOError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def release(self) -> None:
        """Release the lock. Closing the descriptor is not enough if a forked child has a copy of it."""
        import fcntl

        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)


@contextmanager
def exclusive(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Have an exclusive lock on `path` during the block."""
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
        return _open(path)  # another process just removed the folder
    except PermissionError as error:
        raise belongs_to_another(path) from error


def belongs_to_another(path: Path) -> EmbeddedPostgresError:
    """Return the error for the usual case: the project was run as root once, and as another user now."""
    return EmbeddedPostgresError(
        f"This user (id {os.geteuid()}) has no access to {path}: another user, perhaps root, created it. "
        "Run the project as that user, or let that user remove the data (make clean)."
    )


def _is_still_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def make_folder(path: Path, mode: int = 0o711) -> None:
    """Create the folder if it is missing. The server's account can pass through it, regardless of the umask.

    The mode of an existing folder does not change.
    """
    try:
        if path.is_dir():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(exist_ok=True)
        path.chmod(mode)
    except OSError as error:
        raise EmbeddedPostgresError(f"The folder {path} can't be created: {error.strerror}.") from error
