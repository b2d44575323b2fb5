"""The nightly run that records what happened at Stripe and no event brought."""

from __future__ import annotations

from datetime import UTC, datetime

from dagster import build_schedule_context

from fly_billing.jobs import sweep_stripe_nightly
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.stripe_sandbox import SandboxServer
from tests.integration.dagster.test_definitions import OCTOBER, bill_one_machine
from tests.support.deployment import Deployment

NIGHT = datetime(2026, 11, 6, 5, 30, tzinfo=UTC)


def test_credit_given_in_the_dashboard_is_recorded_the_next_night_although_no_event_arrived(
    deployment: Deployment, sandbox: SandboxServer
) -> None:
    """$40.00 are given to acme. The night's run finds the change of the balance; the next night finds nothing new."""
    bill_one_machine(deployment)
    assert requested(deployment) == 0  # nobody has a customer in Stripe yet
    deployment.sync(OCTOBER)
    assert requested(deployment) == 1
    (invoice,) = sandbox.control.invoices()
    sandbox.control.act("credit", invoice["customer"], amount=4000)

    found = [missed(deployment) for _ in range(2)]

    assert found == [{"balances missed": 1, "invoices missed": 0}, {"balances missed": 0, "invoices missed": 0}]
    rows = deployment.execute("select organization_id, amount_cents, balance_cents, source from stripe_money")
    assert [tuple(row.values()) for row in rows] == [("acme", -4000, -4000, "sweep")]


def test_an_invoice_that_was_paid_without_an_event_is_paid_the_next_night(
    deployment: Deployment, sandbox: SandboxServer
) -> None:
    bill_one_machine(deployment)
    deployment.sync(OCTOBER)
    (invoice,) = sandbox.control.invoices()
    sandbox.control.act("mark-paid", invoice["id"])
    for _ in range(2):
        assert deployment.run("sweep_stripe", {}).success
    found = deployment.execute("select status from invoices where finalized_at is not null")
    assert [row["status"] for row in found] == ["paid"]


def test_a_sweep_that_cannot_read_stripe_fails_and_says_so(deployment: Deployment, sandbox: SandboxServer) -> None:
    bill_one_machine(deployment)
    deployment.sync(OCTOBER)
    sandbox.control.add_fault("error", "refunds.list", status=401, type="invalid_request_error", message="Expired key")

    result = deployment.run("sweep_stripe", {}, fails=True)

    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    (said,) = [failure.user_failure_data.description for failure in failures if failure.user_failure_data]
    assert said is not None
    assert said.startswith("Stripe could not be read, refund: authentication: Expired key")
    assert said.endswith("the next sweep reads it all again, and records nothing twice")


def test_a_failed_sweep_still_applies_the_payments_that_it_read(deployment: Deployment, sandbox: SandboxServer) -> None:
    """Invoices are read before refunds, and the list of refunds can't be read."""
    bill_one_machine(deployment)
    deployment.sync(OCTOBER)
    (invoice,) = sandbox.control.invoices()
    sandbox.control.act("mark-paid", invoice["id"])
    sandbox.control.add_fault("error", "refunds.list", status=401, type="invalid_request_error", message="Expired key")
    deployment.run("sweep_stripe", {}, fails=True)
    found = deployment.execute("select status from invoices where finalized_at is not null")
    assert [row["status"] for row in found] == ["paid"]


def requested(deployment: Deployment) -> int:
    """Count the runs that the schedule requests for the night."""
    with build_schedule_context(
        deployment.instance,
        resources={"billing_postgres": BillingPostgres(url=deployment.database_url)},
        scheduled_execution_time=NIGHT,
    ) as context:
        return len(sweep_stripe_nightly.evaluate_tick(context).run_requests or [])


def missed(deployment: Deployment) -> dict[str, object]:
    """Run the sweep; return how many states of balances and invoices no event had brought."""
    result = deployment.run("sweep_stripe", {})
    assert result.success
    (materialized,) = result.asset_materializations_for_node("stripe_money")
    found = {name: value.value for name, value in materialized.metadata.items()}
    return {name: found[name] for name in ("balances missed", "invoices missed")}
