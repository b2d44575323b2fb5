"""A small campaign of fixed faults, in which a broken sync always bills twice: it shows that the audit can fail.

Twelve invoices of $1.00 to $12.00, each with its own fault. Keeps out: the broken parts (broken.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer, spawn
from tests.chaos.audit import Findings, audit
from tests.chaos.ending import drain
from tests.chaos.syncing import Order
from tests.chaos.worker_pool import WorkerPool
from tests.support.stripe_builders import API_KEY, JUNE, bill_june, in_stripe

# The fault of the first request of each of these organizations at an endpoint. The names are so long that Stripe gives
# the numbers of their invoices: it takes none of ours twice, so a broken sync would double nothing.
DROPPED = tuple(f"an-answer-that-was-lost-{n}" for n in range(1, 5))
POISONED = tuple(f"poisoned-by-a-stored-500-{n}" for n in range(1, 5))
# The last ones that the sync processes, as many as it has workers: their requests are in flight at the same time.
KILLED = tuple(f"sent-when-it-was-killed-{n}" for n in range(1, 5))
ORGANIZATIONS = (*DROPPED, *POISONED, *KILLED)
# Seconds by which the responses to these four are delayed: the process is killed as soon as Stripe has applied them.
KEPT_BACK = 3600.0
PATIENCE = 600.0
A_DAY_AND_AN_HOUR = 25 * 3600


def trial(workers: WorkerPool, database: BillingDatabase, folder: Path, broken: str | None) -> Findings:
    """Sync June 2023 to a new sandbox by one process, kill it, and a day later by another; return the audit's findings.

    Drafts of DROPPED are made and the answer is lost; finalizing POISONED is done and a 500 is stored; finalizing
    KILLED is done when the process is killed. `broken`: one of BROKEN; None: the sync as it is.
    """
    store = folder / "stripe.sqlite"
    bill_june(database, folder, **{name: [f"{n}.00"] for n, name in enumerate(ORGANIZATIONS, start=1)})
    with spawn(store) as sandbox:
        _strike_all(sandbox)
        workers.begin(_order(database, sandbox, broken))
        _wait_for_the_last(workers, sandbox)
        workers.end(killed=True)
        sandbox.control.advance_clock(A_DAY_AND_AN_HOUR)
        sandbox.kill()  # delayed requests would still be running under the old keys
    with spawn(store) as sandbox:
        drain(workers, replace(_order(database, sandbox, broken), clock_seconds=A_DAY_AND_AN_HOUR), database)
        return audit(database, store)


def _order(database: BillingDatabase, sandbox: SandboxServer, broken: str | None) -> Order:
    environment = {
        "DATABASE_URL": database.engine.url.render_as_string(hide_password=False),
        "STRIPE_API_KEY": API_KEY,
        "STRIPE_API_BASE": sandbox.url,
        "STRIPE_WORKERS": str(len(KILLED)),
    }
    return Order(environment, [str(JUNE)], broken=broken)


def _strike_all(sandbox: SandboxServer) -> None:
    for name in DROPPED:
        _strike(sandbox, name, "customers.create", {"effect": "apply_then_drop"})
        _strike(sandbox, name, "invoices.create", {"effect": "apply_then_drop"})
    for name in POISONED:
        _strike(sandbox, name, "invoices.finalize", {"effect": "applied_500"})
    for name in KILLED:
        _strike(sandbox, name, "invoices.finalize", {"effect": "slow", "seconds": KEPT_BACK, "after_apply": True})


def _strike(sandbox: SandboxServer, organization: str, endpoint: str, rule: Mapping[str, object]) -> None:
    sandbox.control.add_fault(endpoint=endpoint, metadata={"organization": organization}, first=1, **rule)  # type: ignore[arg-type]


def _wait_for_the_last(workers: WorkerPool, sandbox: SandboxServer) -> None:
    deadline = time.monotonic() + PATIENCE
    while not {name for name, status, _, _ in in_stripe(sandbox) if status == "open"}.issuperset(KILLED):
        workers.check()
        assert time.monotonic() < deadline, f"the sync did not finalize {KILLED}"
        time.sleep(0.02)
