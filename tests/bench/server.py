"""The Postgres server of a bench: a throw-away one with the memory that a server of its size would be given.

A test's server has 128 MB, which the indexes of two years do not fit into: every key then brings a page in and drives
another one out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fly_billing.embedded_postgres import PostgresServer, throwaway
from fly_billing.embedded_postgres.server import connect

SETTINGS = {"shared_buffers": "2GB", "max_wal_size": "2GB"}


@contextmanager
def bench_server() -> Iterator[PostgresServer]:
    with throwaway(("billing", "dagster"), SETTINGS) as server:
        with connect(server.port, server.superuser_password) as connection:
            # For copies of rows that were checked when they were made (`history`).
            connection.execute("grant set on parameter session_replication_role to fly_billing_owner")
        yield server
