"""Stripe's official library for Node, in an ordinary integration, gets from the sandbox what it gets from Stripe."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import stripe

from fly_billing.stripe_sandbox import spawn
from tests.support.stripe_openapi import stripe_schema
from tests.support.stripe_recorder import recording

PROGRAM = Path(__file__).with_name("node_sdk") / "integration.mjs"
PACKAGE = Path(sys.prefix) / "servers" / "node_sdk" / "node_modules" / "stripe"


def test_an_integration_with_the_node_library_bills_credits_and_refunds(tmp_path: Path) -> None:
    """35.00 less 5.00 of credit asks for 30.00; a credit note of 10.00 leaves 20.00, of which 2.00 and 1.00 return."""
    assert PACKAGE.is_dir(), f"{PACKAGE} is missing: `make test-servers` installs it"
    # Node looks for packages beside the program.
    program = shutil.copy(PROGRAM, PACKAGE.parents[1] / PROGRAM.name)
    with spawn(tmp_path / "sandbox.sqlite") as sandbox, recording(sandbox.url) as recorder:
        ran = subprocess.run(
            ["node", str(program), recorder.url, recorder.hook_url],
            capture_output=True, encoding="utf-8", timeout=120, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        seen = json.loads(ran.stdout)
        answered = [exchange for exchange in recorder.exchanges if exchange.status == 200]
        assert {exchange.status for exchange in recorder.exchanges} == {200, 400, 402, 404}
    assert [problem for exchange in answered for problem in stripe_schema().problems(exchange)] == []
    secret = seen.pop("secret")
    assert secret.startswith("whsec_")
    assert seen == {
        "version": stripe.api_version,
        "open": [3500, -500, 3000],
        "lowered": 1000,
        "paid": ["paid", 2000, "node@fly.test", 2000],
        "refund": ["succeeded", 200],
        "credited": ["post_payment", 100],
        "found": [True],
        "reasons": ["credit_note", "applied_to_invoice", "adjustment"],
        "refusals": [
            "StripeCardError card_declined",
            "StripeInvalidRequestError email_invalid",
            "StripeInvalidRequestError",
            "StripeInvalidRequestError",
        ],
    }
