"""The throw-away Postgres server of a bench, with as much memory as a real server of its size would have.

A test's server has 128 MB, too little for the indexes of two years: every key would then load a page and evict another
one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from fly_billing.embedded_postgres import PostgresServer, remove, running, throwaway
from fly_billing.embedded_postgres.server import connect

SETTINGS = {"shared_buffers": "2GB", "max_wal_size": "2GB"}
# As in production: a commit is on the disk, and the first change of a page after a checkpoint writes the whole page.
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
DATABASES = ("billing", "dagster")


@contextmanager
def bench_server() -> Iterator[PostgresServer]:
    """Run a server that loses its data with the machine's power, in memory if there is enough."""
    with _prepared(throwaway(DATABASES, SETTINGS)) as server:
        yield server


@contextmanager
def durable_server() -> Iterator[PostgresServer]:
    """Run a server that keeps every commit, on the disk."""
    root = Path(tempfile.mkdtemp(prefix="fly_billing-bench-"))
    root.chmod(0o711)  # so that the server's account can pass through root's folder
    try:
        with _prepared(running(root, DATABASES, {**SETTINGS, **DURABLE})) as server:
            yield server
    finally:
        remove(root)


@contextmanager
def _prepared(starting: AbstractContextManager[PostgresServer]) -> Iterator[PostgresServer]:
    with starting as server:
        with connect(server.port, server.superuser_password) as connection:
            # `history` copies rows that were checked when they were written.
            connection.execute("grant set on parameter session_replication_role to fly_billing_owner")
        yield server


def checkpoint(server: PostgresServer) -> None:
    """Write everything to the disk now, so that the next stage does not do it for the one before."""
    with connect(server.port, server.superuser_password) as connection:
        connection.execute("checkpoint")
