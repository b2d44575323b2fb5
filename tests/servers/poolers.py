"""Debian's pgbouncer on 127.0.0.1, under an account that is not root. Keeps out: the billing through it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fly_billing.embedded_postgres import PostgresServer
from fly_billing.embedded_postgres.account import account_for
from fly_billing.embedded_postgres.roles import ROLES
from fly_billing.postgres.connections import NEEDED

SETTINGS = """
[databases]
* = host=127.0.0.1 port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = {mode}
default_pool_size = {pool_size}
"""
START_SECONDS = 30


@contextmanager
def pgbouncer(server: PostgresServer, mode: str) -> Iterator[PostgresServer]:
    """Run a pooler in front of a server; yield the server with the pooler's address."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "pgbouncer is not installed: `make test-servers` installs it"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings, users, account = folder / "pgbouncer.ini", folder / "users", account_for(folder / "none")
        port = free_port()
        settings.write_text(
            SETTINGS.format(server_port=server.port, port=port, users=users, mode=mode, pool_size=NEEDED),
            encoding="utf-8",
        )
        users.write_text("".join(f'"{role}" "{server.password_for(role)}"\n' for role in ROLES), encoding="utf-8")
        for path in (folder, settings, users):
            account.give(path)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [program, "-q", settings],
                stdout=log, stderr=log, cwd="/",
                user=None if account.is_us else account.uid,
                group=None if account.is_us else account.gid,
                extra_groups=None if account.is_us else [],
            )  # fmt: skip
        try:
            wait_for(port, process, folder / "log")
            yield PostgresServer(
                server.data_dir, port, process.pid, folder / "log", superuser_password=server.superuser_password
            )
        finally:
            process.terminate()
            process.wait(timeout=30)


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server listens at the address."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.05)
