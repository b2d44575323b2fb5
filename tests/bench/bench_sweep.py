"""Measures the nightly sweep of Stripe by number of customers: calls, CPU, and minutes at Stripe's limits.

Run by `python -m tests.bench.bench_sweep`. Each customer has an invoice of this month. Of 1,000 of them, 20 are open,
50 have a credit note to the balance, 30 a refund and 2 a dispute. A quiet night finds all of it recorded. With
`--nothing-recorded`, a sweep before that finds nothing recorded, as after a month without events. Not here: what a
sweep records (`stripe_sync.money_sweep`).
"""

import argparse
import json
import resource
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import stripe
from rich.console import Console
from rich.table import Table
from sqlalchemy import column, insert, table, text

from fly_billing.embedded_postgres import throwaway
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate
from fly_billing.stripe_sandbox import SandboxServer, spawn
from fly_billing.stripe_sync.money_sweep import MoneySweep, sweep_money
from fly_billing.stripe_sync.rules.invoice_amounts import read_asked_amounts
from fly_billing.stripe_sync.rules.money_objects import KINDS, read_money_object
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
    parser.add_argument("--nothing-recorded", action="store_true", help="also measure a sweep that records everything")
    given = parser.parse_args()
    count: int = given.organizations
    shown = Table(
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
            if given.nothing_recorded:
                shown.add_row("nothing recorded", *measured(database, sandbox))
            else:
                record_all(database, store)
            shown.add_row("a quiet night", *measured(database, sandbox))
    Console().print(shown)


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


def record_all(database: BillingDatabase, store: Path) -> None:
    """Record the state of every object as a sweep does, in one transaction and without postings."""
    connection = sqlite3.connect(store)
    bodies = [json.loads(row[0]) for row in connection.execute("select body from objects order by seq")]
    connection.close()
    asked = [read_asked_amounts(body) for body in bodies if body["object"] == "invoice"]
    money = [read_money_object(body) for body in bodies if body["object"] in KINDS]
    payers = {body["id"]: body["customer"] for body in bodies if body["object"] == "payment_intent"}
    states = [
        (asdict(each), each.customer or payers[each.payment_intent or ""], {"object_id": each.id, "kind": each.kind})
        for each in money
    ]
    for each in states:
        each[0].pop("id")
    _insert(database, "stripe_invoice_amounts", [(asdict(each), each.customer, {}) for each in asked if each])
    _insert(database, "stripe_money", states)


def _insert(database: BillingDatabase, name: str, found: list[tuple[dict[str, Any], Any, dict[str, Any]]]) -> None:
    with database.transaction() as connection:
        found_rows = connection.execute(text("select stripe_customer_id, id from organizations"))
        organizations: dict[str, str] = {row[0]: row[1] for row in found_rows}
        rows = []
        for columns, customer, more in found:
            columns.pop("customer")
            rows.append(
                {
                    **columns, **more, "number": 1, "organization_id": organizations[customer], "read_at": utc_now(),
                    "source": "sweep",
                }
            )  # fmt: skip
        connection.execute(text(f"alter table {name} disable trigger user"))
        connection.execute(insert(table(name, *(column(each) for each in rows[0]))), rows)
        connection.execute(text(f"alter table {name} enable trigger user"))


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
