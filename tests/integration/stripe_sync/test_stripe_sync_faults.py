"""Faults of the network and of Stripe: the customer still gets one finalized invoice with the right total."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.client import UNKNOWN, ask, make_stripe_client
from fly_billing.stripe_sync.invoice_sync import SyncTools
from tests.support.alert_servers import black_hole
from tests.support.stripe_builders import (
    API_KEY,
    bill_june,
    entry,
    eventually,
    in_stripe,
    invoice_in_stripe,
    kinds,
    outcome,
    sync,
    sync_tools,
)

STEPS = ["customers.create", "invoices.create", "invoices.add_lines", "invoices.finalize"]
REFUSED = {"status": 400, "type": "invalid_request_error", "message": "The amount is odd."}
FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    # Longer than our timeout: no response arrives, and Stripe applies the request a moment later, or already has.
    "slow to begin": ("slow", {"seconds": 0.4}),
    "slow to answer": ("slow", {"seconds": 0.4, "after_apply": True}),
    "dropped before it was done": ("drop_before_apply", {}),
    "done and dropped": ("apply_then_drop", {}),
    "done, answered and stored as 500": ("applied_500", {}),
    "500, stored": ("stored_500", {}),
    "500, not stored": ("error", {}),
    "lock timeout": ("lock_timeout", {}),
    "lock timeout, stored": ("lock_timeout", {"stored": True}),
    "409": ("conflict_409", {}),
    "rate limited": ("rate_limited", {}),
    "refused": ("error", REFUSED),
    "refused, stored": ("error", {**REFUSED, "stored": True}),
}
# Stripe refuses the request for good: a person has to look at it before we retry.
REFUSALS = ("refused", "refused, stored")
# The journal's failure of an invoice after five attempts that each met the fault.
WHILE_IT_LASTS = {
    "slow to begin": ("unknown", "no_answer"),
    "slow to answer": ("unknown", "no_answer"),
    "dropped before it was done": ("unknown", "no_answer"),
    "done and dropped": ("unknown", "no_answer"),
    "500, stored": ("failed", "server_error"),
    "500, not stored": ("unknown", "server_error"),
    "lock timeout": ("failed", "lock_timeout"),
    "lock timeout, stored": ("failed", "lock_timeout"),
    "409": ("unknown", "conflict"),
    "rate limited": ("failed", "rate_limited"),
    "refused": ("failed", "invalid_request"),
    "refused, stored": ("failed", "invalid_request"),
}


@pytest.fixture
def tools(billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path) -> Iterator[SyncTools]:
    """An invoice over $35.45 of June 2023."""
    bill_june(billing_database, tmp_path, acme=["12.00", "23.45"])
    yield sync_tools(billing_database, sandbox.url)


def facing(fault: str, tools: SyncTools, sandbox: SandboxServer) -> SyncTools:
    """Wait 0.2 s for a response if the fault delays it for longer, else as long as in production."""
    is_slow = FAULTS[fault][0] == "slow"
    return sync_tools(tools.journal.database, sandbox.url, patience=0.2) if is_slow else tools


def assert_billed_once(sandbox: SandboxServer, tools: SyncTools) -> None:
    assert in_stripe(sandbox) == [("acme", "open", 3545, 2)]
    assert [line["amount"] for line in invoice_in_stripe(sandbox, "acme")["lines"]] == [1200, 2345]
    row = entry(tools.journal.database, "acme")
    assert (row["state"], row["stripe_invoice_id"]) == ("finalized", invoice_in_stripe(sandbox, "acme")["id"])
    assert len(sandbox.control.objects("customer")) == 1
    assert kinds(tools) == []


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in REFUSALS])
def test_the_same_run_recovers_from_a_single_fault(
    tools: SyncTools, sandbox: SandboxServer, step: str, fault: str
) -> None:
    effect, rule = FAULTS[fault]
    sandbox.control.add_fault(effect, step, nth=1, **rule)
    assert outcome(sync(facing(fault, tools, sandbox))) == ({"finalized": 1}, [])
    assert sandbox.control.faults()[0]["fired"] == 1
    assert_billed_once(sandbox, tools)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("fault", REFUSALS)
def test_a_refusal_is_reported_with_stripes_message_and_the_next_run_continues(
    tools: SyncTools, sandbox: SandboxServer, step: str, fault: str
) -> None:
    effect, rule = FAULTS[fault]
    sandbox.control.add_fault(effect, step, nth=1, **rule)
    report = sync(tools)
    assert outcome(report) == ({}, ["invalid_request"])
    assert "The amount is odd." in report.failures[0].failure.operator_text
    assert "odd" not in report.failures[0].failure.customer_text
    assert outcome(sync(tools)) == ({"finalized": 1}, [])
    assert_billed_once(sandbox, tools)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("fault", WHILE_IT_LASTS)
def test_a_lasting_fault_is_reported_and_the_sync_recovers_once_it_ends(
    tools: SyncTools, sandbox: SandboxServer, step: str, fault: str
) -> None:
    effect, rule = FAULTS[fault]
    sandbox.control.add_fault(effect, step, **rule)
    state, code = WHILE_IT_LASTS[fault]
    assert outcome(sync(facing(fault, tools, sandbox))) == ({}, [code])
    row = entry(tools.journal.database, "acme")
    assert (row["state"], row["failure_code"], row["retryable"]) == (state, code, fault not in REFUSALS)
    assert [invoice for invoice in in_stripe(sandbox) if invoice[1] != "draft"] in ([], [("acme", "open", 3545, 2)])
    sandbox.control.clear_faults()
    assert outcome(sync(tools)) == ({"finalized": 1}, [])
    assert_billed_once(sandbox, tools)


@pytest.mark.parametrize("step", STEPS)
def test_a_500_that_was_applied_every_time_is_settled_by_reading(
    tools: SyncTools, sandbox: SandboxServer, step: str
) -> None:
    sandbox.control.add_fault("applied_500", step)
    assert outcome(sync(tools)) == ({"finalized": 1}, [])
    assert_billed_once(sandbox, tools)


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in REFUSALS])
def test_a_fault_at_either_batch_of_lines_adds_no_line_twice(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, nth: int, fault: str
) -> None:
    bill_june(billing_database, tmp_path, acme=["1.00"] * 130)
    effect, rule = FAULTS[fault]
    sandbox.control.add_fault(effect, "invoices.add_lines", nth=nth, **rule)
    tools = sync_tools(billing_database, sandbox.url)
    assert outcome(sync(facing(fault, tools, sandbox))) == ({"finalized": 1}, [])
    assert in_stripe(sandbox) == [("acme", "open", 13000, 130)]
    assert kinds(tools) == []


def test_lines_whose_request_arrived_late_are_not_added_again(tools: SyncTools, sandbox: SandboxServer) -> None:
    # Five attempts get no response or 409; the draft is still empty when it is read, and the lines arrive later.
    sandbox.control.add_fault("slow", "invoices.add_lines", nth=1, seconds=5)
    assert outcome(sync(sync_tools(tools.journal.database, sandbox.url, patience=0.5))) == ({}, ["conflict"])
    assert in_stripe(sandbox) == [("acme", "draft", 0, 0)]
    eventually(lambda: outcome(sync(tools))[0])
    assert_billed_once(sandbox, tools)
    keys = {call["idempotency_key"] for call in sandbox.control.calls(endpoint="invoices.add_lines")}
    assert len(keys) == 1


def test_nothing_is_sent_if_stripe_can_not_be_read(tools: SyncTools, sandbox: SandboxServer) -> None:
    sandbox.control.add_fault("stored_500", "invoices.create", nth=1)
    for nth in range(2, 9):  # it can read before the first create, and not after it
        sandbox.control.add_fault("error", "invoices.list", nth=nth)
    assert outcome(sync(tools)) == ({}, ["server_error"])
    assert entry(tools.journal.database, "acme")["state"] == "unknown"
    sandbox.control.clear_faults()
    assert outcome(sync(tools)) == ({"finalized": 1}, [])
    assert_billed_once(sandbox, tools)


def test_a_stripe_that_never_answers_fails_with_an_unknown_outcome() -> None:
    with black_hole() as address:
        client = make_stripe_client(API_KEY, f"http://{address}", timeout=(0.2, 0.2))
        answer = ask(lambda: client.v1.customers.create({"name": "Acme"}))
    assert (answer.outcome, answer.code) == (UNKNOWN, "no_answer")


@pytest.mark.parametrize("seed", range(4))
def test_a_month_is_synced_through_all_faults_at_once(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, seed: int
) -> None:
    bill_june(billing_database, tmp_path, **{f"org-{n}": [f"{n}.00", "0.45"] for n in range(1, 9)})
    for effect, rule in FAULTS.values():
        sandbox.control.add_fault(effect, probability=0.03, seed=seed, **rule)
    tools = sync_tools(billing_database, sandbox.url, patience=0.2, workers=4)
    for _ in range(10):
        sync(tools)
    sandbox.control.clear_faults()
    sync(sync_tools(billing_database, sandbox.url, workers=4))
    assert in_stripe(sandbox) == [(f"org-{n}", "open", n * 100 + 45, 2) for n in range(1, 9)]
    assert kinds(tools) == []
