"""`fly-billing credit-note`, `refund` and `approve-credit`, as people type them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fly_billing.cli.main import app
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from tests.support.credit_builders import notes, requests
from tests.support.stripe_builders import API_KEY, bill_june, execute, invoice_in_stripe, query, sync, sync_tools

EVIL = "[red]late[/] \x1b[31m\u202e"


@pytest.fixture
def paid(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> BillingDatabase:
    """June 2023 of acme: $150.00, paid by card."""
    bill_june(billing_database, tmp_path, acme=["150.00"])
    sync(sync_tools(billing_database, sandbox.url))
    invoice = invoice_in_stripe(sandbox, "acme")
    sandbox.control.act("give-card", invoice["customer"])
    sandbox.control.act("pay", invoice["id"])
    url = billing_database.engine.url.render_as_string(hide_password=False)
    names = {
        "DATABASE_URL": url, "DAGSTER_DATABASE_URL": url, "FLY_BILLING_DATA_DIR": str(tmp_path / "data"),
        "STRIPE_API_KEY": API_KEY, "STRIPE_API_BASE": sandbox.url,
    }  # fmt: skip
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    return billing_database


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "132"})


def printed(*arguments: str) -> str:
    """Run a command that succeeds, and return what it prints."""
    result = run(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def test_a_dry_run_shows_what_would_go_back_and_writes_and_sends_nothing(
    paid: BillingDatabase, sandbox: SandboxServer
) -> None:
    text = printed("refund", "acme", "2023-06", "20.00", "--why", "an outage", "--dry-run")
    assert "acme 2023-06: $20.00 because of: an outage" in text
    assert "It would do this: $20.00 go back to the customer's card." in text
    assert "Nothing was written or sent (--dry-run)." in text
    assert (requests(paid), notes(sandbox)) == ([], [])


def test_a_refund_is_made_once_however_often_it_is_typed(paid: BillingDatabase, sandbox: SandboxServer) -> None:
    said: dict[str, Any] = {}
    for _ in range(2):
        said = json.loads(printed("refund", "acme", "2023-06", "20.00", "--why", "an outage", "--json"))
    assert notes(sandbox) == [(2000, 0, 2000, 0, 0)]
    assert (said["amount_cents"], said["pays_back_cents"], said["to"], said["state"]) == (
        2000,
        2000,
        "refund",
        "issued",
    )
    assert str(said["stripe_credit_note"]).startswith("cn_")


def test_a_full_refund_needs_no_amount_and_above_the_limit_somebody_elses_approval(
    paid: BillingDatabase, sandbox: SandboxServer
) -> None:
    """$150.00 are above the limit of $100.00."""
    text = printed("refund", "acme", "2023-06", "--why", "goodwill")
    assert "acme 2023-06: $150.00 because of: goodwill" in text
    assert "Someone else approves it: `fly-billing approve-credit " in text
    assert notes(sandbox) == []
    (asked,) = query(paid, "select id, made_by from credit_requests")
    assert f"{asked['id']} acme $150.00, asked for by {asked['made_by']}: goodwill" in printed("approve-credit")
    refused = run("approve-credit", str(asked["id"]), "--by", asked["made_by"])
    assert "someone else must approve it" in str(refused.exception)
    assert "Stripe has the credit note cn_" in printed("approve-credit", str(asked["id"]), "--by", "bo")
    assert notes(sandbox) == [(15000, 0, 15000, 0, 0)]
    assert "No credit note waits for an approval." in printed("approve-credit")


def test_a_credit_note_becomes_credit_for_the_next_invoice_unless_asked_otherwise(
    paid: BillingDatabase, sandbox: SandboxServer
) -> None:
    printed("credit-note", "acme", "2023-06", "20.00", "--why", "an outage")
    printed("credit-note", "acme", "2023-06", "10.00", "--why", "paid in cash", "--to", "out-of-band")
    assert notes(sandbox) == [(1000, 0, 0, 0, 1000), (2000, 0, 0, 2000, 0)]


def test_stripe_that_does_not_answer_is_told_as_such_and_exits_1(paid: BillingDatabase, sandbox: SandboxServer) -> None:
    sandbox.control.add_fault("error", "credit_notes.create", status=401, type="invalid_request_error", message="No")
    result = run("credit-note", "acme", "2023-06", "20.00", "--why", "an outage")
    assert result.exit_code == 1
    assert "Nothing was credited: authentication: No" in result.output


def test_a_refused_credit_note_is_in_status_until_it_is_sent_again(
    paid: BillingDatabase, sandbox: SandboxServer
) -> None:
    fault = sandbox.control.add_fault(
        "error", "credit_notes.create", status=400, type="invalid_request_error", message="Not now"
    )
    assert run("credit-note", "acme", "2023-06", "20.00", "--why", "an outage").exit_code == 1
    (asked,) = query(paid, "select id from credit_requests")
    (row,) = [row for row in json.loads(run("status", "--json").output) if row["kind"] == "credit note"]
    assert (row["about"], row["fix"]) == ("acme 2023-06", f"fly-billing send-credit {asked['id']}")
    assert "was refused: invalid_request: Not now" in row["problem"]
    assert run("send-credit", str(asked["id"])).exit_code == 1
    sandbox.control.clear_faults(fault["id"])
    assert "Stripe has the credit note cn_" in printed("send-credit", str(asked["id"]))
    assert notes(sandbox) == [(2000, 0, 0, 2000, 0)]
    assert "credit note" not in run("status").output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["credit-note", "acme", "2023-06", "twelve", "--why", "x"], "AMOUNT: "),
        (["credit-note", "nobody", "2023-06", "1.00", "--why", "x"], "nobody has no final invoice for 2023-06"),
        (["credit-note", "acme", "2023-06", "150.01", "--why", "x"], "at most $150.00 can be credited"),
        (["approve-credit", "1", "--by", "bo"], "1 is not an id of a credit note"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_written(paid: BillingDatabase, arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code != 0
    assert said in result.output + str(result.exception)
    assert requests(paid) == []


def test_another_destination_is_refused_with_the_possible_ones(paid: BillingDatabase) -> None:
    result = run("credit-note", "acme", "2023-06", "1.00", "--why", "x", "--to", EVIL)
    assert result.exit_code == 2
    assert "balance, refund, out-of-band" in result.output.replace("\n", " ")
    assert "\x1b[31m\u202e" not in result.output


def test_reasons_and_names_that_others_wrote_are_printed_as_text(paid: BillingDatabase) -> None:
    execute(paid, "update organizations set name = :evil", evil=EVIL)
    text = printed("refund", "acme", "2023-06", "--why", EVIL) + printed("approve-credit")
    assert "\x1b[31m" not in text
    assert "\u202e" not in text
    assert "[red]late[/]" in text
