"""Rolls up and bills an open month again, by what changed since the last run: `make bench-open-month`.

CPU is that of this process and of Postgres, user and system. Growth is that of the tables of invoices, with indexes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from fly_billing.invoicing.bill_run import bill
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.landing import land_days
from fly_billing.usage.rollups import roll_up
from tests.bench.month_platform import Platform, run_stage
from tests.bench.month_stages import TERMS
from tests.bench.process_cpu import server_seconds
from tests.bench.sample_of_size import FIRST_MONTH, MONTH, NOW, make_sample
from tests.bench.server import bench_server

WHILE_OPEN = MONTH.end - timedelta(hours=1)
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
    table = Table(
        "", "organizations", "CPU, Python", "CPU, Postgres", "WAL", "growth", title=f"{given.organizations:,}"
    )
    console = Console()
    with bench_server() as server, tempfile.TemporaryDirectory() as work, console.status("landing") as status:
        order = Platform(server, Path(work), given.cache, given.organizations).next_order()
        for stage in ("land", "rollup"):
            run_stage(stage, order)
        database, groups = BillingDatabase(server.url("billing")), sample.groups()

        def measure(what: str, step: Callable[[], int]) -> None:
            """Add a row of what the step took. It returns the number of organizations that it calculated."""
            status.update(what)
            before = measured(server.pid, database)
            calculated = step()
            python, postgres, wal, size = (
                now - then for now, then in zip(measured(server.pid, database), before, strict=True)
            )
            table.add_row(
                what, f"{calculated:,}", f"{python:.2f} s", f"{postgres:.2f} s", f"{wal / 1e6:.1f} MB",
                f"{size / 1e6:.1f} MB",
            )  # fmt: skip

        def invoices(*, from_scratch: bool = False) -> int:
            done = bill(database, MONTH, groups, TERMS, NOW, finalize=False, from_scratch=from_scratch)
            assert not done.failures
            return sum(not invoice.is_unchanged for invoice in done.invoices)

        def rollups(*, from_scratch: bool = False) -> int:
            done = roll_up(database, order.usage_table, MONTH, groups, WHILE_OPEN, from_scratch=from_scratch)
            assert not done.failures
            return done.organizations

        few = given.organizations // 100
        measure("roll up: first time under these rules", rollups)
        measure("roll up: nothing changed", rollups)
        add_usage(Path(work), few)
        land_days(database, order.usage_table, Path(work) / "late", [MONTH.end.date()], FIRST_MONTH, NOW)
        measure("roll up: 1 % changed: an event each", rollups)
        measure("roll up: from scratch", lambda: rollups(from_scratch=True))
        measure("bill: first time", invoices)
        measure("bill: nothing changed", invoices)
        change(database, few)
        measure("bill: 1 % changed: a one-off item each", invoices)
        measure("bill: from scratch", lambda: invoices(from_scratch=True))
        measure("bill: from scratch again", lambda: invoices(from_scratch=True))
    console.print(table)


def measured(postmaster: int, database: BillingDatabase) -> tuple[float, float, float, float]:
    """Return the CPU seconds of this process and of Postgres, and the bytes of WAL and of the tables of invoices."""

    def number(statement: str) -> float:
        with database.transaction() as connection:
            return float(connection.execute(text(statement)).scalar_one())

    wal, size = number(WAL), number(SIZE)
    return time.process_time(), server_seconds(postmaster), wal, size


def add_usage(work: Path, number: int) -> None:
    """Write a file with an event of each of the first organizations."""
    folder = work / "late" / MONTH.end.date().isoformat()
    folder.mkdir(parents=True)
    lines = [
        {
            "id": f"late-{place}", "source": "bench", "type": "machine_seconds", "subject": f"org-{place:05}",
            "time": WHILE_OPEN.isoformat(),
            "data": {"quantity": "60", "app": "web", "region": "ams", "preset": "shared-cpu-1x", "memory": "256MB"},
        }
        for place in range(number)
    ]  # fmt: skip
    (folder / "late.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def change(database: BillingDatabase, number: int) -> None:
    """Give the first organizations a one-off item each."""
    with database.transaction() as connection:
        connection.execute(text(ONE_OFF_ITEMS), {"occurred_at": MONTH.start, "number": number})


if __name__ == "__main__":
    main()
