"""Rejected usage through Dagster: a check warns and an alert is sent once, until the rows are fixed or waived."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from dagster import AssetCheckEvaluation, AssetCheckSeverity, ExecuteInProcessResult, build_sensor_context

from fly_billing.periods import BillingMonth
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.sensors.alert_on_failed_check import alert_on_failed_check
from fly_billing.sensors.alert_on_rejected_usage import alert_on_rejected_usage
from fly_billing.usage.rejections import waive
from tests.support.deployment import Deployment, machine_seconds

OCTOBER = BillingMonth(2026, 10)
DAY, NEXT_DAY = date(2026, 10, 9), date(2026, 10, 10)


def naive(name: str) -> dict[str, Any]:
    """Return a month of 30 days of the smallest Machine, $2.02, whose time has no offset."""
    return {**machine_seconds(name, "acme", datetime(2026, 10, 9), "2592000")}  # noqa: DTZ001 the fault


def resolved(result: ExecuteInProcessResult) -> AssetCheckEvaluation:
    (check,) = [
        evaluation
        for evaluation in result.get_asset_check_evaluations()
        if evaluation.check_name == "rejected_rows_are_fixed_or_waived"
    ]
    return check


def look(deployment: Deployment, sensor: Any, cursor: str | None) -> str | None:
    resources = {"billing_postgres": BillingPostgres(url=deployment.database_url), "alerts": Alerts()}
    with build_sensor_context(deployment.instance, cursor=cursor, resources=resources) as context:
        return str(sensor.evaluate_tick(context).cursor)


def test_rejected_usage_warns_until_it_is_fixed_or_waived(deployment: Deployment) -> None:
    deployment.load_prices()
    deployment.add_organization("acme")
    checked = look(deployment, alert_on_failed_check, None)
    assert resolved(deployment.land(DAY, DAY)).passed
    deployment.write_usage(DAY, [naive("e1")])
    check = resolved(deployment.land(DAY, DAY))
    assert (check.passed, check.severity) == (False, AssetCheckSeverity.WARN)
    assert "$2.02" in str(check.metadata["first_of_them"].value).replace("\\", "")
    cursor = look(deployment, alert_on_rejected_usage, None)
    assert cursor == '[["usage.jsonl", "bad_time"]]'

    check = resolved(deployment.land(NEXT_DAY, NEXT_DAY))  # another day is valid, this one is not
    assert not check.passed
    assert '"alerted": []' in str(look(deployment, alert_on_failed_check, checked))  # one alert, not two

    now = datetime(2026, 10, 11, tzinfo=UTC)
    waive(deployment.database, "ann", "a test", now, source="usage.jsonl", reason="bad_time")
    assert resolved(deployment.land(NEXT_DAY, NEXT_DAY)).passed
    assert look(deployment, alert_on_rejected_usage, cursor) == "[]"

    deployment.write_usage(NEXT_DAY, [naive("e2")])
    assert not resolved(deployment.land(NEXT_DAY, NEXT_DAY)).passed  # the waiver does not cover it
    fixed = machine_seconds("e2", "acme", datetime(2026, 10, 9, tzinfo=UTC), "2592000")
    deployment.write_usage(NEXT_DAY, [fixed])
    assert resolved(deployment.land(NEXT_DAY, NEXT_DAY)).passed


def test_closing_a_month_names_the_rejected_usage_that_its_invoices_lack(deployment: Deployment) -> None:
    deployment.load_prices()
    deployment.add_organization("acme")
    deployment.write_usage(DAY, [naive("e1")])
    deployment.land_month(OCTOBER)
    result = deployment.bill(OCTOBER)
    (invoices,) = result.asset_materializations_for_node("invoices")
    assert invoices.metadata["rejected"].value == 1
    logged = [entry.user_message for entry in deployment.instance.all_logs(result.run_id)]
    named = "2026-10: rejected usage that is not billed: usage.jsonl, bad_time: 1 row of acme; estimate $2.02"
    assert named in logged
    assert deployment.totals(OCTOBER) == {"acme": ("finalized", 0)}
