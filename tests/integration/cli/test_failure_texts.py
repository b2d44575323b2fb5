"""The statement, Dagster and the alert describe a failure in the same words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dagster import ExecuteInProcessResult

from fly_billing.alerting.unreported import queue_invoice_failure_alerts, queue_sync_failure_alerts
from fly_billing.statements.statement_reader import read_statement
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.rules.sync_failures import ADDRESS
from tests.support.deployment import Deployment
from tests.support.stripe_builders import JULY, JUNE, bill_june, charge, close_month, entry, execute, query, utc_now


def failures_shown(result: ExecuteInProcessResult) -> list[dict[str, str]]:
    """Return the rows of the table `failures` that Dagster shows on the failed step."""
    (failed,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failed.user_failure_data is not None
    header, _, *lines = str(failed.user_failure_data.metadata["failures"].value).splitlines()
    names = cells(header)
    return [dict(zip(names, cells(line), strict=True)) for line in lines]


def cells(line: str) -> list[str]:
    """Return the cells of a Markdown table's line as a reader sees them, without escapes."""
    return [re.sub(r"\\([^\w\s])", r"\1", cell.strip()) for cell in line.strip("|").split("|")]


def trouble(deployment: Deployment) -> str | None:
    return read_statement(deployment.database, "acme", utc_now()).invoices[0].trouble


def what_to_do(alerts: list[str]) -> str:
    """Return the instruction of the only alert."""
    (text,) = alerts
    return text.partition("What to do: ")[2].partition("\n")[0]


def test_a_failed_sync_has_the_same_message_everywhere(
    deployment: Deployment, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(deployment.database, tmp_path, acme=["12.00"])
    deployment.register_organizations()
    execute(deployment.database, "update organizations set stripe_customer_id = 'cus_1'")
    sandbox.control.seed_customer("cus_1")
    stripe_error: dict[str, Any] = {
        "code": "customer_tax_location_invalid",
        "message": "The location isn't recognized.",
    }
    sandbox.control.add_fault("error", "invoices.finalize", status=400, **stripe_error)

    (shown,) = failures_shown(deployment.sync(JUNE, fails=True))
    alerts: list[str] = []
    queue_sync_failure_alerts(deployment.database, [], alerts.append)

    (call,) = query(
        deployment.database, "select stripe_request_id as id from stripe_attempts where outcome = 'not_applied'"
    )
    link = f"https://dashboard.stripe.com/test/logs/{call['id']}"
    assert what_to_do(alerts) == shown["what to do"] == entry(deployment.database, "acme")["failure_operator_text"]
    assert what_to_do(alerts) == (
        "Stripe can't tax this customer: correct their address or tax ID in billing_details, or in Stripe's"
        " dashboard if you keep it there (ask the customer if you don't know it), then launch the partition again."
        " Stripe said: The location isn't recognized."
        f" (request {call['id']}, {link})"
    )
    assert trouble(deployment) == shown["message to the customer"] == ADDRESS


def test_an_invoice_that_can_not_be_computed_has_the_same_message_everywhere(
    deployment: Deployment, tmp_path: Path
) -> None:
    bill_june(deployment.database, tmp_path, acme=["12.00"])
    deployment.register_organizations()
    charge(deployment.database, "acme", "1.00", month=JULY)
    execute(deployment.database, "update one_off_items set currency = 'EUR' where occurred_at >= '2023-07-01'")
    assert len(close_month(deployment.database, tmp_path, JULY).failures) == 1  # its usage is landed and rolled up

    (shown,) = failures_shown(deployment.run("bill_month", deployment.tags(JULY), fails=True))
    alerts: list[str] = []
    queue_invoice_failure_alerts(deployment.database, [], alerts.append)

    assert what_to_do(alerts) == shown["what to do"]
    assert what_to_do(alerts).endswith("is in EUR, but the organization is billed in USD: give it a price in USD")
    assert trouble(deployment) == shown["message to the customer"]
    assert shown["message to the customer"] == (
        "We can't calculate this month's invoice yet and are looking into it. You won't be charged until it is correct."
    )
