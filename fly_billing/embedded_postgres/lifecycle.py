"""Keeps a server running while it has users: each user has a shared lock, and the last one to leave stops the server.

A second, exclusive lock is taken to start and stop it. A killed process loses its locks, so the next user to leave
stops the server. `cluster` starts servers, `postmaster` stops them.
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
# For tests: all data is lost if the machine loses power.
NOT_DURABLE = MappingProxyType(
    {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "256MB"}
)
THROWAWAY_PREFIX = "fly_billing-throwaway-"
# Creating a database (300 files) takes 0.02 s in memory, and 0.1 to 0.3 s on a disk.
MEMORY = Path("/dev", "shm")
MEMORY_NEEDED_BYTES = 4 * 1024**3


@contextmanager
def running(
    root: Path, databases: Sequence[str] = (), settings: Mapping[str, str] = NO_SETTINGS
) -> Iterator[PostgresServer]:
    """Keep the server on `root` running during the block. The last user to leave stops it.

    Any number of processes and threads share the server. Settings apply only for the user that starts it. Missing
    databases are created. Data and password are kept between starts; the port may change.
    """
    place = settle(root)
    with _using(place.home):
        with exclusive(place.home.start_lock):
            server = cluster.ensure_running(place, settings)
            prepare(server, tuple(databases))
        yield server


@contextmanager
def throwaway(databases: Sequence[str] = (), settings: Mapping[str, str] = NO_SETTINGS) -> Iterator[PostgresServer]:
    """Run a server for a test in a temporary folder (in memory if there is enough) and delete it afterwards."""
    _sweep()
    root = Path(tempfile.mkdtemp(prefix=THROWAWAY_PREFIX, dir=_roomiest()))
    root.chmod(0o711)  # so that the server's account can pass through root's folder
    try:
        with running(root, databases, {**NOT_DURABLE, **settings}) as server:
            yield server
    finally:
        remove(root)


def remove(root: Path) -> None:
    """Delete the data of `root`, here or elsewhere. Raises ServerInUseError if the server is in use."""
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
        if os.getpid() == user:  # a forked child that leaves the block only inherited the lock
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
                postmaster.stop(home)  # if a killed user left it running
                home.delete()
        except BlockingIOError as error:
            raise ServerInUseError(
                f"The server on {home.data_dir} is in use: stop the processes that use it first."
            ) from error


def _roomiest() -> Path:
    with suppress(OSError):  # only Linux has this folder, and in a container it is usually too small
        space = os.statvfs(MEMORY)
        if space.f_bavail * space.f_frsize >= MEMORY_NEEDED_BYTES and os.access(MEMORY, os.W_OK | os.X_OK):
            return MEMORY
    return Path(tempfile.gettempdir())


def _sweep() -> None:
    """Remove the throw-away servers of killed test runs, which nothing else would ever stop."""
    for parent in (MEMORY, Path(tempfile.gettempdir())):
        for folder in parent.glob(f"{THROWAWAY_PREFIX}*"):
            with suppress(OSError, ServerInUseError, EmbeddedPostgresError):
                if _is_ours(folder) and _was_used(folder):
                    remove(folder)


def _was_used(folder: Path) -> bool:
    """Return False for a folder that another process has just created and not locked yet."""
    return Home(folder).users_lock.exists() or (folder / NOTE).exists()


def _is_ours(folder: Path) -> bool:
    status = folder.lstat()  # not stat: another user's link could lead anywhere
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
