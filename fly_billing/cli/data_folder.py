"""The data folder of a local platform: makes it, closes it to other users, and removes what fly-billing put into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fly_billing.cli.terminal import Terminal
from fly_billing.embedded_postgres import OthersData, data_of_another_folder, remove
from fly_billing.embedded_postgres.locks import Lock
from fly_billing.errors import ActionableError
from fly_billing.output_files import make_folder, refuse_file_in_place_of_folder
from fly_billing.settings import Settings

PRIVATE = 0o700
# For a folder of root's with the Postgres account's data in it: that account may enter it, but not list it.
PASSABLE = 0o710
OTHERS = 0o077

POSTGRES = "postgres"
DAGSTER_HOME = "dagster"
SANDBOX_STORE = "stripe_sandbox.sqlite"
SANDBOX_ADDRESS = "stripe_sandbox.json"
SANDBOX_LOCK = "stripe_sandbox.lock"
SEED_NOTE = "seed.json"
# Everything that fly-billing creates in the data folder. `landing`, `usage_events` and `reports` are defaults of the
# settings.
OWN_FOLDERS = (POSTGRES, DAGSTER_HOME, "landing", "usage_events", "reports")
OWN_FILES = (f"{SANDBOX_STORE}*", SANDBOX_ADDRESS, SANDBOX_LOCK, SEED_NOTE, ".*.unfinished")


class DataInUse(ActionableError):
    """A process uses the data that was to be removed."""


def make_data_folder(folder: Path) -> None:
    """Make the data folder if it is missing, and close it to other users if it is ours.

    A shared folder such as /tmp stays open, because other users work there too.

    Raises:
        FolderNotMade: A file is in the place of the data folder or of a folder in it, or the folder can't be made.
    """
    make_folder(folder, PRIVATE)
    for name in OWN_FOLDERS:
        refuse_file_in_place_of_folder(folder / name)
    status = folder.stat()
    is_shared = status.st_mode & 0o1000
    if status.st_uid != os.geteuid() or is_shared or not status.st_mode & OTHERS:
        return
    server = folder / POSTGRES / "data"
    if server.is_dir() and server.stat().st_uid != status.st_uid:
        os.chown(folder, -1, server.stat().st_gid)
        folder.chmod(PASSABLE)
    else:
        folder.chmod(PRIVATE)


def clean(console: Terminal) -> None:
    """Remove the local data of the settings' data folder, and print what was left. Raises as `remove_data`."""
    folder = Settings.from_environment().data_dir
    if not folder.exists():
        console.print(f"Nothing to remove: {folder} does not exist.", soft_wrap=True)
        return
    removal = remove_data(folder)
    console.print(f"Removed fly-billing's data in {folder}.", soft_wrap=True)
    if removal.others_data:
        owner = removal.others_data.owner or "another folder"
        console.print(
            f"Not removed: the database in {removal.others_data.home.path}. It belongs to {owner}, of which this folder"
            " is a copy.",
            soft_wrap=True,
        )
    if removal.left:
        console.print(f"Not removed, because fly-billing did not create it: {', '.join(removal.left)}", soft_wrap=True)


@dataclass(frozen=True)
class Removal:
    """The rest of a data folder after its data was removed.

    Attributes:
        others_data: The database of another folder, of which this one is a copy.
        left: The names of files and folders that fly-billing did not create.
    """

    others_data: OthersData | None
    left: Sequence[str]


def remove_data(folder: Path) -> Removal:
    """Remove everything that fly-billing created in the data folder, and the folder if nothing else is in it.

    Raises:
        ServerInUseError: A process uses the embedded Postgres. Nothing was removed.
        DataInUse: A process runs the Stripe sandbox. Nothing was removed.
        FolderNotMade: The data folder is a file.
    """
    refuse_file_in_place_of_folder(folder)
    if not folder.is_dir():
        return Removal(None, [])
    others_data = data_of_another_folder(folder / POSTGRES)
    try:
        sandbox = Lock(folder / SANDBOX_LOCK, wait=False)
    except BlockingIOError:
        raise DataInUse(f"another process runs the Stripe sandbox of {folder}: end it first") from None
    try:
        remove(folder / POSTGRES)
        for pattern in (*OWN_FOLDERS, *OWN_FILES):
            for path in folder.glob(pattern):
                _delete(path)
    finally:
        sandbox.release()
    left = sorted(path.name for path in folder.iterdir())
    if not left:
        folder.rmdir()
    return Removal(others_data, left)


def _delete(path: Path) -> None:
    """Delete a file, or a folder with all that is in it; of a link, the link alone."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
