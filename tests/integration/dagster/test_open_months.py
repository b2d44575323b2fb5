"""Open months stay current: a light run lands, rolls up and bills what changed, and no run starts if nothing did."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from dagster import (
    AssetKey,
    DagsterRun,
    DagsterRunStatus,
    ExecuteInProcessResult,
    RunRequest,
    SensorDefinition,
    build_sensor_context,
)

from fly_billing.assets.run_report import REPORTED_BY_SENSOR
from fly_billing.open_months.changes import groups_to_bill_again
from fly_billing.ops.old_runs import delete_old_runs
from fly_billing.periods import BillingMonth
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.billing_terms import BillingTerms
from fly_billing.resources.clock import Clock
from fly_billing.resources.usage_store import UsageStore
from fly_billing.sensors.keep_open_months_current import update_sensors
from fly_billing.statements.statement_reader import read_statement
from tests.support.deployment import Deployment, machine_seconds

OCTOBER, NOVEMBER = BillingMonth(2026, 10), BillingMonth(2026, 11)
DAY = date(2026, 11, 10)
NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
# Half of the 2,592,000 Machine seconds of $2.02: $1.01.
HALF, QUARTER = "1296000", "648000"


@pytest.fixture
def platform(deployment: Deployment) -> Deployment:
    deployment.load_prices()
    for name in ("acme", "zeta"):
        deployment.add_organization(name)
    deployment.now = NOON
    return deployment


def sensor() -> SensorDefinition:
    (found,) = update_sensors(5)
    return found


def look(platform: Deployment) -> tuple[RunRequest | None, str]:
    """Return the run that a tick requests, and why it requests none."""
    resources = {
        "billing_postgres": BillingPostgres(url=platform.database_url),
        "billing_terms": BillingTerms(),
        "clock": Clock(fixed_at=platform.now.isoformat()),
        "usage_store": UsageStore(landing_dir=str(platform.landing_dir), lake_dir=str(platform.lake_dir)),
    }
    with build_sensor_context(instance=platform.instance, resources=resources) as context:
        tick = sensor().evaluate_tick(context)
    requests = list(tick.run_requests or [])
    return next(iter(requests), None), str(tick.skip_message)


def update(platform: Deployment, *, fails: bool = False) -> ExecuteInProcessResult:
    """Do what the next tick requests."""
    request, why = look(platform)
    assert request is not None, why
    return platform.run("update_open_months", request.tags, fails=fails)


def cents(platform: Deployment, *months: BillingMonth) -> dict[str, list[int]]:
    """Return the totals of each organization's open invoices, by month."""
    totals = [platform.totals(month) for month in months]
    assert {status for found in totals for status, _ in found.values()} == {"open"}
    return {name: [found[name][1] for found in totals] for name in ("acme", "zeta")}


def events(result: ExecuteInProcessResult) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return what the run recorded of assets: (asset, partition, metadata)."""
    found = []
    for event in result.all_events:
        if event.event_type_value in ("ASSET_MATERIALIZATION", "ASSET_OBSERVATION"):
            data: Any = event.event_specific_data
            recorded = getattr(data, "materialization", None) or data.asset_observation
            found.append((str(recorded.asset_key.to_user_string()), event.partition or "", recorded.metadata))
    return found


def test_a_file_is_on_the_statement_after_one_run_and_no_run_follows_it(platform: Deployment) -> None:
    platform.write_usage(DAY, [machine_seconds(1, "acme", NOON, HALF)])
    update(platform)
    assert platform.totals(NOVEMBER) == {"acme": ("open", 101), "zeta": ("open", 0)}
    assert look(platform) == (None, "no new or changed files, no usage to roll up, no changed prices or terms")

    platform.write_usage(DAY, [machine_seconds(2, "zeta", NOON, QUARTER)], "second.jsonl")
    update(platform)
    assert platform.totals(NOVEMBER) == {"acme": ("open", 101), "zeta": ("open", 51)}
    assert look(platform)[0] is None


def test_a_run_records_only_the_days_that_it_landed_and_one_observation_per_asset_and_month(
    platform: Deployment,
) -> None:
    platform.write_usage(DAY, [machine_seconds(1, "acme", NOON, HALF)])
    update(platform)
    platform.write_usage(DAY, [machine_seconds(2, "zeta", NOON, QUARTER)], "second.jsonl")
    recorded = events(update(platform))
    assert [(asset, partition) for asset, partition, _ in recorded] == [
        ("usage_events", "2026-11-10"), ("usage_rollups", ""), ("invoices", "")
    ]  # fmt: skip
    landed, rolled_up, billed = ({name: value.value for name, value in each.items()} for _, _, each in recorded)
    assert (landed["files"], landed["accepted"]) == (2, 2)
    assert (rolled_up["month"], rolled_up["organizations_rolled_up"]) == ("2026-11", 1)
    assert (billed["month"], billed["invoices"], billed["invoices_calculated"]) == ("2026-11", 2, 1)


def test_a_late_file_of_an_older_day_and_one_of_last_month_in_its_grace_period_are_billed(platform: Deployment) -> None:
    platform.now = datetime(2026, 11, 2, 12, tzinfo=UTC)
    october = datetime(2026, 10, 30, tzinfo=UTC)
    platform.write_usage(date(2026, 10, 30), [machine_seconds(1, "acme", october, HALF)])
    platform.write_usage(date(2026, 11, 2), [machine_seconds(2, "acme", platform.now, QUARTER)])
    update(platform)
    assert cents(platform, OCTOBER, NOVEMBER) == {"acme": [101, 51], "zeta": [0, 0]}

    platform.write_usage(date(2026, 11, 1), [machine_seconds(3, "zeta", october, HALF)])
    recorded = events(update(platform))
    assert [(each["month"].value, each["organizations_rolled_up"].value) for asset, _, each in recorded
            if asset == "usage_rollups"] == [("2026-10", 1)]  # fmt: skip
    assert cents(platform, OCTOBER, NOVEMBER) == {"acme": [101, 51], "zeta": [101, 0]}


def test_a_month_stays_open_although_its_grace_period_ends_between_two_runs(platform: Deployment) -> None:
    """Closing is the nightly schedule's work: it waits for every landing day."""
    platform.now = datetime(2026, 11, 3, 23, 55, tzinfo=UTC)
    platform.write_usage(date(2026, 10, 30), [machine_seconds(1, "acme", datetime(2026, 10, 30, tzinfo=UTC), HALF)])
    update(platform)
    platform.now = datetime(2026, 11, 4, 0, 5, tzinfo=UTC)
    platform.write_usage(date(2026, 11, 4), [machine_seconds(2, "acme", platform.now, QUARTER)])
    update(platform)
    assert cents(platform, OCTOBER, NOVEMBER) == {"acme": [101, 51], "zeta": [0, 0]}


def test_changed_terms_are_billed_without_new_usage_and_only_once(platform: Deployment) -> None:
    platform.write_usage(DAY, [machine_seconds(1, "acme", NOON, HALF)])
    update(platform)
    platform.execute(
        "insert into one_off_items (id, organization_id, description, amount, currency, occurred_at)"
        " values (gen_random_uuid(), 'zeta', 'Migration', 5, 'USD', '2026-11-09Z')"
    )
    update(platform)
    assert platform.totals(NOVEMBER) == {"acme": ("open", 101), "zeta": ("open", 500)}
    assert look(platform)[0] is None
    platform.execute("update organizations set currency = 'EUR' where id = 'zeta'")
    assert look(platform)[0] is not None


def test_usage_that_an_hourly_landing_brought_is_billed(platform: Deployment) -> None:
    update(platform)  # the first one finds new terms
    platform.write_usage(DAY, [machine_seconds(1, "acme", NOON, HALF)])
    platform.land(DAY, DAY)
    update(platform)
    assert platform.totals(NOVEMBER) == {"acme": ("open", 101), "zeta": ("open", 0)}
    assert look(platform)[0] is None


def test_a_look_that_finds_nothing_new_is_on_the_statement_without_a_run(platform: Deployment) -> None:
    """All days up to the 9th have landed. Today's folder is the same at 12:05 as at noon."""
    platform.land(date(2026, 11, 1), date(2026, 11, 9))
    platform.write_usage(DAY, [machine_seconds(1, "acme", NOON, HALF)])
    update(platform)
    platform.now = NOON + timedelta(minutes=5)
    assert look(platform)[0] is None
    statement = read_statement(platform.database, "acme", platform.now)
    assert statement.completeness is not None
    assert statement.completeness.in_words() == (
        "Includes all usage received by 2026-11-10 12:05 UTC. Last received: usage.jsonl on 2026-11-10 by 12:05."
    )


@pytest.mark.parametrize("gone", ["the landing folder", "an empty share in its place", "today's folder"])
def test_a_look_at_a_folder_that_is_gone_is_not_on_the_statement(platform: Deployment, gone: str) -> None:
    """Nothing can be seen from 18:00 on: usage is included until 12:00, when the folder was last there."""
    platform.write_usage(DAY - timedelta(days=1), [machine_seconds("before", "acme", NOVEMBER.start, QUARTER)])
    platform.write_usage(DAY, [machine_seconds("first", "acme", NOVEMBER.start, HALF)])
    update(platform)
    folder = platform.landing_dir / DAY.isoformat() if gone == "today's folder" else platform.landing_dir
    folder.rename(platform.landing_dir.with_name("elsewhere"))
    if gone == "an empty share in its place":
        folder.mkdir()
    platform.now = NOON + timedelta(hours=6)
    assert look(platform)[0] is None
    (today,) = platform.execute("select landed_at from landing_days where landing_day = '2026-11-10'")
    assert today["landed_at"] == NOON


def test_an_organization_that_is_created_after_a_month_needs_no_update_of_it(platform: Deployment) -> None:
    """zeta used October; then its creation is corrected to 1 November. October is not rolled up for it any more."""
    platform.now = datetime(2026, 11, 2, 12, tzinfo=UTC)
    platform.write_usage(platform.now.date(), [machine_seconds("october", "zeta", OCTOBER.start, HALF)])
    update(platform)
    platform.execute("update organizations set created_at = '2026-11-01Z' where id = 'zeta'")
    platform.write_usage(platform.now.date(), [machine_seconds("later", "acme", OCTOBER.start, HALF)], "more.jsonl")
    update(platform)
    assert look(platform)[0] is None


@pytest.mark.parametrize(
    ("job", "month", "waits"),
    [("update_open_months", None, True), ("bill_month", "2026-11", True), ("bill_month", "2026-09", False)],
)
def test_no_run_starts_while_one_is_going_or_while_an_open_month_is_billed(
    platform: Deployment, job: str, month: str | None, waits: bool
) -> None:
    platform.write_usage(DAY, [machine_seconds(1, "acme", NOON, HALF)])
    tags = {"fly_billing/month": month} if month else {}
    run = platform.instance.add_run(DagsterRun(job_name=job, status=DagsterRunStatus.STARTED, tags=tags))
    request, why = look(platform)
    assert (request is None) is waits
    assert not waits or why == f"run {run.run_id[:8]} of {job} is not done: the next tick looks again"


def test_a_day_that_cannot_be_landed_fails_the_run_and_is_tried_again_when_its_files_change(
    platform: Deployment,
) -> None:
    """The file of 9 November had usage, and is damaged now. That of the 10th is billed all the same."""
    ninth = date(2026, 11, 9)
    platform.write_usage(ninth, [machine_seconds(1, "acme", NOON - timedelta(days=1), HALF)])
    update(platform)
    (platform.landing_dir / "2026-11-09" / "usage.jsonl").unlink()
    os.mkfifo(platform.landing_dir / "2026-11-09" / "usage.jsonl")
    platform.write_usage(DAY, [machine_seconds(2, "zeta", NOON, QUARTER)])
    update(platform, fails=True)
    assert cents(platform, NOVEMBER) == {"acme": [101], "zeta": [51]}

    update(platform, fails=True)  # of 9 November alone
    request, why = look(platform)
    assert (request, why.split(" failed, ")[1]) == (None, "and nothing changed since: again after an hour")


def test_an_organization_without_a_price_fails_the_run_and_is_told_by_another_alert(platform: Deployment) -> None:
    unpriced = machine_seconds(1, "acme", NOON, HALF)
    unpriced["data"]["region"] = "moon"
    platform.write_usage(DAY, [unpriced, machine_seconds(2, "zeta", NOON, QUARTER)])
    result = update(platform, fails=True)
    (failed,) = [event.step_failure_data.user_failure_data for event in result.all_events if event.is_step_failure]
    assert failed is not None
    assert "acme" in str(failed.description) and str(failed.description).endswith("; everything else is up to date")
    assert REPORTED_BY_SENSOR in failed.metadata
    assert platform.totals(NOVEMBER)["zeta"] == ("open", 51)


def test_while_an_organization_cannot_be_billed_a_run_bills_only_what_changed(platform: Deployment) -> None:
    """acme has unpriced usage in October. Only November has new usage, so October's invoices are not compared again."""
    platform.now = datetime(2026, 11, 2, 12, tzinfo=UTC)
    unpriced = machine_seconds(1, "acme", datetime(2026, 10, 30, tzinfo=UTC), HALF)
    unpriced["data"]["region"] = "moon"
    platform.write_usage(date(2026, 10, 30), [unpriced])
    update(platform, fails=True)
    assert look(platform)[0] is None
    platform.write_usage(date(2026, 11, 2), [machine_seconds(2, "zeta", platform.now, QUARTER)])
    assert months_of(update(platform)) == ["2026-11"]


def test_an_organization_that_cannot_be_billed_is_tried_again_after_an_hour(platform: Deployment) -> None:
    unpriced = machine_seconds(1, "acme", NOON, HALF)
    unpriced["data"]["region"] = "moon"
    platform.write_usage(DAY, [unpriced, machine_seconds(2, "zeta", NOON, QUARTER)])
    update(platform, fails=True)
    platform.now = NOON + timedelta(minutes=59)
    assert look(platform)[0] is None
    platform.now = NOON + timedelta(minutes=61)
    update(platform, fails=True)
    assert platform.execute("select failed_at from billing_failures") == [{"failed_at": platform.now}]
    assert look(platform)[0] is None


def test_a_failure_of_an_organization_that_another_one_pays_for_now_starts_no_runs_of_its_own(
    platform: Deployment,
) -> None:
    """acme's failure stays until its payer zeta is billed."""
    unpriced = machine_seconds(1, "acme", NOON, HALF)
    unpriced["data"]["region"] = "moon"
    platform.write_usage(DAY, [unpriced])
    update(platform, fails=True)
    platform.execute("insert into organization_links values ('acme', 'zeta', '2026-11-01')")
    platform.now = NOON + timedelta(minutes=50)
    update(platform, fails=True)
    failures = platform.execute("select organization_id from billing_failures order by 1")
    assert failures == [{"organization_id": "acme"}, {"organization_id": "zeta"}]
    platform.now = NOON + timedelta(minutes=70)
    assert (look(platform)[0], groups_to_bill_again(platform.database, [NOVEMBER], platform.now)) == (None, {})
    platform.now = NOON + timedelta(minutes=111)
    assert list(groups_to_bill_again(platform.database, [NOVEMBER], platform.now).values()) == [["zeta"]]


def months_of(result: ExecuteInProcessResult) -> list[str]:
    """Return the months that the run billed."""
    return [each["month"].value for asset, _, each in events(result) if asset == "invoices"]


def test_a_landing_folder_that_cannot_be_read_starts_no_run(platform: Deployment) -> None:
    platform.landing_dir.rmdir()
    platform.landing_dir.write_text("a file in its place", encoding="utf-8")
    request, why = look(platform)
    assert request is None
    assert why.startswith(f"the landing folder {platform.landing_dir}")


def test_old_light_runs_are_deleted_except_the_one_that_has_the_last_event_of_a_source(platform: Deployment) -> None:
    """The runs are of today, and the last one landed the newest usage. In 31 days, the others are deleted."""
    runs = []
    for number in range(3):
        platform.write_usage(DAY, [machine_seconds(number, "acme", NOON, QUARTER)], f"{number}.jsonl")
        runs.append(update(platform).run_id)
    nightly = platform.bill(NOVEMBER).run_id
    landed = platform.instance.get_latest_materialization_event(AssetKey("usage_events"))
    assert landed is not None and landed.run_id == runs[2]

    now, sources = datetime.now(UTC), [AssetKey("usage_events"), AssetKey("nothing_landed")]
    assert delete_old_runs(platform.instance, "update_open_months", now + timedelta(days=29), sources) == 0
    assert delete_old_runs(platform.instance, "update_open_months", now + timedelta(days=31), sources) == 2
    assert [platform.instance.has_run(run_id) for run_id in [*runs, nightly]] == [False, False, True, True]


def test_with_0_minutes_usage_lands_hourly_as_before() -> None:
    assert update_sensors(0) == []
    assert sensor().minimum_interval_seconds == 300
