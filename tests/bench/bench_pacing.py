"""Measures the share of Stripe's limits that two processes use together, and their 429s. Run by `make bench`.

The baseline is the limit: 25 calls a second to an endpoint, enforced by the sandbox, with responses after 0.3 s.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fly_billing.embedded_postgres import throwaway
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate
from fly_billing.stripe_sandbox import SandboxServer, spawn

LIMIT = 25
CALLS = 150
RUNS = 3
# One machine: reads a customer and its invoices from Stripe, `calls` times each, six at once of each kind.
MACHINE = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from fly_billing.stripe_sync.rate_limiter import RateLimiter
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sync.client import make_stripe_client
from fly_billing.stripe_sync.reader import StripeReader
from fly_billing.stripe_sync.sender import StripeSender
order = json.loads(sys.argv[1])
limiter = RateLimiter(BillingDatabase(order["database"]), 100, 25)
reader = StripeReader(make_stripe_client("sk_test_fly", order["stripe"]), StripeSender(limiter))
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(6) as some, ThreadPoolExecutor(6) as others:
    done = [some.submit(reader.has_customer, "cus_1234") for _ in range(order["calls"])]
    done += [others.submit(reader.invoices_of, "cus_1234", "none") for _ in range(order["calls"])]
    for call in done:
        call.result()
"""


def run_two_machines(database_url: str, sandbox: SandboxServer) -> tuple[list[float], int]:
    """Return the calls per second that reached each of two endpoints, and the number of 429s."""
    sandbox.control.clear_calls()
    order = json.dumps({"database": database_url, "stripe": sandbox.url, "calls": CALLS})
    machines = [
        subprocess.Popen(
            [sys.executable, "-c", MACHINE, order],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        for _ in range(2)
    ]
    for machine in machines:
        assert machine.stdout
        machine.stdout.readline()
    for machine in machines:
        machine.communicate("go\n", timeout=120) if machine is machines[-1] else _go(machine)
    machines[0].wait(120)
    if any(machine.returncode for machine in machines):
        raise RuntimeError("a machine failed")
    return [_per_second(sandbox, name) for name in ("customers.retrieve", "invoices.list")], len(
        sandbox.control.calls(status=429)
    )


def _go(machine: subprocess.Popen[str]) -> None:
    assert machine.stdin
    machine.stdin.write("go\n")
    machine.stdin.flush()


def _per_second(sandbox: SandboxServer, endpoint: str) -> float:
    moments = sorted(
        datetime.fromisoformat(call["at"]).timestamp() for call in sandbox.control.calls(endpoint=endpoint)
    )
    return (len(moments) - 1) / (moments[-1] - moments[0])


def main() -> None:
    table = Table("run", "calls/s", "ratio to the limit", "429s", title=f"Two processes, limit {LIMIT}/s per endpoint")
    with (
        throwaway(databases=("billing",)) as server,
        tempfile.TemporaryDirectory() as folder,
        spawn(Path(folder) / "stripe.sqlite") as sandbox,
    ):
        migrate(BillingDatabase(server.url("billing")))
        sandbox.control.seed_customer("cus_1234")
        sandbox.control.settings(endpoint_per_second=LIMIT, global_per_second=100, latency_seconds=0.3)
        for run in range(1, RUNS + 1):
            speeds, refused = run_two_machines(server.url("billing"), sandbox)
            table.add_row(str(run), f"{min(speeds):.2f}", f"{min(speeds) / LIMIT:.3f}", str(refused))
    Console().print(table)


if __name__ == "__main__":
    main()
