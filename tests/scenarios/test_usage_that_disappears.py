"""Through Dagster: usage of a final month disappears, no customer gets a refund, and one alert is sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from dagster import (
    AssetCheckSeverity,
    ExecuteInProcessResult,
    RunRequest,
    build_schedule_context,
    build_sensor_context,
)

from fly_billing.jobs import close_months_nightly
from fly_billing.periods import BillingMonth
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.billing_terms import BillingTerms
from fly_billing.sensors.alert_on_failed_check import alert_on_failed_check
from fly_billing.sensors.alert_on_held_corrections import alert_on_held_corrections
from tests.support.deployment import Deployment, machine_seconds

OCTOBER, NOVEMBER = BillingMonth(2026, 10), BillingMonth(2026, 11)
TEN = [f"org-{number}" for number in range(10)]
DAY = date(2026, 10, 9)
# A month of 30 days of the smallest Machine: $2.02 each, $20.20 in all.
USAGE = [machine_seconds(name, name, datetime(2026, 10, 9, tzinfo=UTC), "2592000") for name in TEN]


def waits(result: ExecuteInProcessResult) -> Any:
    (check,) = [
        evaluation
        for evaluation in result.get_asset_check_evaluations()
        if evaluation.check_name == "no_correction_waits_for_approval"
    ]
    return check


def adjustments(deployment: Deployment) -> Decimal | None:
    (row,) = deployment.execute("select sum(amount) as amount from adjustments")
    amount: Decimal | None = row["amount"]
    return amount


def look(deployment: Deployment, sensor: Any, cursor: str | None) -> str | None:
    resources = {"billing_postgres": BillingPostgres(url=deployment.database_url), "alerts": Alerts()}
    with build_sensor_context(deployment.instance, cursor=cursor, resources=resources) as context:
        return str(sensor.evaluate_tick(context).cursor)


def close_months(deployment: Deployment) -> Sequence[RunRequest]:
    """Return the runs that the schedule of the fifth night after October requests."""
    with build_schedule_context(
        deployment.instance,
        scheduled_execution_time=datetime(2026, 11, 6, 4, tzinfo=UTC),
        resources={"billing_postgres": BillingPostgres(url=deployment.database_url), "billing_terms": BillingTerms()},
    ) as context:
        return close_months_nightly.evaluate_tick(context).run_requests or []


def test_a_final_months_usage_that_disappears_and_returns_books_nothing(deployment: Deployment) -> None:
    deployment.load_prices()
    for name in TEN:
        deployment.add_organization(name, created_at=datetime(2026, 10, 5, tzinfo=UTC))
    deployment.write_usage(DAY, USAGE)
    deployment.land_month(OCTOBER)
    deployment.bill(OCTOBER)
    before = deployment.totals(OCTOBER)
    assert before == dict.fromkeys(TEN, ("finalized", 202))
    checked = look(deployment, alert_on_failed_check, None)

    deployment.write_usage(DAY, [])
    deployment.land(DAY, DAY)
    result = deployment.bill(OCTOBER)
    check = waits(result)
    assert (check.passed, check.severity) == (False, AssetCheckSeverity.WARN)
    assert "fly-billing approve-corrections 2026-10 --total 20.20" in str(check.metadata["first_of_them"].value)
    assert "10 corrections wait" in str(check.metadata["corrections that wait"].value)
    others = [
        evaluation
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed and evaluation != check
    ]
    assert others == []
    assert adjustments(deployment) is None

    cursor = look(deployment, alert_on_held_corrections, None)
    assert look(deployment, alert_on_held_corrections, cursor) == cursor
    deployment.bill(OCTOBER)
    assert look(deployment, alert_on_held_corrections, cursor) == cursor
    assert int(cursor or 0) == 10
    assert '"alerted": []' in str(look(deployment, alert_on_failed_check, checked))  # one alert, not two

    deployment.bill(NOVEMBER)
    assert {total for _, total in deployment.totals(NOVEMBER).values()} <= {0}
    requests = close_months(deployment)
    assert [request.tags["fly_billing/month"] for request in requests] == ["2026-10"]

    deployment.write_usage(DAY, USAGE)
    deployment.land(DAY, DAY)
    assert waits(deployment.bill(OCTOBER)).passed
    assert adjustments(deployment) is None
    assert deployment.totals(OCTOBER) == before
    assert not close_months(deployment)
