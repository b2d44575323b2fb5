"""Recognizes the server process of a home, waits until it answers, stops it, and reads its log.

Callers must have the home's start lock. `cluster` starts servers.
"""

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psycopg

from fly_billing.embedded_postgres.errors import EmbeddedPostgresError
from fly_billing.embedded_postgres.placement import Home
from fly_billing.embedded_postgres.server import PostgresServer, connect

ANSWER_SECONDS = 60
LOG_LINES = 15


def stop(home: Home) -> None:
    """Stop the server if it runs. Open transactions are rolled back, and all committed data is on disk."""
    pid = live_pid(home)
    if pid is None:
        return
    # PostgreSQL's fast shutdown, then the immediate one if that hangs
    for request, seconds in ((signal.SIGINT, 60), (signal.SIGQUIT, 10)):
        with suppress(ProcessLookupError):
            os.kill(pid, request)
        if _ended(pid, home, seconds):
            return
    raise failure(home, f"PostgreSQL (process {pid}) on {home.data_dir} does not stop.")


def answering(home: Home) -> PostgresServer | None:
    """Wait until the home's server answers, and return it. Returns None if no server runs, or if it stops before."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while pid := live_pid(home):
        try:
            if server := _verified(home, pid):
                return server
            problem = "another server answers on its port"
        except (psycopg.OperationalError, OSError, ValueError) as error:  # it has no port yet, or is still recovering
            problem = str(error)
        if time.monotonic() > deadline or "password authentication failed" in problem:
            raise failure(home, f"PostgreSQL (process {pid}) runs on {home.data_dir} but can't be used: {problem}")
        time.sleep(0.05)
    return None


def _verified(home: Home, pid: int) -> PostgresServer | None:
    """Connect to the postmaster's port, and check that this home's server answers."""
    port = int(_pid_file_lines(home)[3])
    password = home.password_file.read_text(encoding="utf-8")
    with connect(port, password) as connection:
        row = connection.execute("show data_directory").fetchone()
    if row is None or Path(row[0]) != home.data_dir:
        return None
    return PostgresServer(home.data_dir, port, pid, home.log_file, password)


def _pid_file_lines(home: Home) -> list[str]:
    lines = (home.data_dir / "postmaster.pid").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    if len(lines) < 4:
        raise ValueError("postmaster.pid is not complete yet")
    return lines


def _recorded_pid(home: Home) -> int | None:
    with suppress(FileNotFoundError, NotADirectoryError):
        match = re.match(
            r"\d+", (home.data_dir / "postmaster.pid").read_text(encoding="utf-8", errors="surrogateescape")
        )
        return int(match[0]) if match else None
    return None


def live_pid(home: Home) -> int | None:
    """Return the process id of the home's server if it is alive.

    A process with the recorded id is not enough: it may be a zombie (without a command line) or another program.
    """
    pid = _recorded_pid(home)
    return pid if pid and _serves(pid, home) else None


def _serves(pid: int, home: Home) -> bool:
    command = _command_line(pid)
    return "bin/postgres" in command and str(home.data_dir) in command


def _ended(pid: int, home: Home, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while _serves(pid, home) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not _serves(pid, home)


def _command_line(pid: int) -> str:
    if not Path("/proc/self/cmdline").exists():  # macOS
        shown = subprocess.run(["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)
        return os.fsdecode(shown.stdout)
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return ""


def forget_dead(home: Home) -> None:
    """Replace the process id of a dead server with one that is certainly free.

    A zombie or another program may have the dead server's id, and then PostgreSQL would refuse to start. The file can't
    be deleted instead: it keeps a new postmaster out while children of the crashed one still write.
    """
    pid = _recorded_pid(home)
    if pid is None:
        return
    finished = subprocess.Popen(["/bin/sh", "-c", ":"])
    finished.wait()
    with (home.data_dir / "postmaster.pid").open("r+", encoding="utf-8", errors="surrogateescape") as file:
        rest = file.read().partition("\n")[2]
        file.seek(0)
        file.write(f"{finished.pid}\n{rest}")
        file.truncate()


def log_since(home: Home, position: int) -> str:
    """Return the text of the log from a position (in bytes) on."""
    with suppress(FileNotFoundError), home.log_file.open("rb") as file:
        file.seek(position)
        return file.read().decode(errors="replace")
    return ""


def failure(home: Home, reason: str, position: int = 0) -> EmbeddedPostgresError:
    """Return an error with the log's last lines after a position (in bytes)."""
    last = "\n".join(log_since(home, position).splitlines()[-LOG_LINES:])
    return EmbeddedPostgresError(f"{reason.strip()}\nThe last lines of {home.log_file}:\n{last}")
