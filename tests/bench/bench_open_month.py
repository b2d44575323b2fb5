"""Bills an open month again, by what changed since the last run: `make bench-open-month`.

CPU is that of this process and of Postgres, user and system. Growth is that of the tables of invoices, with indexes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from fly_billing.invoicing.bill_run import bill
from fly_billing.postgres.database import BillingDatabase
from tests.bench.bench_month import Platform, run_stage
from tests.bench.month_stages import TERMS
from tests.bench.sample_of_size import MONTH, NOW, make_sample
from tests.bench.server import bench_server

ONE_OFF_ITEMS = """
insert into one_off_items (id, organization_id, description, amount, currency, occurred_at)
select gen_random_uuid(), id, 'Migration', 1, 'USD', :occurred_at
from (select id from organizations order by id limit :number) as o
"""
WAL = "select pg_current_wal_lsn() - '0/0'::pg_lsn"
SIZE = "select sum(pg_total_relation_size(oid)) from pg_class where relname like 'invoice%' and relkind = 'r'"


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__)
    read.add_argument("--organizations", type=int, default=1000)
    read.add_argument("--cache", type=Path, default=Path(".data/bench"), help="folder of generated usage")
    given = read.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    sample = make_sample(given.cache, given.organizations)
    table = Table("", "calculated", "CPU, Python", "CPU, Postgres", "WAL", "growth", title=f"{given.organizations:,}")
    console = Console()
    with bench_server() as server, tempfile.TemporaryDirectory() as work, console.status("landing") as status:
        order = Platform(server, Path(work), given.cache, given.organizations).next_order()
        for stage in ("land", "rollup"):
            run_stage(stage, order)
        database, groups = BillingDatabase(server.url("billing")), sample.groups()

        def again(what: str, *, from_scratch: bool = False) -> None:
            status.update(what)
            before = measured(server.pid, database)
            done = bill(database, MONTH, groups, TERMS, NOW, finalize=False, from_scratch=from_scratch)
            assert not done.failures
            python, postgres, wal, size = (
                now - then for now, then in zip(measured(server.pid, database), before, strict=True)
            )
            calculated = sum(not invoice.is_unchanged for invoice in done.invoices)
            table.add_row(
                what, f"{calculated:,}", f"{python:.2f} s", f"{postgres:.2f} s", f"{wal / 1e6:.1f} MB",
                f"{size / 1e6:.1f} MB",
            )  # fmt: skip

        again("first time")
        again("nothing changed")
        change(database, given.organizations // 100)
        again("1 % changed: a one-off item each")
        again("from scratch", from_scratch=True)
        again("from scratch again", from_scratch=True)
    console.print(table)


def measured(postmaster: int, database: BillingDatabase) -> tuple[float, float, float, float]:
    """Return the CPU seconds of this process and of Postgres, and the bytes of WAL and of the tables of invoices."""

    def number(statement: str) -> float:
        with database.transaction() as connection:
            return float(connection.execute(text(statement)).scalar_one())

    wal, size = number(WAL), number(SIZE)
    return time.process_time(), server_seconds(postmaster), wal, size


def server_seconds(postmaster: int) -> float:
    """Return the CPU seconds of a Postgres server and of all its processes, ended ones included."""
    ticks = sum(_times(postmaster)[1])
    for process in Path("/proc").glob("[0-9]*"):
        ticks += _own_ticks(int(process.name), postmaster)
    return ticks / os.sysconf("SC_CLK_TCK")


def _own_ticks(process: int, parent: int) -> int:
    try:
        found, times = _times(process)
    except OSError:  # it ended
        return 0
    return sum(times[:2]) if found == parent else 0


def _times(process: int) -> tuple[int, list[int]]:
    """Return a process's parent, and its ticks: user and system, its own and those of its ended children."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return int(fields[1]), [int(field) for field in fields[11:15]]


def change(database: BillingDatabase, number: int) -> None:
    """Give the first organizations a one-off item each."""
    with database.transaction() as connection:
        connection.execute(text(ONE_OFF_ITEMS), {"occurred_at": MONTH.start, "number": number})


if __name__ == "__main__":
    main()
