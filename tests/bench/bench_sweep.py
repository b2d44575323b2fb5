"""Measures the nightly sweep of Stripe by number of customers: calls, CPU, and minutes at Stripe's limits.

Run by `python -m tests.bench.bench_sweep`. Each customer has an invoice of this month. Of 1,000 of them, 20 are open,
50 have a credit note to the balance, 30 a refund and 2 a dispute. The first sweep finds nothing recorded, as after a
month without events. The second one is that of a quiet night. Not here: what a sweep records
(`stripe_sync.money_sweep`).
"""

import argparse
import json
import resource
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import stripe
from rich.console import Console
from rich.table import Table

from fly_billing.embedded_postgres import throwaway
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate
from fly_billing.stripe_sandbox import SandboxServer, spawn
from fly_billing.stripe_sync.money_sweep import MoneySweep, sweep_money
from tests.support.stripe_builders import API_KEY, execute, sync_tools, utc_now

# Of a thousand customers: what happened to their invoice. All others paid it.
SHARES = {"open": 20, "credit note": 50, "refund": 30, "dispute": 2}
PAID = "paid"
# The time of a response of Stripe, and its limit of calls a second to one endpoint.
LATENCY = 0.3
LIMIT = 25
Row = tuple[str, str, int | None, str]


def main() -> None:
    """Measure two sweeps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--organizations", type=int, default=30_000)
    count: int = parser.parse_args().organizations
    table = Table(
        "sweep", "objects read", "states recorded", "calls", "CPU s", "s here", "min at Stripe",
        title=f"A sweep of {count:,} customers",
    )  # fmt: skip
    with throwaway(databases=("billing",)) as server, tempfile.TemporaryDirectory() as folder:
        database = BillingDatabase(server.url("billing"))
        migrate(database)
        store = Path(folder) / "stripe.sqlite"
        with spawn(store) as sandbox:
            templates = {kind: list(made(sandbox, store, kind)) for kind in (PAID, *SHARES)}
        customers = copy(store, templates, count)
        add_organizations(database, customers)
        with spawn(store) as sandbox:
            for name in ("nothing recorded", "a quiet night"):
                table.add_row(name, *measured(database, sandbox))
    Console().print(table)


def made(sandbox: SandboxServer, store: Path, kind: str) -> Iterator[Row]:
    """Make a customer with an invoice of this kind, and yield the rows of its objects."""
    before = last_row(store)
    client = stripe.StripeClient(API_KEY, base_addresses={"api": sandbox.url})
    customer = client.v1.customers.create({"name": kind}).id
    sandbox.control.act("give-card", customer)
    invoice = client.v1.invoices.create({"customer": customer, "currency": "usd"}).id
    client.v1.invoices.add_lines(invoice, {"lines": [{"amount": 1200, "description": "Machines"}]})
    client.v1.invoices.finalize_invoice(invoice)
    actions: Mapping[str, list[tuple[str, dict[str, Any]]]] = {
        "open": [],
        PAID: [("pay", {})],
        "credit note": [("pay", {}), ("credit-note", {"amount": 300, "to": "credit"})],
        "refund": [("pay", {}), ("refund", {"amount": 200})],
        "dispute": [("pay", {}), ("dispute", {})],
    }
    for action, given in actions[kind]:
        sandbox.control.act(action, invoice, **given)
    connection = sqlite3.connect(store)
    yield from connection.execute(
        "select id, object, position, body from objects where seq > ? order by seq", (before,)
    )
    connection.close()


def last_row(store: Path) -> int:
    connection = sqlite3.connect(store)
    (last,) = connection.execute("select coalesce(max(seq), 0) from objects").fetchone()
    connection.close()
    return int(last)


def copy(store: Path, templates: Mapping[str, list[Row]], count: int) -> list[str]:
    """Write the objects of so many customers in place of the templates; return the customers' ids."""
    per_thousand = [kind for kind, share in SHARES.items() for _ in range(share)]
    per_thousand += [PAID] * (1000 - len(per_thousand))
    customers: list[str] = []
    connection = sqlite3.connect(store)
    with connection:
        connection.execute("delete from objects")
        connection.execute("delete from events")
        for number in range(count):
            rows = list(numbered(templates[per_thousand[number % 1000]], number))
            customers += [id for id, kind, _, _ in rows if kind == "customer"]
            connection.executemany("insert into objects (id, object, position, body) values (?, ?, ?, ?)", rows)
    connection.close()
    return customers


def numbered(rows: list[Row], number: int) -> Iterator[Row]:
    """Yield copies of these objects, whose ids end in the number."""
    for id, kind, position, body in rows:
        for other, *_ in rows:
            body = body.replace(json.dumps(other)[:-1], f"{json.dumps(other)[:-1]}{number}")
        yield f"{id}{number}", kind, position, body


def add_organizations(database: BillingDatabase, customers: list[str]) -> None:
    execute(
        database,
        "insert into organizations (id, name, currency, billing_group, created_at, stripe_customer_id)"
        " select 'org-' || n, 'Org ' || n, 'USD', 'tail-00', '2023-01-01Z', customer"
        " from unnest(cast(:customers as text[])) with ordinality as c (customer, n)",
        customers=customers,
    )


def measured(database: BillingDatabase, sandbox: SandboxServer) -> list[str]:
    """Sweep once; return the cells of its row."""
    sandbox.control.clear_calls()
    tools = sync_tools(database, sandbox.url)
    done, seconds, cpu = timed(lambda: sweep_money(database, tools.reader(), utc_now()))
    if done.unread or done.refused:
        raise RuntimeError(f"the sweep is incomplete: {done.problems[:3]}")
    counts = sandbox.control.call_counts()
    calls = sum(counts.values())
    # It reads one page after the other: a response takes longer than the limit's pause between two calls.
    minutes = calls * max(LATENCY, 1 / LIMIT) / 60
    cells = [done.read.total(), done.missed.total(), calls]
    return [*(f"{cell:,}" for cell in cells), f"{cpu:.1f}", f"{seconds:.0f}", f"{minutes:.1f}"]


def timed(run: Callable[[], MoneySweep]) -> tuple[MoneySweep, float, float]:
    """Return the result, and the seconds and CPU seconds that it took this process."""
    usage, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    done = run()
    now = resource.getrusage(resource.RUSAGE_SELF)
    return done, time.monotonic() - began, now.ru_utime + now.ru_stime - usage.ru_utime - usage.ru_stime


if __name__ == "__main__":
    main()
