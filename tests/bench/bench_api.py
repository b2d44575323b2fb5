"""Asks `fly-billing api` at a steady rate while a billing run works on the same database: `make bench-api`.

A request's time counts from the moment at which it was due, so waiting in a queue counts, too. Client, API, Postgres
and the billing run share the machine, so the CPU of each per request is measured, too; of Postgres that of the API's
sessions.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import multiprocessing
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from rich.console import Console
from sqlalchemy import text

from fly_billing.embedded_postgres.roles import READER
from fly_billing.invoicing.bill_run import bill
from fly_billing.postgres.database import BillingDatabase
from tests.bench.month_platform import Platform, run_stage
from tests.bench.month_stages import TERMS
from tests.bench.process_cpu import cpu_seconds
from tests.bench.sample_of_size import MONTH, NOW, make_sample
from tests.bench.server import bench_server
from tests.support.api import Served, bearer, customer_token, serving_command

# Each route as often as it is listed.
ROUTES = ("statement",) * 4 + ("usage",) * 2 + ("balance",) * 2 + ("invoices", "upcoming-invoice")
# Organizations with a token, spread over all sizes of invoices.
READERS = 200
SENDERS = 64
Requests = Sequence[tuple[str, dict[str, str]]]


@dataclass
class Measured:
    """Seconds of each request, the number of requests by status, and CPU seconds of all by process."""

    seconds: list[float] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)

    def percentile(self, percent: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    def line(self, what: str) -> str:
        errors = sum(count for status, count in self.statuses.items() if status != 200)
        times = ", ".join(f"{name} {self.percentile(at) * 1000:.0f} ms" for name, at in PERCENTILES)
        cpu = ", ".join(f"{name} {seconds / len(self.seconds) * 1000:.1f}" for name, seconds in self.cpu.items())
        return (
            f"{what}: {len(self.seconds):,} requests, {times}; {errors} errors; CPU ms per request: {cpu};"
            f" load {os.getloadavg()[0]:.1f}"
        )


PERCENTILES = (("p50", 50), ("p90", 90), ("p99", 99), ("p99.9", 99.9), ("longest", 100))


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__)
    read.add_argument("--organizations", type=int, default=1000)
    read.add_argument("--rate", type=float, default=100)
    read.add_argument("--seconds", type=float, default=300)
    read.add_argument("--cache", type=Path, default=Path(".data/bench"), help="folder of generated usage")
    given = read.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    console = Console()
    with bench_server() as server, tempfile.TemporaryDirectory() as work:
        make_sample(given.cache, given.organizations)
        order = Platform(server, Path(work), given.cache, given.organizations).next_order()
        for stage in ("land", "rollup"):
            run_stage(stage, order)
        url = server.url("billing")
        run_bill(url, given.cache, given.organizations)
        requests = prepared(BillingDatabase(url), given.organizations)
        with serving_command(server, BillingDatabase(url), requests_per_second=1_000_000) as api:
            ask(api.port, requests, given.rate, min(10.0, given.seconds))
            alone = measure(api, BillingDatabase(url), requests, given.rate, given.seconds / 5)
            console.print(alone.line("alone"), soft_wrap=True)
            with Billing(url, given.cache, given.organizations) as billing:
                beside = measure(api, BillingDatabase(url), requests, given.rate, given.seconds)
            console.print(beside.line(f"beside {billing.runs} billing runs"), soft_wrap=True)


def prepared(database: BillingDatabase, organizations: int) -> Requests:
    """Return the path and headers of each kind of request, for organizations of all sizes."""
    now, step = datetime.now(UTC), max(1, organizations // READERS)
    found: list[tuple[str, dict[str, str]]] = []
    for number in range(0, organizations, step):
        name = f"org-{number:05d}"
        token = customer_token(database, name, now - timedelta(hours=1)).secret
        found += [(f"/v1/organizations/{name}/{route}", bearer(token)) for route in ROUTES]
    return found


def measure(api: Served, database: BillingDatabase, requests: Requests, rate: float, seconds: float) -> Measured:
    """Send requests, and measure the CPU of the API, of its sessions in Postgres, and of this process."""
    with database.engine.connect() as connection:
        sessions = connection.scalars(text("select pid from pg_stat_activity where usename = :r"), {"r": READER}).all()
    before = cpu_seconds([api.pid]), cpu_seconds(sessions), time.process_time()
    measured = ask(api.port, requests, rate, seconds)
    after = cpu_seconds([api.pid]), cpu_seconds(sessions), time.process_time()
    used = (late - early for early, late in zip(before, after, strict=True))
    measured.cpu = dict(zip(("API", "Postgres", "client"), used, strict=True))
    return measured


def ask(port: int, requests: Requests, rate: float, seconds: float) -> Measured:
    """Send requests at a steady rate, each when it is due, however long the others take."""
    measured, lock, numbers = Measured(), threading.Lock(), itertools.count()
    began, chance = time.perf_counter() + 0.5, random.Random(1)
    order = [chance.choice(requests) for _ in range(int(rate * seconds))]

    def send() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while (number := next(numbers)) < len(order):
            due = began + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            path, headers = order[number]
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            took = time.perf_counter() - due
            with lock:
                measured.seconds.append(took)
                measured.statuses[answer.status] += 1
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return measured


class Billing:
    """Bills the open month from scratch again and again, in a process of its own. `runs`: how often so far."""

    def __init__(self, url: str, cache: Path, organizations: int) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._is_over: Event = self._context.Event()
        self._count: Any = self._context.Value("i", 0)
        self._process = self._context.Process(
            target=keep_billing, args=(url, cache, organizations, self._is_over, self._count)
        )

    def __enter__(self) -> Billing:
        self._process.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._is_over.set()
        self._process.join()

    @property
    def runs(self) -> int:
        return int(self._count.value)


def keep_billing(url: str, cache: Path, organizations: int, is_over: Event, count: Any) -> None:
    while not is_over.is_set():
        run_bill(url, cache, organizations)
        count.value += 1


def run_bill(url: str, cache: Path, organizations: int) -> None:
    groups = make_sample(cache, organizations).groups()
    done = bill(BillingDatabase(url), MONTH, groups, TERMS, NOW, finalize=False, from_scratch=True)
    assert not done.failures


if __name__ == "__main__":
    main()
