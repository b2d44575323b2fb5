"""PostgreSQL servers of older major versions on 127.0.0.1, from npm packages (`tests/servers/install`)."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fly_billing.embedded_postgres import PostgresServer
from fly_billing.embedded_postgres.account import account_for
from fly_billing.embedded_postgres.roles import make_missing
from fly_billing.embedded_postgres.server import USER, connect
from tests.servers.poolers import free_port

PACKAGES = Path(sys.prefix) / "servers" / "node_modules"


@contextmanager
def older_server(major: int) -> Iterator[PostgresServer]:
    """Run a server with the project's roles and without their databases."""
    parent = Path(tempfile.mkdtemp())
    parent.chmod(0o755)
    try:
        programs = _copied(PACKAGES / f"postgres-{major}", parent / "programs")
        account, data_dir, words = account_for(parent / "none"), parent / "data", parent / "password"
        data_dir.mkdir(mode=0o700)
        words.write_text(secrets.token_urlsafe(24), encoding="utf-8")
        for path in (data_dir, words):
            account.give(path)
        made = account.run(
            programs / "initdb", f"--pgdata={data_dir}", f"--username={USER}", f"--pwfile={words}", "--no-sync",
            "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale",
        )  # fmt: skip
        assert made.code == 0, made.output
        port, log = free_port(), data_dir / "log"
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        started = account.run(programs / "pg_ctl", "start", "--wait", "-s", "-D", data_dir, "-l", log, "-o", options)
        assert started.code == 0, started.output + log.read_text(encoding="utf-8")
        try:
            with connect(port, words.read_text(encoding="utf-8")) as connection:
                make_missing(connection, words.read_text(encoding="utf-8"))
            yield PostgresServer(data_dir, port, 0, log, superuser_password=words.read_text(encoding="utf-8"))
        finally:
            account.run(programs / "pg_ctl", "stop", "-s", "-m", "immediate", "-D", data_dir)
    finally:
        shutil.rmtree(parent)


def _copied(package: Path, target: Path) -> Path:
    """Copy the programs to a folder where every account can run them; npm omits links, and lists them in a file."""
    assert package.is_dir(), f"{package} is missing: `make test-servers` installs it"
    shutil.copytree(package / "native", target / "native")
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text(encoding="utf-8")):
        path = target / link["target"]
        if not path.exists():
            path.symlink_to(os.path.relpath(target / link["source"], path.parent))
    for path in [target, *target.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755)
    return target / "native" / "bin"
