"""A machine dies while it makes a credit note, at any moment of its request: the customer is credited exactly once.

June 2023 of $12.00. $2.00 of it are credited: on the open invoice, back to the card, and to the customer's balance.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.credit_notes import send_unfinished
from fly_billing.stripe_sync.rules.credit_requests import TO_BALANCE, TO_CARD
from tests.scenarios.sync_in_a_child import IN_FLIGHT, MOMENTS
from tests.scenarios.test_sync_survives_being_killed import Children
from tests.support.credit_builders import ask_for_credit, notes, requests
from tests.support.stripe_builders import bill_june, eventually, invoice_in_stripe, query, sync, sync_tools
from tests.support.unguarded import damage

# The places where $2.00 go: (amount, lowered the open invoice, refunded, to the balance, outside).
CASES: dict[str, tuple[bool, str, tuple[int, ...]]] = {
    "open": (False, TO_BALANCE, (200, 200, 0, 0, 0)),
    "to the card": (True, TO_CARD, (200, 0, 200, 0, 0)),
    "to the balance": (True, TO_BALANCE, (200, 0, 0, 200, 0)),
}


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    children = Children()
    yield children
    children.close()


def asked(database: BillingDatabase, sandbox: SandboxServer, folder: Path, case: str) -> dict[str, Any]:
    """Ask for the credit note, and return the order for the process that sends it."""
    is_paid, to, _ = CASES[case]
    bill_june(database, folder, acme=["12.00"])
    tools = sync_tools(database, sandbox.url)
    sync(tools)
    invoice = invoice_in_stripe(sandbox, "acme")
    if is_paid:
        sandbox.control.act("give-card", invoice["customer"])
        sandbox.control.act("pay", invoice["id"])
    ask_for_credit(tools, "acme", "2.00", to)
    url = database.engine.url.render_as_string(hide_password=False)
    return {"database": url, "stripe": sandbox.url, "credits": True}


def kill_in_flight(children: Children, sandbox: SandboxServer, order: dict[str, Any]) -> None:
    """Kill the process once Stripe has made the credit note, before the response."""
    rule = sandbox.control.add_fault("hold", "credit_notes.create", nth=1, seconds=3600, after_apply=True)
    child = children.start(**order)
    eventually(sandbox.control.held)
    os.kill(child, signal.SIGKILL)
    sandbox.control.clear_faults(rule["id"])


def assert_credited_once(database: BillingDatabase, sandbox: SandboxServer, case: str) -> None:
    tools = sync_tools(database, sandbox.url)
    held = (
        "select 1 from pg_locks as l join pg_database as d on d.oid = l.database"
        " where l.locktype = 'advisory' and d.datname = current_database()"
    )
    eventually(lambda: not query(database, held))  # the server needs a moment to notice that the process is gone
    send_unfinished(tools)
    assert notes(sandbox) == [CASES[case][2]]
    assert [state for state, _ in requests(database)] == ["issued"]
    assert len(query(database, "select id from stripe_money where kind = 'credit_note'")) == 1
    assert send_unfinished(tools) == []


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_credit_note_killed_at_any_moment_is_finished_by_the_next_run(
    children: Children,
    billing_database: BillingDatabase,
    sandbox: SandboxServer,
    tmp_path: Path,
    moment: str,
    case: str,
) -> None:
    order = asked(billing_database, sandbox, tmp_path, case)
    if moment == IN_FLIGHT:
        kill_in_flight(children, sandbox, order)
    else:
        children.start(**order, moment=moment, n=1)
    assert children.exit_code() == -signal.SIGKILL
    assert len(notes(sandbox)) == (0 if moment in MOMENTS[:2] else 1)
    assert_credited_once(billing_database, sandbox, case)


@pytest.mark.parametrize("case", CASES)
def test_a_credit_note_killed_and_left_for_days_is_found_by_reading(
    children: Children, billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, case: str
) -> None:
    kill_in_flight(children, sandbox, asked(billing_database, sandbox, tmp_path, case))
    assert children.exit_code() == -signal.SIGKILL
    eventually(lambda: not sandbox.control.held())  # the held call has ended
    # Stripe's keys expire, and we know the age of ours.
    sandbox.control.advance_clock(3 * 24 * 3600)
    damage(billing_database, "update stripe_attempts set sent_at = sent_at - interval '3 days'")
    assert_credited_once(billing_database, sandbox, case)
