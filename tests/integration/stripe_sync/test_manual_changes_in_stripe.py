"""People edit and delete things in Stripe's dashboard, and days go by between two runs."""

from pathlib import Path

import pytest

from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.client import make_stripe_client
from fly_billing.stripe_sync.invoice_sync import SyncTools
from tests.support.stripe_builders import (
    API_KEY,
    JULY,
    MovableClock,
    add_organization,
    bill_june,
    calls,
    charge,
    close_month,
    entry,
    execute,
    in_stripe,
    invoice_in_stripe,
    kinds,
    mutations,
    outcome,
    query,
    sync,
    sync_tools,
)
from tests.support.unguarded import damage


@pytest.fixture
def clock(sandbox: SandboxServer) -> MovableClock:
    return MovableClock(sandbox)


@pytest.fixture
def tools(billing_database: BillingDatabase, sandbox: SandboxServer, clock: MovableClock, tmp_path: Path) -> SyncTools:
    """An invoice over $130.00 with 130 lines: two calls to fill its draft."""
    bill_june(billing_database, tmp_path, acme=["1.00"] * 130)
    return sync_tools(billing_database, sandbox.url, clock=clock)


def stop_at(sandbox: SandboxServer, tools: SyncTools, step: str, nth: int = 1) -> None:
    """Sync up to a step that Stripe refuses."""
    fault = sandbox.control.add_fault("error", step, nth=nth, status=400, type="invalid_request_error", message="No.")
    assert outcome(sync(tools)) == ({}, ["invalid_request"])
    sandbox.control.clear_faults(fault["id"])


def forget_failure(database: BillingDatabase, state: str) -> None:
    """Set the journal to the state that a killed process leaves."""
    damage(
        database,
        """
        update stripe_invoices set state = :state, step = null, failure_code = null, failure_customer_text = null,
            failure_operator_text = null, retryable = null
        """,
        state=state,
    )


def assert_billed_once(sandbox: SandboxServer, tools: SyncTools) -> None:
    assert in_stripe(sandbox) == [("acme", "open", 13000, 130)]
    assert kinds(tools) == []


def edit_line(sandbox: SandboxServer, number: int, cents: int) -> None:
    client = make_stripe_client(API_KEY, sandbox.url)
    draft = invoice_in_stripe(sandbox, "acme")
    client.v1.invoices.line_items.update(draft["id"], draft["lines"][number]["id"], {"amount": cents})


# Drafts ------------------------------------------------------------------------------------------------------------


def test_a_half_filled_draft_is_deleted_and_created_again(tools: SyncTools, sandbox: SandboxServer) -> None:
    stop_at(sandbox, tools, "invoices.add_lines", nth=2)
    half = invoice_in_stripe(sandbox, "acme")
    assert (half["status"], len(half["lines"])) == ("draft", 100)
    edit_line(sandbox, 0, 5000)
    assert outcome(sync(tools)) == ({"finalized": 1}, [])
    assert invoice_in_stripe(sandbox, "acme")["id"] != half["id"]
    assert_billed_once(sandbox, tools)


@pytest.mark.parametrize("was_killed", [True, False])
def test_a_manually_deleted_draft_is_created_again(tools: SyncTools, sandbox: SandboxServer, was_killed: bool) -> None:
    stop_at(sandbox, tools, "invoices.finalize")
    if was_killed:
        forget_failure(tools.journal.database, "verified")
    sandbox.control.delete_object(invoice_in_stripe(sandbox, "acme")["id"])
    assert outcome(sync(tools)) == ({"finalized": 1}, [])
    assert_billed_once(sandbox, tools)


def test_a_draft_deleted_during_the_sync_is_created_again_in_the_same_run(
    tools: SyncTools, sandbox: SandboxServer
) -> None:
    stop_at(sandbox, tools, "invoices.add_lines")
    forget_failure(tools.journal.database, "drafted")
    sandbox.control.delete_object(invoice_in_stripe(sandbox, "acme")["id"])
    assert outcome(sync(tools)) == ({"finalized": 1}, [])
    assert_billed_once(sandbox, tools)


def test_the_replayed_creation_of_a_deleted_draft_is_not_mistaken_for_a_draft(
    tools: SyncTools, sandbox: SandboxServer
) -> None:
    stop_at(sandbox, tools, "invoices.add_lines")
    forget_failure(tools.journal.database, "pending")
    damage(tools.journal.database, "update stripe_invoices set stripe_invoice_id = null")
    sandbox.control.delete_object(invoice_in_stripe(sandbox, "acme")["id"])
    assert outcome(sync(tools)) == ({"finalized": 1}, [])
    assert_billed_once(sandbox, tools)


@pytest.mark.parametrize("state", ["drafted", "filled", "verified"])
@pytest.mark.parametrize("edit", ["one line", "two lines that even out", "one line more", "one line less"])
def test_a_manually_changed_draft_is_not_finalized(
    tools: SyncTools, sandbox: SandboxServer, state: str, edit: str
) -> None:
    stop_at(sandbox, tools, "invoices.finalize")
    forget_failure(tools.journal.database, state)
    client, draft = make_stripe_client(API_KEY, sandbox.url), invoice_in_stripe(sandbox, "acme")
    if edit == "one line more":
        client.v1.invoices.add_lines(draft["id"], {"lines": [{"amount": 0, "description": "A present"}]})
    elif edit == "one line less":
        gone = {"id": draft["lines"][7]["id"], "behavior": "delete"}
        client.v1.invoices.remove_lines(draft["id"], {"lines": [gone]})  # type: ignore[list-item]
    else:
        edit_line(sandbox, 3, 50)
    if edit == "two lines that even out":
        edit_line(sandbox, 4, 150)
    assert outcome(sync(tools)) == ({"finalized": 1}, [])
    assert invoice_in_stripe(sandbox, "acme")["id"] != draft["id"]
    assert_billed_once(sandbox, tools)


def test_a_correct_manually_finalized_draft_is_accepted(tools: SyncTools, sandbox: SandboxServer) -> None:
    stop_at(sandbox, tools, "invoices.finalize")
    make_stripe_client(API_KEY, sandbox.url).v1.invoices.finalize_invoice(invoice_in_stripe(sandbox, "acme")["id"])
    assert outcome(sync(tools)) == ({"finalized": 1}, [])
    assert_billed_once(sandbox, tools)


def test_a_half_filled_manually_finalized_draft_is_left_for_manual_resolution(
    tools: SyncTools, sandbox: SandboxServer
) -> None:
    stop_at(sandbox, tools, "invoices.add_lines", nth=2)
    half = invoice_in_stripe(sandbox, "acme")["id"]
    client = make_stripe_client(API_KEY, sandbox.url)
    client.v1.invoices.finalize_invoice(half)
    for _ in range(2):
        assert outcome(sync(tools)) == ({}, ["differs_in_stripe"])
    assert entry(tools.journal.database, "acme")["state"] == "needs_attention"
    assert in_stripe(sandbox) == [("acme", "open", 10000, 100)]
    client.v1.invoices.void_invoice(half)
    assert outcome(sync(tools)) == ({"finalized": 1}, [])
    assert in_stripe(sandbox) == [("acme", "open", 13000, 130), ("acme", "void", 10000, 100)]
    assert kinds(tools) == []


# Customers ---------------------------------------------------------------------------------------------------------


def test_a_customer_deleted_in_stripe_fails_only_its_invoice(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    sandbox.control.seed_customer("cus_gone", name="Bolt")
    for name, customer in (("acme", None), ("bolt", "cus_gone"), ("crux", None)):
        add_organization(billing_database, name, customer=customer)
        charge(billing_database, name, "5.00")
    close_month(billing_database, tmp_path)
    client = make_stripe_client(API_KEY, sandbox.url)
    client.v1.customers.delete("cus_gone")
    tools = sync_tools(billing_database, sandbox.url)
    report = sync(tools)
    assert outcome(report) == ({"finalized": 2}, ["customer_missing"])
    failure = report.failures[0].failure
    assert "organizations.stripe_customer_id" in failure.operator_text
    assert "No such customer: 'cus_gone'" in failure.operator_text
    assert in_stripe(sandbox) == [("acme", "open", 500, 1), ("crux", "open", 500, 1)]
    assert kinds(tools) == ["missing"]

    sandbox.control.seed_customer("cus_new", name="Bolt")
    execute(billing_database, "update organizations set stripe_customer_id = 'cus_new' where id = 'bolt'")
    assert outcome(sync(tools)) == ({"finalized": 1}, [])
    assert invoice_in_stripe(sandbox, "bolt")["customer"] == "cus_new"
    assert kinds(tools) == []


@pytest.mark.parametrize("hours", [0, 26])
def test_a_deleted_customer_is_created_again_on_request(
    billing_database: BillingDatabase, sandbox: SandboxServer, clock: MovableClock, tmp_path: Path, hours: int
) -> None:
    bill_june(billing_database, tmp_path, acme=["5.00"])
    tools = sync_tools(billing_database, sandbox.url, clock=clock)
    sync(tools)
    make_stripe_client(API_KEY, sandbox.url).v1.customers.delete(invoice_in_stripe(sandbox, "acme")["customer"])
    charge(billing_database, "acme", "7.00", month=JULY)
    close_month(billing_database, tmp_path, JULY)
    assert outcome(sync(tools, JULY)) == ({}, ["customer_missing"])

    clock.advance(hours)
    execute(billing_database, "update organizations set stripe_customer_id = null")
    assert outcome(sync(tools, JULY)) == ({"finalized": 1}, [])
    assert in_stripe(sandbox) == [("acme", "open", 500, 1), ("acme", "open", 700, 1)]
    living = [customer["id"] for customer in sandbox.control.objects("customer") if not customer.get("deleted")]
    assert living == [query(billing_database, "select stripe_customer_id from organizations")[0]["stripe_customer_id"]]


def test_a_draft_of_a_replaced_customer_is_created_again_for_the_new_one(
    tools: SyncTools, sandbox: SandboxServer
) -> None:
    stop_at(sandbox, tools, "invoices.finalize")
    sandbox.control.seed_customer("cus_new", name="Acme")
    execute(tools.journal.database, "update organizations set stripe_customer_id = 'cus_new'")
    assert outcome(sync(tools)) == ({"finalized": 1}, [])
    assert invoice_in_stripe(sandbox, "acme")["customer"] == "cus_new"
    assert_billed_once(sandbox, tools)


def test_an_organization_renamed_between_two_attempts_is_billed_once(tools: SyncTools, sandbox: SandboxServer) -> None:
    sandbox.control.add_fault("apply_then_drop", "invoices.create")
    assert outcome(sync(tools)) == ({}, ["no_answer"])
    sandbox.control.clear_faults()
    execute(tools.journal.database, "update organizations set name = 'Acme Holding'")
    assert outcome(sync(tools)) == ({"finalized": 1}, [])
    assert_billed_once(sandbox, tools)


# Keys that Stripe no longer has ------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["customers.create", "invoices.create", "invoices.add_lines", "invoices.finalize"])
@pytest.mark.parametrize("fault", ["apply_then_drop", "drop_before_apply"])
def test_a_key_older_than_23_hours_is_settled_by_reading_and_never_resent(
    tools: SyncTools, sandbox: SandboxServer, clock: MovableClock, step: str, fault: str
) -> None:
    sandbox.control.add_fault(fault, step)
    assert outcome(sync(tools)) == ({}, ["no_answer"])
    sandbox.control.clear_faults()
    before = {call["idempotency_key"] for call in sandbox.control.calls()} - {None}
    clock.advance(hours=25)
    sandbox.control.clear_calls()
    assert outcome(sync(tools)) == ({"finalized": 1}, [])
    assert not before & {call["idempotency_key"] for call in sandbox.control.calls()}
    assert [name for name in calls(sandbox) if name.endswith((".list", ".retrieve"))]
    assert len(sandbox.control.objects("customer")) == 1
    assert_billed_once(sandbox, tools)


@pytest.mark.parametrize("step", ["invoices.create", "invoices.add_lines", "invoices.finalize"])
def test_a_key_younger_than_23_hours_is_sent_again_and_nothing_is_applied_twice(
    tools: SyncTools, sandbox: SandboxServer, clock: MovableClock, step: str
) -> None:
    sandbox.control.add_fault("apply_then_drop", step)
    assert outcome(sync(tools)) == ({}, ["no_answer"])
    sandbox.control.clear_faults()
    clock.advance(hours=22.5)
    sync(tools)
    assert_billed_once(sandbox, tools)
    done = [call["endpoint"] for call in sandbox.control.calls(applied=True)]
    assert done[:2] == ["customers.create", "invoices.create"]
    assert done[2:] == ["invoices.add_lines", "invoices.add_lines", "invoices.finalize"]


@pytest.mark.parametrize("state", ["pending", "drafted", "filled", "verified"])
def test_an_invoice_left_by_a_killed_process_days_ago_is_finalized_once(
    tools: SyncTools, sandbox: SandboxServer, clock: MovableClock, state: str
) -> None:
    stop_at(sandbox, tools, "invoices.finalize")
    forget_failure(tools.journal.database, state)
    if state == "pending":
        damage(tools.journal.database, "update stripe_invoices set stripe_invoice_id = null")
    damage(tools.journal.database, "update stripe_attempts set outcome = null, answered_at = null")
    clock.advance(hours=80)
    assert outcome(sync(tools)) == ({"finalized": 1}, [])
    assert mutations(sandbox)["invoices.create"] == 1
    assert_billed_once(sandbox, tools)


def test_a_half_filled_draft_can_be_deleted_on_any_later_day(
    tools: SyncTools, sandbox: SandboxServer, clock: MovableClock
) -> None:
    stop_at(sandbox, tools, "invoices.add_lines", nth=2)
    sandbox.control.add_fault("drop_before_apply", "invoices.delete")
    assert outcome(sync(tools)) == ({}, ["no_answer"])
    sandbox.control.clear_faults()
    clock.advance(hours=30)
    assert outcome(sync(tools)) == ({"finalized": 1}, [])
    assert_billed_once(sandbox, tools)
