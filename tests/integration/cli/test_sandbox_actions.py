"""`fly-billing stripe-sandbox do` acts in the running sandbox as a person does in Stripe's dashboard."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fly_billing.cli.main import app
from fly_billing.errors import ActionableError
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.client import make_stripe_client


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["stripe-sandbox", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def open_invoice(sandbox: SandboxServer, currency: str, amount: int) -> str:
    sandbox.control.seed_customer("cus_1234")
    invoices = make_stripe_client("sk_test_1", sandbox.url).v1.invoices
    made = invoices.create({"customer": "cus_1234", "currency": currency})
    invoices.add_lines(made.id, {"lines": [{"amount": amount}]})
    return invoices.finalize_invoice(made.id).id


@pytest.fixture(autouse=True)
def at_the_sandbox(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_API_BASE", sandbox.url)


@pytest.fixture
def invoice(sandbox: SandboxServer) -> str:
    """An open invoice of 12.00 for cus_1234, who pays by card."""
    return open_invoice(sandbox, "usd", 1200)


def test_an_invoice_is_credited_paid_refunded_and_disputed(sandbox: SandboxServer, invoice: str) -> None:
    assert run("do", "credit", "cus_1234", "40.00").splitlines()[1] == "Events: customer.updated"
    assert run("do", "credit-note", invoice, "2.00").splitlines()[0].endswith(": issued, $2.00")
    paid = "charge.succeeded, payment_intent.succeeded, invoice_payment.paid, invoice.paid, invoice.payment_succeeded"
    assert run("do", "pay", invoice) == f"invoice {invoice}: paid, $0.00 remaining\nEvents: {paid}\n"
    refunded = run("do", "refund", invoice, "3.00").splitlines()
    assert (refunded[0].split(":")[1], refunded[1]) == (" succeeded, $3.00", "Events: refund.created, charge.refunded")
    assert run("do", "credit-note", invoice, "1.00", "--to", "out_of_band").splitlines()[0].endswith(": issued, $1.00")
    assert run("do", "dispute", invoice).splitlines()[0].endswith(": needs_response, $7.00")
    assert run("do", "win-dispute", invoice).splitlines()[0].endswith(": won, $7.00")
    assert sandbox.control.object("cus_1234")["balance"] == -4000


def test_amounts_have_the_decimals_of_the_currency(invoice: str) -> None:
    with pytest.raises(ActionableError, match=r"3 has no cents: write 3\.00 if you mean"):
        run("do", "credit-note", invoice, "3")


def test_an_amount_of_shillings_is_whole_though_stripe_writes_it_with_two_decimals(sandbox: SandboxServer) -> None:
    """101 Ugandan shillings are 10100 in Stripe's API (docs.stripe.com/currencies#special-cases)."""
    invoice = open_invoice(sandbox, "ugx", 1_000_000)
    assert run("do", "credit-note", invoice, "101").splitlines()[0].endswith(": issued, UGX 101")
    assert sandbox.control.object(invoice)["amount_remaining"] == 989_900


def test_a_refused_action_says_why(invoice: str) -> None:
    run("do", "mark-paid", invoice)
    with pytest.raises(ActionableError, match=rf"pay {invoice}: Invoice is already paid. `stripe-sandbox actions`"):
        run("do", "pay", invoice)
    with pytest.raises(ActionableError, match="refund in_none: not found: in_none"):
        run("do", "refund", "in_none")
    with pytest.raises(ActionableError, match="shout in_none: not found: shout; the actions are credit, debit"):
        run("do", "shout", "in_none")


def test_the_actions_are_listed_with_what_they_act_on(invoice: str) -> None:
    listed = run("actions").splitlines()
    assert "refund CHARGE [AMOUNT]: refund the charge, or a part of it" in listed
    assert "credit CUSTOMER AMOUNT: credit the customer balance" in listed


def test_without_a_sandbox_the_command_names_how_to_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRIPE_API_BASE")
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path))
    with pytest.raises(ActionableError, match=r"no Stripe sandbox runs on .*: start `fly-billing dev`"):
        run("do", "pay", "in_1")
