"""A month is synced right after it is closed, once per run, and never while it is open."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest
from dagster import DagsterInstance, ExecuteInProcessResult, RunRequest, SkipReason, build_run_status_sensor_context

from fly_billing.periods import BillingMonth
from fly_billing.postgres.connections.problems import DatabaseProblem
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.sensors.sync_closed_months import sync_closed_months
from tests.support.deployment import Deployment, machine_seconds

OCTOBER = BillingMonth(2026, 10)


def requested(deployment: Deployment, result: ExecuteInProcessResult) -> list[RunRequest]:
    """Return the runs that the sensor requests after this run. Without any, it skips."""
    instance: DagsterInstance = deployment.instance
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    with build_run_status_sensor_context(
        sensor_name="sync_closed_months",
        dagster_event=result.get_run_success_event(),
        dagster_instance=instance,
        dagster_run=run,
        resources={"billing_postgres": BillingPostgres(url=deployment.database_url)},
    ) as context:
        outcome = sync_closed_months(context)
        assert isinstance(outcome, Iterator)
        found = list(outcome)
    assert found
    requests = [request for request in found if isinstance(request, RunRequest)]
    assert requests or all(isinstance(result, SkipReason) for result in found)
    return requests


def test_a_tick_fails_while_the_billing_database_is_unreachable(deployment: Deployment) -> None:
    deployment.add_organization("acme")
    deployment.land_month(OCTOBER)
    billed = deployment.bill(OCTOBER)
    deployment.database_url = "postgresql://billing@127.0.0.1:1/billing"
    with pytest.raises(DatabaseProblem, match="DATABASE_URL"):
        requested(deployment, billed)


def test_closing_a_month_requests_its_sync_until_stripe_has_its_invoices(deployment: Deployment) -> None:
    """acme uses half of the 2,592,000 Machine seconds of $2.02: $1.01."""
    deployment.load_prices()
    deployment.add_organization("acme")
    usage = [machine_seconds(1, "acme", datetime(2026, 10, 5, tzinfo=UTC), "1296000")]
    deployment.write_usage(date(2026, 10, 5), usage)
    deployment.land_month(OCTOBER)
    closed, deployment.now = deployment.now, datetime(2026, 11, 3, tzinfo=UTC)
    assert requested(deployment, deployment.bill(OCTOBER)) == []  # the grace period is not over

    deployment.now = closed
    billed = deployment.bill(OCTOBER)
    (request,) = requested(deployment, billed)
    assert request.run_key == f"2026-10 billed by {billed.run_id}"
    assert requested(deployment, billed)[0].run_key == request.run_key  # Dagster starts one run per key
    assert request.tags["fly_billing/month"] == "2026-10"

    deployment.run("sync_month", request.tags)
    (invoice,) = deployment.execute("select state, stripe_total_cents from stripe_invoices")
    assert dict(invoice) == {"state": "finalized", "stripe_total_cents": 101}
    assert requested(deployment, deployment.bill(OCTOBER)) == []
