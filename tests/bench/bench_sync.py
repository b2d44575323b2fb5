"""Times the sync of a whole month, as a ratio to the least time that Stripe's limits allow. Run by `make bench`.

N invoices at 25 calls a second to an endpoint take at least N / 25 s. The sandbox enforces the limits and responds
after 0.3 s. The sync runs in a process of its own, as in production.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn
from rich.table import Table

from fly_billing.embedded_postgres import throwaway
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate
from fly_billing.stripe_sandbox import SandboxServer, spawn
from tests.bench.calls_plot import data_of, plot_calls
from tests.pictures.facts import write_data
from tests.support.stripe_builders import add_organization, charge, close_month

LIMIT = 25
ACCOUNT_LIMIT = 100
LATENCY = 0.3
LINES = 8
SYNCED = """
import json, resource, sys, time
from tests.support.stripe_builders import *
from fly_billing.stripe_sync.invoice_sync import SyncRules
from fly_billing.stripe_sync.rate_limiter import RateLimiter
from fly_billing.settings import Settings
order = json.loads(sys.argv[1])
database = BillingDatabase(order["database"])
limiter = RateLimiter(database, order["account_limit"], order["limit"])
workers = order["workers"] or Settings.from_environment().stripe_workers
tools = sync_tools(database, order["stripe"], limiter=limiter, workers=workers)
started = time.monotonic()
report = sync_month(tools, JUNE, groups_of(database))
seconds = time.monotonic() - started
assert not report.failures and not report.not_tried, report
used = resource.getrusage(resource.RUSAGE_SELF)
started = time.monotonic()
found = reconcile(tools)
swept = time.monotonic() - started
assert not found.discrepancies, found.discrepancies[:3]
print(json.dumps({"seconds": seconds, "cpu": used.ru_utime + used.ru_stime, "sweep_seconds": swept}))
"""


def fill(database: BillingDatabase, folder: Path, sandbox: SandboxServer, invoices: int) -> None:
    """Finalize this number of invoices with eight lines each, for organizations that are customers in Stripe."""
    for number in range(invoices):
        customer = f"cus_{number:06d}"
        sandbox.control.seed_customer(customer)
        add_organization(database, f"org-{number:06d}", customer=customer)
        charge(database, f"org-{number:06d}", *(["1.25"] * LINES))
    close_month(database, folder)


def sync_once(database_url: str, sandbox: SandboxServer, invoices: int, workers: int) -> dict[str, float]:
    order = {
        "database": database_url,
        "stripe": sandbox.url,
        "limit": LIMIT,
        "account_limit": ACCOUNT_LIMIT,
        "workers": workers,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", SYNCED, json.dumps(order)], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("Syncing", total=invoices)
        while process.poll() is None:
            time.sleep(1)
            progress.update(task, completed=sandbox.control.call_counts().get("invoices.finalize", 0))
    if process.returncode:
        raise RuntimeError(f"the syncing process ended with exit code {process.returncode}")
    assert process.stdout
    result: dict[str, float] = json.loads(process.stdout.read())
    return result


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__)
    read.add_argument("--invoices", type=int, default=2500)
    read.add_argument("--workers", type=int, default=0, help="invoices in parallel; 0: the default setting")
    read.add_argument("--write", type=Path, help="folder for sync_pace.json and .png: calls per second over the run")
    given = read.parse_args()
    with (
        throwaway(databases=("billing",)) as server,
        tempfile.TemporaryDirectory() as folder,
        spawn(Path(folder) / "stripe.sqlite") as sandbox,
    ):
        database = BillingDatabase(server.url("billing"))
        migrate(database)
        fill(database, Path(folder), sandbox, given.invoices)
        sandbox.control.clear_calls()
        sandbox.control.settings(endpoint_per_second=LIMIT, global_per_second=ACCOUNT_LIMIT, latency_seconds=LATENCY)
        result = sync_once(server.url("billing"), sandbox, given.invoices, given.workers)
        calls = sandbox.control.calls(limit=10 * given.invoices)
        if given.write:
            write_data(given.write / "sync_pace.json", data_of(calls, LIMIT))
            plot_calls(data_of(calls, LIMIT), given.write / "sync_pace.png")
    _print_result(given.invoices, result, calls)


def _print_result(invoices: int, result: dict[str, float], calls: list[dict[str, Any]]) -> None:
    changes = sum(call["method"] == "POST" for call in calls)
    refused = sum(call["status"] == 429 for call in calls)
    floor = invoices / LIMIT
    table = Table("", "", title=f"Syncing {invoices} invoices, {LIMIT} calls/s per endpoint, answers after {LATENCY} s")
    table.add_row("floor N / 25", f"{floor:.1f} s")
    table.add_row("measured", f"{result['seconds']:.1f} s")
    table.add_row("ratio: floor / measured", f"{floor / result['seconds']:.3f}")
    table.add_row("calls that change something, per invoice", f"{changes / invoices:.3f}")
    table.add_row(
        "reads, looking first and sweeping, per 100 invoices", f"{100 * (len(calls) - changes) / invoices:.2f}"
    )
    table.add_row("429s", str(refused))
    table.add_row("CPU of the syncing process per invoice", f"{1000 * result['cpu'] / invoices:.1f} ms")
    table.add_row("the reconciliation sweep after it", f"{result['sweep_seconds']:.1f} s")
    Console().print(table)


if __name__ == "__main__":
    main()
