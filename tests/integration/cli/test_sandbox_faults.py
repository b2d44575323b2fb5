"""`fly-billing stripe-sandbox fault` breaks the running sandbox and `clear` repairs it."""

from __future__ import annotations

from pathlib import Path

import pytest
import stripe
from typer.testing import CliRunner

from fly_billing.cli.main import app
from fly_billing.errors import ActionableError
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.client import make_stripe_client


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["stripe-sandbox", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_fault_hits_as_many_calls_as_asked_and_can_be_cleared(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_API_BASE", sandbox.url)
    customers = make_stripe_client("sk_test_1", sandbox.url).v1.customers
    assert run("fault", "http_500", "--times", "1", "--endpoint", "customers.list") == (
        "http_500: the next 1 call of customers.list. `fly-billing stripe-sandbox clear` removes it.\n"
    )
    with pytest.raises(stripe.APIError):
        customers.list()
    assert customers.list().data == []
    assert "  error of customers.list: hit 1 call" in run("faults").splitlines()
    run("fault", "http_401")
    with pytest.raises(stripe.AuthenticationError):
        customers.list()
    assert run("clear") == "The sandbox has no faults.\n"
    assert customers.list().data == []


def test_an_unknown_fault_names_the_known_ones(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_API_BASE", sandbox.url)
    with pytest.raises(ActionableError, match=r"'http_5' is not an effect of a fault. Choose from: http_500, "):
        run("fault", "http_5")


def test_without_a_sandbox_the_command_names_how_to_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path))
    with pytest.raises(ActionableError, match=r"no Stripe sandbox runs on .*: start `fly-billing dev`"):
        run("fault", "http_500")
    monkeypatch.setenv("STRIPE_API_BASE", "http://127.0.0.1:1")
    with pytest.raises(ActionableError, match="does not answer"):
        run("clear")
