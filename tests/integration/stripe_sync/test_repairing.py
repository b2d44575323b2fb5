"""A repair fixes differences in Stripe once, through the journal, and leaves foreign invoices and refused actions."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.approvals import UnusualTotals
from fly_billing.stripe_sync.client import make_stripe_client
from fly_billing.stripe_sync.invoice_sync import SyncTools
from fly_billing.stripe_sync.repair import carry_out, plan_of_repair
from fly_billing.stripe_sync.rules.repair_plan import Action
from tests.support.stripe_builders import (
    API_KEY,
    JULY,
    JUNE,
    bill_june,
    charge,
    close_month,
    entry,
    groups_of,
    in_stripe,
    invoice_in_stripe,
    kinds,
    query,
    sync,
    sync_tools,
)
from tests.support.unguarded import damage

COMMAND = Path(sys.executable).with_name("fly-billing")
NOBODY = "99999999-2222-3333-4444-555555555555"
READS = {"invoices.list", "invoices.retrieve", "invoices.list_lines", "customers.list", "customers.retrieve"}


@pytest.fixture
def tools(billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path) -> SyncTools:
    """June 2023 of acme ($35.45 in two lines) and bolt ($5.00), in Stripe and equal."""
    bill_june(billing_database, tmp_path, acme=["12.00", "23.45"], bolt=["5.00"])
    tools = sync_tools(billing_database, sandbox.url)
    sync(tools)
    assert kinds(tools) == []
    sandbox.control.clear_calls()
    return tools


def yes(action: Action) -> bool:
    return True


def no(action: Action) -> bool:
    return False


def repair(tools: SyncTools, may: Callable[[Action], bool] = no, percent: int = 50) -> list[tuple[str, str, str]]:
    """Plan and carry out a repair; return (action, organization, outcome) of each."""
    _, actions = plan_of_repair(tools, JUNE, groups_of(tools.journal.database))
    done = carry_out(tools, JUNE, actions, may, percent)
    return [(action_done.action.verb, action_done.action.organization_id, action_done.outcome) for action_done in done]


def changes(sandbox: SandboxServer) -> dict[str, int]:
    """Count the calls that change something, since the log was emptied."""
    return {name: count for name, count in sandbox.control.call_counts().items() if name not in READS}


def statuses(sandbox: SandboxServer, organization: str) -> list[tuple[str, int]]:
    """List (status, total) of an organization's invoices in Stripe, oldest first."""
    found = [
        invoice for invoice in sandbox.control.invoices() if invoice["metadata"].get("organization") == organization
    ]
    return [(invoice["status"], invoice["total"]) for invoice in found]


def copy_in_stripe(sandbox: SandboxServer, original: str, *, finalize: bool = True, **metadata: str) -> str:
    """Create an organization's invoice again, as another program would."""
    client, first = make_stripe_client(API_KEY, sandbox.url), invoice_in_stripe(sandbox, original)
    marks = {**first["metadata"], **metadata}
    made = client.v1.invoices.create({"customer": first["customer"], "currency": "usd", "metadata": marks})
    lines: Any = [
        {"amount": line["amount"], "description": line["description"], "metadata": line["metadata"]}
        for line in first["lines"]
    ]
    client.v1.invoices.add_lines(made.id, {"lines": lines})
    if finalize:
        client.v1.invoices.finalize_invoice(made.id, {"auto_advance": False})
    sandbox.control.clear_calls()
    return made.id


def settled(tools: SyncTools, sandbox: SandboxServer) -> bool:
    """Return True if both sides are equal, and another repair changes nothing."""
    sandbox.control.clear_calls()
    return kinds(tools) == [] and repair(tools, yes) == [] and changes(sandbox) == {}


def test_an_invoice_that_was_never_sent_is_sent_through_the_sync(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00", "23.45"], bolt=["5.00"])
    tools = sync_tools(billing_database, sandbox.url)
    assert repair(tools) == [("send", "acme", "done"), ("send", "bolt", "done")]
    assert in_stripe(sandbox) == [("acme", "open", 3545, 2), ("bolt", "open", 500, 1)]
    assert settled(tools, sandbox)


@pytest.mark.parametrize("change", ["voided", "deleted"])
def test_an_invoice_voided_in_stripe_is_sent_again_once_and_only_after_confirmation(
    tools: SyncTools, sandbox: SandboxServer, change: str
) -> None:
    sent = invoice_in_stripe(sandbox, "acme")["id"]
    if change == "voided":
        make_stripe_client(API_KEY, sandbox.url).v1.invoices.void_invoice(sent)
    else:
        sandbox.control.delete_object(sent)
    sandbox.control.clear_calls()

    assert repair(tools, no) == [("recreate", "acme", "refused")]
    assert changes(sandbox) == {}

    assert repair(tools, yes) == [("recreate", "acme", "done")]
    assert changes(sandbox) == {"invoices.create": 1, "invoices.add_lines": 1, "invoices.finalize": 1}
    assert [invoice for invoice in statuses(sandbox, "acme") if invoice[0] != "void"] == [("open", 3545)]
    assert entry(tools.journal.database, "acme")["generation"] == 1
    assert settled(tools, sandbox)


def test_a_draft_that_failed_to_finalize_is_finalized_and_not_created_again(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00", "23.45"])
    tools = sync_tools(billing_database, sandbox.url)
    sandbox.control.add_fault("rate_limited", "invoices.finalize")
    sync(tools)
    sandbox.control.clear_faults()
    sandbox.control.clear_calls()
    assert kinds(tools) == ["stuck"]
    assert repair(tools) == [("finish", "acme", "done")]
    assert changes(sandbox) == {"invoices.finalize": 1}
    assert settled(tools, sandbox)


def test_a_draft_that_our_journal_records_as_finalized_is_finalized(tools: SyncTools, sandbox: SandboxServer) -> None:
    sandbox.control.edit_object(invoice_in_stripe(sandbox, "acme")["id"], status="draft")
    assert repair(tools) == [("finish", "acme", "done")]
    assert statuses(sandbox, "acme") == [("open", 3545)]
    assert settled(tools, sandbox)


def test_an_extra_draft_of_a_finalized_invoice_is_removed(tools: SyncTools, sandbox: SandboxServer) -> None:
    copy_in_stripe(sandbox, "acme", finalize=False)
    assert repair(tools) == [("remove", "acme", "done")]
    assert changes(sandbox) == {"invoices.delete": 1}
    assert statuses(sandbox, "acme") == [("open", 3545)]
    assert settled(tools, sandbox)


def test_an_orphaned_draft_is_removed_and_recorded(tools: SyncTools, sandbox: SandboxServer) -> None:
    orphan = copy_in_stripe(sandbox, "bolt", finalize=False, fly_billing_invoice=NOBODY)
    assert repair(tools) == [("remove", "bolt", "done")]
    assert statuses(sandbox, "bolt") == [("open", 500)]
    (row,) = query(tools.journal.database, "select * from stripe_repairs")
    assert (row["stripe_invoice_id"], row["claimed_invoice_id"], row["outcome"]) == (orphan, NOBODY, "applied")
    assert row["idempotency_key"] == f"fly_billing/{orphan}/0/discard/0"
    assert settled(tools, sandbox)


def test_a_finalized_orphan_is_left_for_manual_resolution(tools: SyncTools, sandbox: SandboxServer) -> None:
    copy_in_stripe(sandbox, "bolt", fly_billing_invoice=NOBODY)
    assert repair(tools, yes) == [("leave", "bolt", "left")]
    assert changes(sandbox) == {}


def test_a_draft_without_our_metadata_is_never_changed(tools: SyncTools, sandbox: SandboxServer) -> None:
    client = make_stripe_client(API_KEY, sandbox.url)
    sandbox.control.seed_customer("cus_other", name="Another shop")
    client.v1.invoices.create({"customer": "cus_other", "currency": "usd", "metadata": {"month": "2023-06"}})
    sandbox.control.clear_calls()
    assert (repair(tools, yes), changes(sandbox)) == ([], {})


def test_the_one_of_two_invoices_in_our_journal_is_kept(tools: SyncTools, sandbox: SandboxServer) -> None:
    first = invoice_in_stripe(sandbox, "acme")["id"]
    second = copy_in_stripe(sandbox, "acme")
    assert repair(tools, no) == [("void", "acme", "refused")]
    assert changes(sandbox) == {}

    assert repair(tools, yes) == [("void", "acme", "done")]
    assert changes(sandbox) == {"invoices.void": 1}
    assert {invoice["id"]: invoice["status"] for invoice in sandbox.control.invoices()}[first] == "open"
    attempts = query(tools.journal.database, "select * from stripe_attempts where step = 'void'")
    assert [(attempt["idempotency_key"], attempt["outcome"]) for attempt in attempts] == [
        (f"fly_billing/{second}/0/void/0", "applied")
    ]
    assert settled(tools, sandbox)


def test_the_remaining_one_of_two_is_recorded_if_our_journal_had_neither(
    tools: SyncTools, sandbox: SandboxServer
) -> None:
    copy_in_stripe(sandbox, "acme")
    damage(
        tools.journal.database,
        """
        update stripe_invoices set state = 'needs_attention', step = 'verify', failure_code = 'duplicate_in_stripe',
            stripe_invoice_id = null, finalized_at = null
        where stripe_total_cents = 3545
        """,
    )
    assert repair(tools, yes) == [("void", "acme", "done")]
    assert changes(sandbox) == {"invoices.void": 1}
    assert statuses(sandbox, "acme") == [("open", 3545), ("void", 3545)]
    assert entry(tools.journal.database, "acme")["state"] == "finalized"
    assert settled(tools, sandbox)


def test_a_differing_invoice_is_voided_and_created_again_after_confirmation(
    tools: SyncTools, sandbox: SandboxServer
) -> None:
    sandbox.control.edit_object(invoice_in_stripe(sandbox, "acme")["id"], total=354500)
    assert repair(tools, no) == [("recreate", "acme", "refused")]
    assert repair(tools, yes) == [("recreate", "acme", "done")]
    assert statuses(sandbox, "acme") == [("void", 354500), ("open", 3545)]
    assert settled(tools, sandbox)


def test_a_paid_invoice_that_differs_is_left_for_a_credit_note(tools: SyncTools, sandbox: SandboxServer) -> None:
    sandbox.control.edit_object(invoice_in_stripe(sandbox, "acme")["id"], total=354500, status="paid")
    assert repair(tools, yes) == [("leave", "acme", "left")]
    assert changes(sandbox) == {}


@pytest.mark.parametrize(
    ("effect", "rule"),
    [
        ("apply_then_drop", {"first": 1}),
        ("drop_before_apply", {"first": 1}),
        ("applied_500", {"first": 1}),
        ("stored_500", {"first": 1}),
        ("lock_timeout", {"first": 1, "stored": True}),
        ("conflict_409", {"first": 2}),
    ],
)
def test_a_void_whose_response_is_lost_is_made_once(
    tools: SyncTools, sandbox: SandboxServer, effect: str, rule: dict[str, Any]
) -> None:
    sandbox.control.edit_object(invoice_in_stripe(sandbox, "acme")["id"], total=354500)
    sandbox.control.add_fault(effect, "invoices.void", **rule)
    assert repair(tools, yes) == [("recreate", "acme", "done")]
    assert statuses(sandbox, "acme") == [("void", 354500), ("open", 3545)]
    assert settled(tools, sandbox)


def test_no_invoice_is_created_again_if_stripe_refuses_the_void(tools: SyncTools, sandbox: SandboxServer) -> None:
    sandbox.control.edit_object(invoice_in_stripe(sandbox, "acme")["id"], total=354500)
    sandbox.control.add_fault("error", "invoices.void", status=400, type="invalid_request_error", message="Odd.")
    assert repair(tools, yes) == [("recreate", "acme", "failed")]
    assert statuses(sandbox, "acme") == [("open", 354500)]
    assert entry(tools.journal.database, "acme")["state"] == "finalized"


def test_an_invoice_that_a_sync_is_working_on_is_not_repaired(tools: SyncTools, sandbox: SandboxServer) -> None:
    sandbox.control.edit_object(invoice_in_stripe(sandbox, "acme")["id"], total=354500)
    with tools.journal.database.session_lock(f"sync {entry(tools.journal.database, 'acme')['invoice_id']}"):
        assert repair(tools, yes) == [("recreate", "acme", "failed")]
    assert changes(sandbox) == {}


@pytest.mark.parametrize("change", [{"metadata": {}}, {"status": "paid"}])
def test_an_invoice_that_changed_after_the_plan_is_not_repaired(
    tools: SyncTools, sandbox: SandboxServer, change: dict[str, Any]
) -> None:
    second = copy_in_stripe(sandbox, "acme")
    _, actions = plan_of_repair(tools, JUNE, groups_of(tools.journal.database))
    sandbox.control.edit_object(second, **change)
    assert [action_done.outcome for action_done in carry_out(tools, JUNE, actions, yes, 50)] == ["failed"]
    assert changes(sandbox) == {}


def test_a_repair_sends_nothing_of_a_month_that_the_spending_guard_stops(
    tools: SyncTools, sandbox: SandboxServer, tmp_path: Path
) -> None:
    charge(tools.journal.database, "acme", "999.00", month=JULY)
    close_month(tools.journal.database, tmp_path, JULY)
    _, actions = plan_of_repair(tools, JULY, groups_of(tools.journal.database))
    with pytest.raises(UnusualTotals, match=r"\$999.00 this month, \$40.45 last month"):
        carry_out(tools, JULY, actions, yes, 50)
    assert changes(sandbox) == {}


class Commands:
    """The commands in separate processes, on the test's database and sandbox."""

    def __init__(self, tools: SyncTools, sandbox: SandboxServer, data_dir: Path) -> None:
        url = tools.journal.database.engine.url.render_as_string(hide_password=False)
        self._environment = {
            **os.environ,
            "FLY_BILLING_DATA_DIR": str(data_dir),
            "DATABASE_URL": url,
            "DAGSTER_DATABASE_URL": url,
            "STRIPE_API_KEY": API_KEY,
            "STRIPE_API_BASE": sandbox.url,
        }

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            encoding="utf-8",
        )


def test_the_commands_show_the_plan_ask_and_repair(tools: SyncTools, sandbox: SandboxServer, tmp_path: Path) -> None:
    run = Commands(tools, sandbox, tmp_path / "data")
    sandbox.control.edit_object(invoice_in_stripe(sandbox, "acme")["id"], total=354500)
    copy_in_stripe(sandbox, "bolt", finalize=False, fly_billing_invoice=NOBODY)

    printed = run("reconcile", "2023-06", "--json")
    assert printed.returncode == 1, printed.stderr
    data = json.loads(printed.stdout)
    assert {
        (discrepancy["kind"], discrepancy["organization"], discrepancy["ours_cents"])
        for discrepancy in data["discrepancies"]
    } == {
        ("differing", "acme", 3545),
        ("orphaned", "bolt", None),
    }
    assert data["ours"] == {"invoices": 2, "total_cents": {"USD": 4045}}

    planned = run("repair", "2023-06", "--dry-run")
    assert planned.returncode == 1, planned.stderr
    assert "asks (--yes-to differing)" in planned.stdout
    assert changes(sandbox) == {}

    some = run("repair", "2023-06")
    assert some.returncode == 1, some.stderr
    assert "not done (--yes-to differing)" in some.stdout
    assert changes(sandbox) == {"invoices.delete": 1}

    rest = run("repair", "2023-06", "--yes-to", "differing")
    assert rest.returncode == 0, rest.stdout + rest.stderr
    agreed = run("reconcile", "2023-06")
    assert agreed.returncode == 0
    assert "in Stripe: 2 invoices, $40.45" in agreed.stdout
    assert "Both agree" in agreed.stdout


def test_an_answer_to_an_unknown_question_is_refused(tools: SyncTools, sandbox: SandboxServer, tmp_path: Path) -> None:
    result = Commands(tools, sandbox, tmp_path / "data")("repair", "2023-06", "--yes-to", "everything")
    assert result.returncode == 2
    assert "no such kind: everything" in result.stderr
