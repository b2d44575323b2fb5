"""Chooses the operating-system account of the server, and runs programs as that account.

An ordinary user's server runs as that user. PostgreSQL refuses to run as root, so root uses a system account.
`placement` tests which folders that account can use.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fly_billing.embedded_postgres.errors import EmbeddedPostgresError
from fly_billing.embedded_postgres.locks import exclusive

NAME = "fly_billing"
# The caller's environment is not passed on: PGDATA, PGPORT, PGUSER or a locale would change the programs' behavior.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC"}
# The command of Debian and Red Hat, and the one of some small images.
MAKE_ACCOUNT = (
    ("useradd", "--system", "--user-group", "--no-create-home", "--shell", "/bin/false", NAME),
    ("adduser", "--system", "--group", "--no-create-home", "--shell", "/bin/false", NAME),
)


@dataclass(frozen=True)
class Outcome:
    """The result of a program: its exit code (0 is success) and its output."""

    code: int
    output: str


@dataclass(frozen=True)
class SystemUser:
    """A user id and group id."""

    uid: int
    gid: int

    @property
    def is_us(self) -> bool:
        return self.uid == os.geteuid()

    def run(self, *command: str | Path) -> Outcome:
        """Run a program as this account. A Ctrl-C in the terminal does not reach it."""
        # a file, not a pipe: a server that the program starts would keep the pipe open, and reading it would never end
        with tempfile.TemporaryFile() as output:
            try:
                code = _wait(self._start(command, output))
            except OSError as error:
                return Outcome(126, f"{command[0]} as user id {self.uid}: {error.strerror}")
            output.seek(0)
            return Outcome(code, output.read().decode(errors="replace").strip())

    def _start(self, command: Sequence[str | Path], output: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",  # the account may not be able to read our current folder
            env=ENVIRONMENT,
            umask=0o077,
            start_new_session=True,
            user=None if self.is_us else self.uid,
            group=None if self.is_us else self.gid,
            extra_groups=None if self.is_us else [],
        )

    def give(self, path: Path) -> None:
        """Make the account the owner of a file or folder."""
        if not self.is_us:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def _wait(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait()
    except BaseException:  # a Ctrl-C reaches only us: kill the program and its children, or they go on writing
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def account_for(data_dir: Path) -> SystemUser:
    """Choose the account: this user, or for root the owner of existing data, or else a system account."""
    if os.geteuid() != 0:
        return SystemUser(os.geteuid(), os.getegid())
    if data_dir.is_dir() and data_dir.stat().st_uid != 0:
        return SystemUser(data_dir.stat().st_uid, data_dir.stat().st_gid)
    return _system_account()


def _system_account() -> SystemUser:
    account = _named(NAME)
    if account:
        return account
    # one process at a time on this machine: a second one must not fall back to nobody while the first adds the user
    with exclusive(Path("/etc")):
        return _named(NAME) or _made() or _named("nobody") or _none()


def _named(name: str) -> SystemUser | None:
    import pwd  # not at the top: Windows has none

    with suppress(KeyError):
        entry = pwd.getpwnam(name)
        return SystemUser(entry.pw_uid, entry.pw_gid)
    return None


def _made() -> SystemUser | None:
    for program, *arguments in MAKE_ACCOUNT:
        path = shutil.which(program, path=ENVIRONMENT["PATH"])
        if path and SystemUser(0, 0).run(path, *arguments).code == 0:
            return _named(NAME)
    return None


def _none() -> SystemUser:
    raise EmbeddedPostgresError(
        f"PostgreSQL does not run as root, and this machine has no user {NAME} (adding it failed) and no user nobody."
    )
