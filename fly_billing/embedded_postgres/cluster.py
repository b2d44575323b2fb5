"""Creates the data folder of a home and starts a server on it. Callers must have the home's start lock.

`lifecycle` decides when to do that; `postmaster` recognizes and stops a running server.
"""

import os
import secrets
import shlex
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from fly_billing.embedded_postgres import postmaster
from fly_billing.embedded_postgres.account import SystemUser
from fly_billing.embedded_postgres.errors import EmbeddedPostgresError
from fly_billing.embedded_postgres.placement import Home, ServerPlacement
from fly_billing.embedded_postgres.server import USER, PostgresServer

# Suited to a laptop. mmap: parallel queries would fill the usual 64 MB of /dev/shm in a container.
DEFAULTS = {
    "shared_buffers": "128MB",
    "max_connections": "100",
    "dynamic_shared_memory_type": "mmap",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
    "log_min_duration_statement": "-1",
}
# No socket file: its path can have at most 107 bytes, and a project folder's path may be longer.
FIXED = {"listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
# The same sort order on every machine. The second form is for systems without C.UTF-8 (older macOS).
LOCALES = (("--locale=C.UTF-8",), ("--no-locale", "--builtin-locale=C.UTF-8"))
START_SECONDS = 60


def ensure_running(place: ServerPlacement, settings: Mapping[str, str]) -> PostgresServer:
    """Return the server on the home, and start it if it does not run. `settings` apply only if it is started."""
    home = place.home
    if not home.data_dir.is_dir():
        _initialise(place, durable=settings.get("fsync") != "off")
    if not home.password_file.is_file():
        raise EmbeddedPostgresError(f"{home.password_file} is missing, so {home.data_dir} can't be used.")
    server = postmaster.answering(home)
    if server is None:
        _start(place, settings)
        server = postmaster.answering(home)
    if server is None:
        raise postmaster.failure(home, f"PostgreSQL started on {home.data_dir} and stopped again.")
    return server


def _initialise(place: ServerPlacement, *, durable: bool) -> None:
    home, account = place.home, place.account
    if home.data_dir.exists():
        raise EmbeddedPostgresError(f"{home.data_dir} is a file, but a folder is needed there: move the file away.")
    if not home.password_file.exists():
        _write_private(home.password_file, secrets.token_urlsafe(24), account)
    outputs = []
    for locale in LOCALES:
        # Created under another name, so that an interrupted initdb never looks complete. The name is new each time,
        # because the initdb of a killed process may still be writing to the old folder.
        unfinished = home.new_unfinished_data_dir()
        account.give(unfinished)
        outcome = account.run(*_initdb_command(place, unfinished, locale, durable=durable))
        if outcome.code == 0:
            unfinished.rename(home.data_dir)
            return
        outputs.append(outcome.output)
    raise EmbeddedPostgresError(f"initdb could not create {home.data_dir}:\n{outputs[0]}")


def _initdb_command(
    place: ServerPlacement, data_dir: Path, locale: tuple[str, ...], *, durable: bool
) -> list[str | Path]:
    return [
        place.binaries.program("initdb"),
        f"--pgdata={data_dir}",
        f"--username={USER}",
        f"--pwfile={place.home.password_file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--set=dynamic_shared_memory_type=mmap",  # a killed initdb would leave its memory in /dev/shm
        *locale,
        *(() if durable else ("--no-sync",)),
    ]


def _write_private(path: Path, text: str, account: SystemUser) -> None:
    """Write a file that only the account (and root) can read, completely or not at all."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    with open(
        unfinished, "w", opener=lambda name, flags: os.open(name, flags | os.O_EXCL, 0o600), encoding="utf-8"
    ) as file:
        file.write(text)
    account.give(unfinished)
    unfinished.replace(path)


def _start(place: ServerPlacement, settings: Mapping[str, str]) -> None:
    home = place.home
    postmaster.forget_dead(home)
    _own_log(place)
    port = _saved_port(home)
    deadline = time.monotonic() + START_SECONDS
    while True:
        # the same port if possible: after a crash, clients may still use it
        port = port if port and _is_free(port) else _any_free_port()
        logged = home.log_file.stat().st_size
        outcome = place.account.run(*_start_command(place, {**DEFAULTS, **settings, **FIXED, "port": str(port)}))
        if outcome.code == 0:
            return _write_private(home.port_file, str(port), place.account)
        if time.monotonic() > deadline or not _is_transient(postmaster.log_since(home, logged)):
            reason = f"PostgreSQL did not start on {home.data_dir}.\n{outcome.output}"
            raise postmaster.failure(home, reason, logged)
        time.sleep(0.1)


def _start_command(place: ServerPlacement, settings: Mapping[str, str]) -> list[str | Path]:
    # pg_ctl passes its options to a shell
    options = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())
    home = place.home
    pg_ctl = place.binaries.program("pg_ctl")
    wait = f"--timeout={START_SECONDS}"
    return [pg_ctl, "start", "--wait", wait, "-s", "-D", home.data_dir, "-l", home.log_file, "-o", options]


def _is_transient(log: str) -> bool:
    """Return True if another attempt may succeed: the port was just taken, or a crashed server's children still run."""
    return "could not create any TCP/IP sockets" in log or "pre-existing shared memory block" in log


def _own_log(place: ServerPlacement) -> None:
    # created here: in root's home, the account can write its own files but can't create any
    log = place.home.log_file
    log.touch(mode=0o600)
    log.chmod(0o600)
    place.account.give(log)


def _saved_port(home: Home) -> int | None:
    with suppress(OSError, ValueError):
        return int(home.port_file.read_text(encoding="utf-8"))
    return None


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # like PostgreSQL: ignore closed connections
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _any_free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])
