"""Reads statements of organizations with one month, a year and ten years of invoices: `make bench-statement`.

CPU is that of this process and of Postgres, user and system, for one statement of the last month; then for the customer
page that shows it, compressed, without the estimate of an open month (`bench_estimate`). The organizations are
those of `sample_of_size`; every invoice is in Stripe, and names its customer.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import mean

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from fly_billing.postgres.database import BillingDatabase
from fly_billing.statements.live_page import LivePages
from fly_billing.statements.rules.daily_costs import SPLITS
from fly_billing.statements.statement_reader import read_statement
from tests.bench.history import GROWN, YEARS
from tests.bench.month_platform import OURS, Platform, run_stage
from tests.bench.process_cpu import server_seconds
from tests.bench.sample_of_size import MONTH, NOW, make_sample
from tests.bench.server import bench_server
from tests.support.unguarded import unguarded

# Months with invoices, for a third of the organizations each.
HISTORIES = (1, 12, 12 * YEARS)
IN_STRIPE = (
    """
    insert into stripe_invoices (
        invoice_id, state, stripe_invoice_id, hosted_invoice_url, updated_at, finalized_at, stripe_due_cents,
        stripe_balance_cents, stripe_number, stripe_due_on
    )
    select
        id, 'finalized', 'in_' || id, 'https://invoice.example/' || id, finalized_at, finalized_at, total_cents, 0,
        'F-' || number, due_on
    from invoices
    """,
    """
    insert into invoice_details (invoice_id, name, email, city, country, tax_ids, collection, net_days)
    select id, organization_id, 'billing@' || organization_id || '.test', 'Berlin', 'DE', '{}', 'send_invoice', 14
    from invoices
    on conflict do nothing
    """,
)
FORGET_EARLIER = """
delete from invoices
where right(organization_id, 5)::int % :histories = :number and month <= :last - make_interval(months => :months)
"""
BATCHES = 6
# The organizations whose number ends in 7 may have 500 items; the others have 5 to 80.
MANY_ITEMS = "7"


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__)
    read.add_argument("--organizations", type=int, default=60)
    read.add_argument("--statements", type=int, default=600, help="number of statements to read of each history")
    read.add_argument("--cache", type=Path, default=Path(".data/bench"), help="folder of generated usage")
    given = read.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    make_sample(given.cache, given.organizations)
    table = Table(
        "months", "CPU, Python", "CPU, Postgres", "page: CPU, Python", "CPU, Postgres", "size", "compressed",
        title=f"A statement, of {given.organizations:,} organizations",
    )  # fmt: skip
    console = Console()
    with bench_server() as server, tempfile.TemporaryDirectory() as work, console.status("history") as status:
        platform = Platform(server, Path(work), given.cache, given.organizations)
        platform.grow_old(12 * YEARS - 1)
        order = platform.next_order()
        for stage in OURS:
            run_stage(stage, order)
        database = BillingDatabase(server.url("billing"))
        age(database)
        for number, months in enumerate(HISTORIES):
            status.update(f"{months} months")
            names = [
                f"org-{n:05d}"
                for n in range(number, given.organizations, len(HISTORIES))
                if not str(n).endswith(MANY_ITEMS)
            ]
            pages = Pages(database)
            costs = [
                f"{1000 * seconds:.1f} ms"
                for read_one in (partial(read_complete, database), pages.read)
                for seconds in cost(server.pid, read_one, names, given.statements)
            ]
            table.add_row(f"{months}", *costs, *(f"{size / 1000:.1f} kB" for size in pages.mean_sizes()))
    console.print(table)


def age(database: BillingDatabase) -> None:
    """Put every invoice into Stripe, and leave each third of the organizations its months of history."""
    with unguarded(database) as connection:
        connection.execute(text("set local session_replication_role = replica"))
        for statement in IN_STRIPE:
            connection.execute(text(statement))
        for number, months in enumerate(HISTORIES):
            its = {"histories": len(HISTORIES), "number": number, "months": months, "last": MONTH.first_day}
            connection.execute(text(FORGET_EARLIER), its)
    with database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for table in (*GROWN, "stripe_invoices"):
            connection.execute(text(f"vacuum analyze {table}"))


def read_complete(database: BillingDatabase, name: str) -> None:
    found = read_statement(database, name, NOW, MONTH)
    assert not found.problems and found.shown()


class Pages:
    """Reads customer pages by product, app and region in turn, and notes their sizes."""

    def __init__(self, database: BillingDatabase) -> None:
        self._pages = LivePages(database)
        self._sizes: list[tuple[int, int]] = []

    def read(self, name: str) -> None:
        html = self._pages.read(name, NOW, MONTH, SPLITS[len(self._sizes) % len(SPLITS)]).encode()
        self._sizes.append((len(html), len(gzip.compress(html, 6, mtime=0))))

    def mean_sizes(self) -> list[float]:
        """Return the mean size of the pages in bytes, as they are and compressed."""
        return [mean(sizes) for sizes in zip(*self._sizes, strict=True)]


def cost(
    postmaster: int, read_one: Callable[[str], None], names: Sequence[str], statements: int
) -> tuple[float, float]:
    """Return the CPU seconds of a statement: of this process and of Postgres. The first ones make plans.

    Those of the cheaper half of the batches: in the others, Postgres also tidied up after the history was written, or
    the machine was busy.
    """
    for name in names[:50]:
        read_one(name)
    each = max(1, statements // BATCHES)
    measured = sorted((batch(postmaster, read_one, names, each) for _ in range(BATCHES)), key=sum)
    cheaper = measured[: (BATCHES + 1) // 2]
    python, postgres = (mean(seconds) / each for seconds in zip(*cheaper, strict=True))
    return python, postgres


def batch(
    postmaster: int, read_one: Callable[[str], None], names: Sequence[str], statements: int
) -> tuple[float, float]:
    python, postgres = time.process_time(), server_seconds(postmaster)
    for n in range(statements):
        read_one(names[n % len(names)])
    return time.process_time() - python, server_seconds(postmaster) - postgres


if __name__ == "__main__":
    main()
