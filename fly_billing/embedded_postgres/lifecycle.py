"""Who keeps a server up: every user holds a shared lock, and the last one out stops it.

Starting and stopping is done under a second, exclusive lock. A user that is killed loses its locks with its life, so
the next one out stops the server. Keeps out how a server is started and stopped: that is
`cluster` and `postmaster`.
"""

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from fly_billing.embedded_postgres import cluster, postmaster
from fly_billing.embedded_postgres.errors import EmbeddedPostgresError, ServerInUseError
from fly_billing.embedded_postgres.locks import Lock, exclusive
from fly_billing.embedded_postgres.placement import NOTE, Home, forget, homes, settle
from fly_billing.embedded_postgres.server import PostgresServer, prepare

NO_SETTINGS: Mapping[str, str] = MappingProxyType({})
# What a test may lose: everything, if the machine loses its power.
NOT_DURABLE = MappingProxyType(
    {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "256MB"}
)
THROWAWAY_PREFIX = "fly_billing-throwaway-"
# A database is 300 files: made in 0.02 s in memory, and in 0.1 to 0.3 s on a disk.
MEMORY = Path("/dev", "shm")
MEMORY_NEEDED_BYTES = 4 * 1024**3


@contextmanager
def running(
    root: Path, databases: Sequence[str] = (), settings: Mapping[str, str] = NO_SETTINGS
) -> Iterator[PostgresServer]:
    """Keep a server on `root` up while the block runs; the last user out stops it.

    Any number of processes and threads may do so at once, and share one server; the first one's settings count.
    The port can be another at each start, the data and the password stay. Databases that are missing are created.
    """
    place = settle(root)
    with _using(place.home):
        with exclusive(place.home.start_lock):
            server = cluster.ensure_running(place, settings)
            prepare(server, tuple(databases))
        yield server


@contextmanager
def throwaway(databases: Sequence[str] = (), settings: Mapping[str, str] = NO_SETTINGS) -> Iterator[PostgresServer]:
    """Run a server of its own for a test, in a temporary folder (in memory if there is plenty) deleted afterwards."""
    _sweep()
    root = Path(tempfile.mkdtemp(prefix=THROWAWAY_PREFIX, dir=_roomiest()))
    root.chmod(0o711)  # so that root's server account gets through
    try:
        with running(root, databases, {**NOT_DURABLE, **settings}) as server:
            yield server
    finally:
        remove(root)


def remove(root: Path) -> None:
    """Delete the data of `root`, wherever it is; raises ServerInUseError if somebody uses the server."""
    for home in homes(root):
        if home.path.is_dir():
            _remove(home)
    forget(root)


@contextmanager
def _using(home: Home) -> Iterator[None]:
    with exclusive(home.start_lock):
        membership = Lock(home.users_lock, shared=True)
    user = os.getpid()
    try:
        yield
    finally:
        if os.getpid() == user:  # a forked child that leaves the block has the lock only by inheritance
            _leave(home, membership)


def _leave(home: Home, membership: Lock) -> None:
    try:
        with exclusive(home.start_lock):
            if membership.became_exclusive():
                postmaster.stop(home)
    finally:
        membership.release()


def _remove(home: Home) -> None:
    with exclusive(home.start_lock):
        try:
            with exclusive(home.users_lock, wait=False):
                postmaster.stop(home)  # one that a killed user left behind
                home.delete()
        except BlockingIOError as error:
            raise ServerInUseError(f"The server on {home.data_dir} is in use; end its users first.") from error


def _roomiest() -> Path:
    with suppress(OSError):  # only Linux has it, and a container's is mostly too small
        found = os.statvfs(MEMORY)
        if found.f_bavail * found.f_frsize >= MEMORY_NEEDED_BYTES and os.access(MEMORY, os.W_OK | os.X_OK):
            return MEMORY
    return Path(tempfile.gettempdir())


def _sweep() -> None:
    """Remove what killed test runs left behind: nobody ever comes back to a throw-away server to stop it."""
    for parent in (MEMORY, Path(tempfile.gettempdir())):
        for folder in parent.glob(f"{THROWAWAY_PREFIX}*"):
            with suppress(OSError, ServerInUseError, EmbeddedPostgresError):
                if _is_ours(folder) and _was_used(folder):
                    remove(folder)


def _was_used(folder: Path) -> bool:
    """Tell a folder left behind from one that another process has only just made and not locked yet."""
    return Home(folder).users_lock.exists() or (folder / NOTE).exists()


def _is_ours(folder: Path) -> bool:
    found = folder.lstat()  # not stat: a link laid by another user could lead anywhere
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
