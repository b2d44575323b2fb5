"""A machine dies during a sync, at any moment of any request: each invoice is billed exactly once.

Three invoices of June 2023: 101 lines (two batches), a credit beside a charge, and nothing to pay.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fly_billing.embedded_postgres import PostgresServer, create_database, drop_database
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from tests.scenarios.sync_in_a_child import IN_FLIGHT, MOMENTS
from tests.support.stripe_builders import (
    bill_june,
    eventually,
    in_stripe,
    kinds,
    outcome,
    query,
    sent,
    sync,
    sync_tools,
)
from tests.support.unguarded import damage

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("sync_in_a_child.py")
BILLED = [("bolt", "open", 10100, 101), ("crux", "open", 2345, 2)]
# Requests for changes. For each of the two: customer, create, add_lines, finalize; and bolt's second batch.
REQUESTS = 9
_numbers = itertools.count()


class Children:
    """Processes that sync, one after the other, forked from one with all imports loaded."""

    def __init__(self) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            encoding="utf-8",
        )

    def start(self, **order: Any) -> int:
        """Start a sync; return its process id."""
        assert self._parent.stdin
        self._parent.stdin.write(json.dumps(order) + "\n")
        self._parent.stdin.flush()
        return self._reported("started")

    def exit_code(self) -> int:
        """Wait for the sync that was started to end."""
        return self._reported("ended")

    def _reported(self, word: str) -> int:
        assert self._parent.stdout
        event, number = self._parent.stdout.readline().split()
        assert event == word
        return int(number)

    def close(self) -> None:
        assert self._parent.stdin and self._parent.stdout
        self._parent.stdin.close()
        self._parent.wait(timeout=600)
        self._parent.stdout.close()


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    children = Children()
    yield children
    children.close()


@pytest.fixture(scope="module")
def finalized_june(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database in which June is finalized and not yet in Stripe; copied for each test."""
    name = f"finalized_june_{os.getpid()}"
    create_database(postgres, name, template="billing_template")
    database = BillingDatabase(postgres.url(name))
    amounts = {"bolt": ["1.00"] * 101, "crux": ["33.45", "-10.00"], "dusk": []}
    bill_june(database, tmp_path_factory.mktemp("june"), **amounts)
    database.engine.dispose()
    return name


@pytest.fixture
def june(postgres: PostgresServer, finalized_june: str) -> Iterator[BillingDatabase]:
    name = f"june_{os.getpid()}_{next(_numbers)}"
    create_database(postgres, name, template=finalized_june)
    database = BillingDatabase(postgres.url(name))
    yield database
    database.engine.dispose()
    drop_database(postgres, name)


def applied(sandbox: SandboxServer) -> list[dict[str, Any]]:
    """List the calls that changed an object."""
    return sandbox.control.calls(applied=True, method="POST")


def order(june: BillingDatabase, sandbox: SandboxServer, **more: Any) -> dict[str, Any]:
    url = june.engine.url.render_as_string(hide_password=False)
    return {"database": url, "stripe": sandbox.url, **more}


def kill_in_flight(children: Children, june: BillingDatabase, sandbox: SandboxServer, n: int) -> None:
    """Kill the sync once Stripe has applied its nth request, before the response."""
    rule = sandbox.control.add_fault("hold", "POST *", nth=n, seconds=3600, after_apply=True)
    child = children.start(**order(june, sandbox))
    eventually(sandbox.control.held)
    os.kill(child, signal.SIGKILL)
    sandbox.control.clear_faults(rule["id"])


def assert_billed_once(june: BillingDatabase, sandbox: SandboxServer) -> None:
    tools = sync_tools(june, sandbox.url)
    assert outcome(sync(tools))[1] == []
    assert in_stripe(sandbox) == BILLED
    assert kinds(tools) == []
    assert len(sandbox.control.objects("customer")) == 2
    states = query(june, "select state, count(*) as invoices from stripe_invoices group by state order by state")
    assert [(row["state"], row["invoices"]) for row in states] == [("finalized", 2), ("skipped_zero", 1)]
    assert outcome(sync(tools)) == ({}, [])


def test_a_sync_without_a_fault_makes_nine_requests(
    children: Children, june: BillingDatabase, sandbox: SandboxServer
) -> None:
    children.start(**order(june, sandbox))
    assert children.exit_code() == 0
    assert len(sent(sandbox)) == REQUESTS
    assert_billed_once(june, sandbox)
    assert len(applied(sandbox)) == REQUESTS


@pytest.mark.parametrize("n", range(1, REQUESTS + 1))
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_sync_killed_at_any_request_is_finished_by_the_next_one(
    children: Children, june: BillingDatabase, sandbox: SandboxServer, moment: str, n: int
) -> None:
    if moment == IN_FLIGHT:
        kill_in_flight(children, june, sandbox, n)
    else:
        children.start(**order(june, sandbox, moment=moment, n=n))
    assert children.exit_code() == -signal.SIGKILL
    done = len(applied(sandbox))
    assert done == (n - 1 if moment in MOMENTS[:2] else n)
    assert_billed_once(june, sandbox)
    # Requests applied before the kill were not applied again: nine in total.
    assert len(applied(sandbox)) == REQUESTS


@pytest.mark.parametrize("moment", [moment for moment in MOMENTS if moment != IN_FLIGHT])
def test_syncs_that_are_killed_repeatedly_finish_in_the_end(
    children: Children, june: BillingDatabase, sandbox: SandboxServer, moment: str
) -> None:
    codes = []
    for requests in itertools.count(1):  # each lives one request longer than the previous one
        children.start(**order(june, sandbox, moment=moment, n=requests))
        codes.append(children.exit_code())
        if codes[-1] != -signal.SIGKILL:
            break
    assert codes[-1] == 0
    assert len(codes) > 3
    assert_billed_once(june, sandbox)
    assert len(applied(sandbox)) == REQUESTS


@pytest.mark.parametrize("n", range(1, 6))
def test_a_sync_killed_and_left_for_days_is_finished_by_reading(
    children: Children, june: BillingDatabase, sandbox: SandboxServer, n: int
) -> None:
    kill_in_flight(children, june, sandbox, n)
    assert children.exit_code() == -signal.SIGKILL
    eventually(lambda: not sandbox.control.held())  # the held call has ended
    # Stripe's keys expire, and we know the age of ours.
    sandbox.control.advance_clock(3 * 24 * 3600)
    damage(june, "update stripe_attempts set sent_at = sent_at - interval '3 days'")
    assert_billed_once(june, sandbox)
