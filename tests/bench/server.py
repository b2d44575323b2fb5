"""The Postgres server of a bench: a throw-away one with the memory that a server of its size would be given.

A test's server has 128 MB, which the indexes of two years do not fit into: every key then brings a page in and drives
another one out.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from fly_billing.resources.embedded_postgres import PostgresServer, throwaway

SETTINGS = {"shared_buffers": "2GB", "max_wal_size": "2GB"}


def bench_server() -> AbstractContextManager[PostgresServer]:
    return throwaway(("billing", "dagster"), SETTINGS)
