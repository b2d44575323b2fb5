"""Dagster's partitions begin with the platform's first month, so no earlier month counts as missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    RepositoryDefinition,
    RunsFilter,
    ScheduleDefinition,
    build_schedule_context,
    build_sensor_context,
)

from fly_billing.definitions import build_defs
from fly_billing.jobs import close_months_nightly, land_usage_hourly, sync_months_hourly
from fly_billing.partition_start import first_partition
from fly_billing.partitions import RANGE_END, RANGE_START
from fly_billing.periods import FIRST_MONTH, BillingMonth
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.billing_terms import BillingTerms
from fly_billing.resources.clock import Clock
from fly_billing.resources.usage_store import UsageStore
from fly_billing.sensors.register_new_organizations import register_new_organizations
from tests.support.alert_servers import Webhook
from tests.support.dagster_pages import IN_MEMORY, Pages, open_pages
from tests.support.deployment import Deployment, machine_seconds

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:dagster.*")
MARCH, JUNE, AUGUST, SEPTEMBER, NOVEMBER = (BillingMonth(2026, number) for number in (3, 6, 8, 9, 11))
OF_MONTHS = ("stripe_reconciliation", "finance_months", "finance_journals")
OF_GROUPS = ("usage_rollups", "invoices", "stripe_invoices")


@contextmanager
def pages_of(deployment: Deployment, folder: Path) -> Iterator[Pages]:
    home = folder / "dagster_of_pages"
    home.mkdir()
    with DagsterInstance.local_temp(str(home), overrides=IN_MEMORY) as instance:
        deployment.instance = instance
        deployment.register_organizations()
        with open_pages(deployment, instance, folder) as pages:
            yield pages


def start_in_september(deployment: Deployment) -> None:
    """An organization's first Machine ran in September: $2.02."""
    deployment.load_prices()
    deployment.add_organization("acme", created_at=SEPTEMBER.start)
    deployment.write_usage(date(2026, 9, 2), [machine_seconds(1, "acme", SEPTEMBER.start, "2592000")])
    deployment.land_month(SEPTEMBER)


def resources(deployment: Deployment, webhook: Webhook | None = None) -> dict[str, object]:
    return {
        "alerts": Alerts(alert_webhook_url=webhook.url if webhook else None),
        "billing_postgres": BillingPostgres(url=deployment.database_url),
        "clock": Clock(fixed_at=deployment.now.isoformat()),
        "usage_store": UsageStore(landing_dir=str(deployment.landing_dir), lake_dir=str(deployment.lake_dir)),
    }


def first_month(deployment: Deployment) -> BillingMonth:
    return first_month_in(repository_of(deployment))


def first_month_in(repository: RepositoryDefinition) -> BillingMonth:
    with build_schedule_context(repository_def=repository) as context:
        return first_partition(context)


def repository_of(deployment: Deployment) -> RepositoryDefinition:
    """Load the code location, as a process does that starts now."""
    return build_defs(resources(deployment)).get_repository_def()


def due_by(deployment: Deployment, schedule: ScheduleDefinition, loaded: RepositoryDefinition) -> list[str]:
    """Return the months or first landing days that a tick requests in a code location that was loaded earlier."""
    with build_schedule_context(
        instance=deployment.instance,
        repository_def=loaded,
        scheduled_execution_time=deployment.now,
        resources={**resources(deployment), "billing_terms": BillingTerms()},
    ) as context:
        requests = schedule.evaluate_tick(context).run_requests or []
    return [request.tags.get("fly_billing/month", request.tags[RANGE_START]) for request in requests]


def test_no_month_before_the_first_usage_is_missing_on_the_assets_pages(deployment: Deployment, tmp_path: Path) -> None:
    start_in_september(deployment)
    with pages_of(deployment, tmp_path) as pages:
        pages.asset_page(OF_GROUPS[:2], ["2026-09-01|acme"])
        shown = {asset: pages.partitions(asset) for asset in (*OF_GROUPS, *OF_MONTHS, "usage_events")}

    assert {asset: keys[0] for asset, (keys, _) in shown.items()} == {
        **dict.fromkeys(OF_GROUPS, "2026-09-01|acme"),
        **dict.fromkeys((*OF_MONTHS, "usage_events"), "2026-09-01"),
    }
    keys, materialized = shown["invoices"]
    assert keys[:3] == ["2026-09-01|acme", "2026-10-01|acme", "2026-11-01|acme"]
    assert materialized == 1
    assert deployment.totals(SEPTEMBER) == {"acme": ("finalized", 202)}


def test_partitions_begin_with_the_earliest_of_usage_invoices_and_landing_folders(deployment: Deployment) -> None:
    assert first_month(deployment) == FIRST_MONTH, "nothing is known yet, so nothing is left out"

    start_in_september(deployment)
    assert first_month(deployment) == SEPTEMBER

    deployment.write_usage(date(2026, 8, 31), [])
    assert first_month(deployment) == BillingMonth(2026, 8)

    deployment.write_usage(date(2026, 9, 3), [machine_seconds(2, "acme", MARCH.start, "60")], "late.jsonl")
    deployment.land(date(2026, 9, 3), date(2026, 9, 3))
    assert first_month(deployment) == BillingMonth(2026, 8), "usage from before the organization existed is rejected"

    deployment.execute(
        "insert into invoices (id, organization_id, month, status, currency, amount, total_cents, computed_at)"
        " values (gen_random_uuid(), 'acme', '2026-03-01', 'open', 'USD', 0, 0, now())"
    )
    assert first_month(deployment) == MARCH


def test_months_that_can_still_be_closed_have_partitions_before_the_first_usage(deployment: Deployment) -> None:
    """The subscription of an old organization is billed for the last months, also if its usage begins later."""
    deployment.load_prices()
    deployment.add_organization("acme", created_at=datetime(2020, 1, 1, tzinfo=UTC))
    deployment.write_usage(date(2026, 11, 2), [machine_seconds(1, "acme", NOVEMBER.start, "60")])

    due = due_by(deployment, close_months_nightly, repository_of(deployment))

    assert (first_month(deployment), due) == (AUGUST, ["2026-08", "2026-09", "2026-10"])


def test_an_earlier_month_is_billed_by_command_and_alerted_until_the_code_location_reloads(
    deployment: Deployment, webhook: Webhook
) -> None:
    """Usage of June lands after the code location loaded, which began with September."""
    start_in_september(deployment)
    loaded = repository_of(deployment)
    deployment.execute("update organizations set created_at = '2026-06-01Z'")
    deployment.write_usage(date(2026, 6, 2), [machine_seconds(2, "acme", JUNE.start, "2592000")])

    assert "2026-06-02" not in due_by(deployment, land_usage_hourly, loaded)
    for _ in range(2):
        used = {name: each for name, each in resources(deployment, webhook).items() if name != "clock"}
        with build_sensor_context(deployment.instance, repository_def=loaded) as context:
            register_new_organizations(context, **used, billing_terms=BillingTerms())
    (alert,) = deployment.execute("select subject, body from alerts where channel = 'webhook'")
    assert alert["subject"] == "2026-06 has usage or invoices, but Dagster's partitions begin with 2026-09"
    assert "fly-billing bill 2026-06" in alert["body"]

    deployment.land_month(JUNE)
    deployment.bill(JUNE)
    assert deployment.totals(JUNE) == {"acme": ("finalized", 202)}
    assert due_by(deployment, sync_months_hourly, loaded) == []
    assert due_by(deployment, sync_months_hourly, repository_of(deployment)) == ["2026-06"]


def test_every_month_has_partitions_while_the_database_is_unreachable(deployment: Deployment) -> None:
    start_in_september(deployment)
    down = {**resources(deployment), "billing_postgres": BillingPostgres(url="postgresql://x@127.0.0.1:1/x")}
    repository = build_defs(down).get_repository_def()
    assert first_month_in(repository) == FIRST_MONTH


def test_a_launchpad_refuses_a_month_before_the_first_partition(deployment: Deployment, tmp_path: Path) -> None:
    start_in_september(deployment)
    ranged = {RANGE_START: "2026-03-01|acme", RANGE_END: "2026-03-01|acme"}
    single = {
        "dagster/partition": "2026-03-01|acme",
        "dagster/partition/month": "2026-03-01",
        "dagster/partition/org": "acme",
    }
    with pages_of(deployment, tmp_path) as pages:
        with pytest.raises(
            AssertionError, match="2026-03-01 is before the partitions definition start time 2026-09-01"
        ):
            pages.launchpad("bill_month", ranged)
        (run,) = pages.launchpad("bill_month", single)

        (stored,) = deployment.instance.get_runs(RunsFilter(run_ids=[run.run_id]))
        assert stored.status == DagsterRunStatus.FAILURE
    assert deployment.execute("select * from invoices") == []
