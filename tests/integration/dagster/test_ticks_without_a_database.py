"""A tick that can't read the billing database fails, and so is red on the timeline: it never reports nothing to do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from dagster import (
    DagsterInstance,
    ScheduleDefinition,
    SensorDefinition,
    build_schedule_context,
    build_sensor_context,
)

from fly_billing.jobs import SCHEDULES
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.billing_terms import BillingTerms
from fly_billing.resources.clock import Clock
from fly_billing.resources.customer_alerts import CustomerAlerts
from fly_billing.resources.heartbeat import Heartbeat
from fly_billing.resources.stripe_account import StripeAccount
from fly_billing.resources.usage_store import UsageStore
from fly_billing.sensors import SENSORS
from fly_billing.sensors.keep_open_months_current import update_sensors

# These work without it: the first two post their alerts directly, the next two read no database, the next one opens it
# only to alert, and the last one is ticked by a run (`test_sync_after_close.py`).
WORK_WITHOUT = {
    "alert_on_failed_run", "alert_on_failed_check", "send_heartbeat", "read_platform_hourly", "alert_on_late_source",
    "sync_closed_months",
}  # fmt: skip
SECRET = {"fly_billing_cap_hook_secret": f"whsec_{'A' * 32}"}
RESOURCES: dict[str, Any] = {
    "alerts": Alerts(),
    "billing_postgres": BillingPostgres(url="postgresql://billing@127.0.0.1:1/billing"),
    "billing_terms": BillingTerms(),
    "clock": Clock(),
    "customer_alerts": CustomerAlerts(fly_billing_cap_hook_url="https://platform.example.com", **SECRET),
    "heartbeat": Heartbeat(),
    "stripe_account": StripeAccount(api_key="sk_test_world"),
    "usage_store": UsageStore(),
}


AUTOMATIONS: list[ScheduleDefinition | SensorDefinition] = [*SCHEDULES, *SENSORS, *update_sensors(5)]


def tick(automation: ScheduleDefinition | SensorDefinition) -> None:
    at = datetime(2026, 11, 5, tzinfo=UTC)
    with DagsterInstance.ephemeral() as instance:
        if isinstance(automation, ScheduleDefinition):
            with build_schedule_context(instance, resources=RESOURCES, scheduled_execution_time=at) as context:
                automation.evaluate_tick(context)
        else:
            with build_sensor_context(instance, resources=RESOURCES) as context:
                automation.evaluate_tick(context)


@pytest.mark.parametrize(
    "automation",
    [each for each in AUTOMATIONS if each.name not in WORK_WITHOUT],
    ids=lambda automation: automation.name,
)
def test_a_tick_fails_while_the_billing_database_is_unreachable(
    automation: ScheduleDefinition | SensorDefinition,
) -> None:
    with pytest.raises(Exception) as failed:
        tick(automation)
    assert "DATABASE_URL" in f"{failed.value} {failed.value.__cause__}"


def test_every_other_sensor_is_named_with_its_reason() -> None:
    assert {automation.name for automation in AUTOMATIONS} >= WORK_WITHOUT
