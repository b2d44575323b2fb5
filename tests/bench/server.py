"""The throw-away Postgres server of a bench, with as much memory as a real server of its size would have.

A test's server has 128 MB, too little for the indexes of two years: every key would then load a page and evict another
one.
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
            # `history` copies rows that were checked when they were written.
            connection.execute("grant set on parameter session_replication_role to fly_billing_owner")
        yield server
