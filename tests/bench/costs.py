"""What a stage costs: CPU of all processes, time, WAL, growth of tables and files, and memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from fly_billing.postgres.database import BillingDatabase
from tests.bench.process_cpu import own_seconds, server_seconds

Cost = dict[str, float]
WAL_AND_TABLES = """
select
    pg_current_wal_insert_lsn() - '0/0'::pg_lsn as wal,
    (select sum(pg_total_relation_size(oid)) from pg_class where relkind = 'r' and relpersistence = 'p') as tables
"""


@contextmanager
def measured(database: BillingDatabase, postmaster: int, folder: Path) -> Iterator[Cost]:
    """Fill the cost of the block when it ends.

    Its keys: `cpu` = `cpu_own` (this process, its threads and ended children) + `cpu_postgres` (the server with all its
    processes), and `seconds` of time; `wal_bytes`, `table_bytes` (growth, with indexes), `file_bytes` (growth of
    `folder`), `peak_bytes` (the most memory of this process). Without a postmaster, its CPU is 0.
    """
    cost: Cost = {}
    wal, tables = _wal_and_tables(database)
    files = _size_of(folder)
    own, postgres, started = own_seconds(), _server_seconds(postmaster), time.perf_counter()
    yield cost
    cost["seconds"] = time.perf_counter() - started
    cost["cpu_own"], cost["cpu_postgres"] = own_seconds() - own, _server_seconds(postmaster) - postgres
    cost["cpu"] = cost["cpu_own"] + cost["cpu_postgres"]
    wal_now, tables_now = _wal_and_tables(database)
    cost |= {"wal_bytes": wal_now - wal, "table_bytes": tables_now - tables, "file_bytes": _size_of(folder) - files}
    cost["peak_bytes"] = peak_bytes()


def peak_bytes() -> int:
    """Return this process's peak memory; unlike `ru_maxrss`, without that of its parent process."""
    (line,) = (
        line for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM")
    )
    return int(line.split()[1]) * 1024


def _server_seconds(postmaster: int) -> float:
    return server_seconds(postmaster) if postmaster else 0.0


def _wal_and_tables(database: BillingDatabase) -> tuple[int, int]:
    with database.transaction() as connection:
        found = connection.execute(text(WAL_AND_TABLES)).one()
    return int(found.wal), int(found.tables)


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
