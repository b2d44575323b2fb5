"""Our database was restored from a backup older than Stripe's state: invoices sent since are not sent again."""

from pathlib import Path

import pytest

from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.invoice_sync import SyncTools
from fly_billing.stripe_sync.repair import carry_out, plan_of_repair
from fly_billing.stripe_sync.rules.repair_plan import Action
from tests.support.stripe_builders import (
    JUNE,
    MovableClock,
    bill_june,
    entry,
    execute,
    groups_of,
    in_stripe,
    invoice_in_stripe,
    kinds,
    outcome,
    query,
    reads,
    sent,
    sync,
    sync_tools,
)
from tests.support.unguarded import damage

SYNCED = [("acme", "open", 3545, 2), ("bolt", "open", 10100, 101)]


@pytest.fixture
def tools(billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path) -> SyncTools:
    """June is finalized for two organizations: $12.00 + $23.45, and 101 lines of $1.00. Not sent yet."""
    bill_june(billing_database, tmp_path, acme=["12.00", "23.45"], bolt=["1.00"] * 101)
    return sync_tools(billing_database, sandbox.url, clock=MovableClock(sandbox))


def restore_the_backup_of_before(tools: SyncTools) -> None:
    """Remove all that the sync recorded, three days later: Stripe no longer has the keys either."""
    assert isinstance(tools.clock, MovableClock)
    tools.clock.advance(hours=72)
    database = tools.journal.database
    damage(database, "delete from stripe_attempts", "delete from stripe_invoices")
    execute(database, "update organizations set stripe_customer_id = null")


def synced_then_forgotten(tools: SyncTools, sandbox: SandboxServer) -> None:
    assert outcome(sync(tools)) == ({"finalized": 2}, [])
    assert in_stripe(sandbox) == SYNCED
    restore_the_backup_of_before(tools)
    sandbox.control.clear_calls()


def test_finalized_invoices_are_recognized_and_not_created_again(tools: SyncTools, sandbox: SandboxServer) -> None:
    synced_then_forgotten(tools, sandbox)
    before = {name: invoice_in_stripe(sandbox, name)["id"] for name in ("acme", "bolt")}

    assert outcome(sync(tools)) == ({"finalized": 2}, [])

    assert sent(sandbox) == []
    assert in_stripe(sandbox) == SYNCED
    assert {name: entry(tools.journal.database, name)["stripe_invoice_id"] for name in before} == before
    assert len(sandbox.control.objects("customer")) == 2
    assert kinds(tools) == []


def test_existing_customers_are_recognized(tools: SyncTools, sandbox: SandboxServer) -> None:
    customers = "select id, stripe_customer_id from organizations order by id"
    sync(tools)
    before = query(tools.journal.database, customers)
    restore_the_backup_of_before(tools)
    sync(tools)
    assert query(tools.journal.database, customers) == before
    assert None not in [row["stripe_customer_id"] for row in before]


def test_a_customer_without_an_invoice_is_used_and_not_created_again(tools: SyncTools, sandbox: SandboxServer) -> None:
    refused = sandbox.control.add_fault("error", "invoices.create", status=400, type="invalid_request_error")
    sync(tools)
    sandbox.control.clear_faults(refused["id"])
    assert len(sandbox.control.objects("customer")) == 2
    restore_the_backup_of_before(tools)
    assert outcome(sync(tools)) == ({"finalized": 2}, [])
    assert in_stripe(sandbox) == SYNCED
    assert len(sandbox.control.objects("customer")) == 2


@pytest.mark.parametrize("step", ["invoices.add_lines", "invoices.finalize"])
@pytest.mark.parametrize("nth", [1, 2])
def test_a_draft_is_completed_or_created_again(tools: SyncTools, sandbox: SandboxServer, step: str, nth: int) -> None:
    # With one worker acme comes first: its draft is left empty or filled; bolt's half-filled (100 of 101 lines).
    refused = [
        sandbox.control.add_fault("error", step, nth=n, status=400, type="invalid_request_error")
        for n in range(nth, nth + 2)
    ]
    sync(tools)
    for fault in refused:
        sandbox.control.clear_faults(fault["id"])
    assert "draft" in [status for _, status, _, _ in in_stripe(sandbox)]
    restore_the_backup_of_before(tools)
    assert outcome(sync(tools)) == ({"finalized": 2}, [])
    assert in_stripe(sandbox) == SYNCED
    assert kinds(tools) == []


def test_an_invoice_voided_in_stripe_is_not_sent_again_before_confirmation(
    tools: SyncTools, sandbox: SandboxServer
) -> None:
    synced_then_forgotten(tools, sandbox)
    tools.client.v1.invoices.void_invoice(invoice_in_stripe(sandbox, "acme")["id"])

    for _ in range(2):
        assert outcome(sync(tools))[1] == ["voided_in_stripe"]
        assert [status for name, status, _, _ in in_stripe(sandbox) if name == "acme"] == ["void"]
    assert kinds(tools) == ["missing"]

    assert repair(tools, yes=False) == [("recreate", "refused")]
    assert outcome(sync(tools))[1] == ["voided_in_stripe"]
    assert repair(tools, yes=True) == [("recreate", "done")]
    assert in_stripe(sandbox) == [("acme", "open", 3545, 2), ("acme", "void", 3545, 2), SYNCED[1]]
    assert kinds(tools) == []


def test_a_differing_invoice_is_left_for_manual_resolution(tools: SyncTools, sandbox: SandboxServer) -> None:
    synced_then_forgotten(tools, sandbox)
    sandbox.control.edit_object(invoice_in_stripe(sandbox, "acme")["id"], total=3546)
    assert outcome(sync(tools)) == ({"finalized": 1}, ["differs_in_stripe"])
    assert sent(sandbox) == []


def test_nothing_is_sent_while_stripe_can_not_be_read(tools: SyncTools, sandbox: SandboxServer) -> None:
    synced_then_forgotten(tools, sandbox)
    sandbox.control.add_fault("error", "invoices.list")
    assert outcome(sync(tools)) == ({}, ["server_error", "server_error"])
    assert sent(sandbox) == []
    sandbox.control.clear_faults()
    assert outcome(sync(tools)) == ({"finalized": 2}, [])
    assert sent(sandbox) == []
    assert in_stripe(sandbox) == SYNCED


def test_recognizing_takes_one_read_of_each_kind_and_none_if_no_invoice_is_due(
    tools: SyncTools, sandbox: SandboxServer
) -> None:
    sync(tools)
    assert reads(sandbox) == {"invoices.list": 1, "customers.list": 1}
    sandbox.control.clear_calls()
    sync(tools)
    assert reads(sandbox) == {}


def repair(tools: SyncTools, *, yes: bool) -> list[tuple[str, str]]:
    def may(action: Action) -> bool:
        return yes

    _, actions = plan_of_repair(tools, JUNE, groups_of(tools.journal.database))
    return [(action_done.action.verb, action_done.outcome) for action_done in carry_out(tools, JUNE, actions, may, 50)]
