"""The parts of the code location: a check, sensor or schedule that was written but not wired fails here."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from dagster import Definitions, ExecuteInProcessResult, RunRequest, ScheduleDefinition, build_schedule_context

from fly_billing.definitions import build_defs
from fly_billing.jobs import (
    bill_open_months_nightly,
    close_months_nightly,
    land_usage_hourly,
    maintain_usage_table_nightly,
    reconcile_months_nightly,
    sync_months_hourly,
)
from fly_billing.partitions import RANGE_END, RANGE_START
from fly_billing.periods import BillingMonth
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.billing_terms import BillingTerms
from fly_billing.resources.usage_store import UsageStore
from fly_billing.stripe_sandbox import SandboxServer
from tests.support.deployment import Deployment, machine_seconds
from tests.support.unguarded import damage

OCTOBER = BillingMonth(2026, 10)


@pytest.fixture(scope="module")
def definitions() -> Definitions:
    return build_defs()


def test_the_code_location_can_be_loaded(definitions: Definitions) -> None:
    Definitions.validate_loadable(definitions)


def test_assets_are_chained_from_the_usage_sources_to_the_reconciliation_with_stripe(definitions: Definitions) -> None:
    graph = definitions.resolve_asset_graph()

    parents = {
        key.to_user_string(): sorted(parent.to_user_string() for parent in graph.get(key).parent_keys)
        for key in graph.get_all_asset_keys()
    }

    assert parents == {
        "usage_sources": [],
        "platform_database": [],
        "platform_records": ["platform_database"],
        "organizations": ["platform_records"],
        "price_books": [],
        "usage_events": ["platform_records", "usage_sources"],
        "usage_table_files": ["usage_events"],
        "usage_rollups": ["organizations", "price_books", "usage_events"],
        "invoices": ["organizations", "price_books", "usage_rollups"],
        "stripe_invoices": ["invoices"],
        "stripe_account": ["stripe_invoices"],
        "stripe_reconciliation": ["stripe_account", "stripe_invoices"],
        "stripe_money": ["stripe_account"],
        "finance_months": ["invoices", "stripe_reconciliation"],
        "finance_journals": ["finance_months"],
    }


def test_every_stage_has_its_checks(definitions: Definitions) -> None:
    graph = definitions.resolve_asset_graph()

    checks = {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys}

    assert checks == {
        ("platform_records", "every_row_of_the_platform_is_taken"),
        ("usage_events", "every_landed_row_is_accepted_duplicate_or_rejected"),
        ("usage_events", "everything_in_the_landing_folder_is_understood"),
        ("usage_events", "rejected_rows_are_fixed_or_waived"),
        ("usage_rollups", "every_accepted_event_is_in_exactly_one_rollup"),
        ("invoices", "items_sum_to_the_total"),
        ("invoices", "every_rollup_is_priced_in_exactly_one_item"),
        ("invoices", "every_event_is_in_exactly_one_item"),
        ("invoices", "finalized_invoices_bill_all_usage_known_now"),
        ("invoices", "final_invoices_can_be_recalculated"),
        ("invoices", "changed_terms_of_closed_months_are_decided"),
        ("invoices", "no_correction_waits_for_approval"),
        ("stripe_invoices", "stripe_agrees_with_our_invoices"),
        ("finance_months", "revenue_and_tax_add_up_to_the_invoices"),
        ("finance_months", "ledger_balances"),
        ("finance_months", "recognized_deferred_and_breakage_are_what_was_billed"),
        ("finance_months", "owed_equals_what_stripe_asks_for"),
        ("finance_months", "stripe_balances_match"),
        ("finance_months", "trial_balance_is_zero"),
        ("stripe_reconciliation", "stripe_still_agrees_with_our_invoices"),
    }


def test_jobs_schedules_and_sensors_are_wired(definitions: Definitions) -> None:
    repository = definitions.get_repository_def()

    assert {
        "read_platform",
        "land_usage",
        "bill_month",
        "update_open_months",
        "maintain_usage_table",
        "sync_month",
        "reconcile_month",
        "sweep_stripe",
        "report_month",
    } <= set(repository.job_names)
    assert {schedule.name for schedule in repository.schedule_defs} == {
        "read_platform_hourly",
        "land_usage_hourly",
        "bill_open_months_nightly",
        "close_months_nightly",
        "maintain_usage_table_nightly",
        "sync_months_hourly",
        "reconcile_months_nightly",
        "sweep_stripe_nightly",
        "report_months_nightly",
    }
    assert {sensor.name for sensor in repository.sensor_defs} == {
        "alert_on_failed_check",
        "alert_on_failed_invoices",
        "alert_on_failed_payment",
        "alert_on_failed_run",
        "alert_on_failed_sync",
        "alert_on_held_corrections",
        "alert_on_open_credits",
        "alert_on_rejected_usage",
        "alert_on_late_source",
        "alert_on_silent_source",
        "alert_on_spend",
        "keep_open_months_current",
        "poll_stripe_events",
        "register_new_organizations",
        "send_alerts",
        "send_customer_alerts",
        "send_heartbeat",
        "sync_closed_months",
        "tell_about_late_payments",
    }


def test_every_asset_and_check_has_a_description(definitions: Definitions) -> None:
    graph = definitions.resolve_asset_graph()

    silent = [key for key in graph.get_all_asset_keys() if not graph.get(key).description]
    silent_checks = [key.name for key in graph.asset_check_keys if not graph.get_check_spec(key).description]

    assert silent == []
    assert silent_checks == []


def test_usage_is_landed_every_hour_for_yesterday_and_today_and_for_days_that_were_missed(
    deployment: Deployment,
) -> None:
    deployment.land(date(2026, 9, 1), date(2026, 10, 30))
    damage(deployment.database, "delete from landing_days where landing_day = '2026-10-14'")
    deployment.execute("update landing_days set landed_at = '2026-10-20 23:59Z' where landing_day = '2026-10-20'")

    requests = _evaluate(deployment, land_usage_hourly, datetime(2026, 11, 1, 0, 30, tzinfo=UTC))

    start, end = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
    assert [(request.tags[start], request.tags[end]) for request in requests] == [
        ("2026-10-14", "2026-10-14"),
        ("2026-10-20", "2026-10-20"),
        ("2026-10-31", "2026-11-01"),
    ]


def test_a_landing_folder_that_cannot_be_read_still_lands_yesterday_and_today(deployment: Deployment) -> None:
    """Their runs meet the same error and fail, which alerts. A tick that failed would alert nobody."""
    deployment.landing_dir.rmdir()
    deployment.landing_dir.write_text("a file in its place", encoding="utf-8")

    requests = _evaluate(deployment, land_usage_hourly, datetime(2026, 11, 1, 0, 30, tzinfo=UTC))

    days = [request.tags["dagster/asset_partition_range_end"] for request in requests]
    assert days[-1] == "2026-11-01"
    tags = {"dagster/asset_partition_range_start": "2026-11-01", "dagster/asset_partition_range_end": "2026-11-01"}
    result = deployment.run("land_usage", tags, fails=True)
    failed = next(event for event in result.all_events if event.is_step_failure)
    assert f"the landing folder {deployment.landing_dir}" in str(failed.step_failure_data)


def test_a_closed_month_runs_again_when_late_usage_landed(deployment: Deployment) -> None:
    deployment.load_prices()
    deployment.add_organization("acme", created_at=datetime(2026, 10, 5, tzinfo=UTC))
    deployment.land_month(OCTOBER)
    deployment.bill(OCTOBER)
    assert _evaluate(deployment, close_months_nightly, datetime(2026, 11, 6, 4, tzinfo=UTC)) == []

    deployment.now = datetime(2026, 11, 8, tzinfo=UTC)
    late = machine_seconds("late", "acme", datetime(2026, 10, 9, tzinfo=UTC), "60")
    deployment.write_usage(date(2026, 11, 7), [late])
    deployment.land(date(2026, 11, 7), date(2026, 11, 7))

    (request,) = _evaluate(deployment, close_months_nightly, datetime(2026, 11, 9, 4, tzinfo=UTC))
    assert request.tags["fly_billing/month"] == "2026-10"
    deployment.now = datetime(2026, 11, 9, 4, tzinfo=UTC)
    deployment.run("bill_month", request.tags)
    assert _evaluate(deployment, close_months_nightly, datetime(2026, 11, 10, 4, tzinfo=UTC)) == []


def test_the_nightly_schedule_bills_the_current_month_and_the_one_in_its_grace_period_in_one_run_each(
    deployment: Deployment,
) -> None:
    deployment.add_organization("acme")
    deployment.add_organization("zeta")

    requests = _evaluate(deployment, bill_open_months_nightly, datetime(2026, 11, 2, 2, tzinfo=UTC))

    assert [request.tags["fly_billing/month"] for request in requests] == ["2026-10", "2026-11"]
    assert requests[0].tags["dagster/asset_partition_range_start"] == "2026-10-01|acme"
    assert requests[0].tags["dagster/asset_partition_range_end"] == "2026-10-01|zeta"


def test_a_month_that_is_divided_among_two_runs_is_closed_by_both_and_each_organization_once(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each used a Machine for a million seconds; Dagster has the groups in the order in which they were added."""
    monkeypatch.setenv("FLY_BILLING_RUNS_PER_MONTH", "2")
    deployment.load_prices()
    names = ["zeta", "acme", "beta", "mid"]
    for number, name in enumerate(names):
        deployment.add_organization(name, created_at=datetime(2026, 10, 1, number, tzinfo=UTC))
    moment = datetime(2026, 10, 5, tzinfo=UTC)
    deployment.write_usage(moment.date(), [machine_seconds(name, name, moment, "1000000") for name in names])
    deployment.land_month(OCTOBER)
    night = datetime(2026, 11, 4, 4, tzinfo=UTC)

    first, second = _evaluate(deployment, close_months_nightly, night)
    assert [(run.tags[RANGE_START], run.tags[RANGE_END]) for run in (first, second)] == [
        ("2026-10-01|zeta", "2026-10-01|acme"), ("2026-10-01|beta", "2026-10-01|mid")
    ]  # fmt: skip
    assert first.run_key != second.run_key
    deployment.run("bill_month", second.tags)
    assert deployment.totals(OCTOBER).keys() == {"beta", "mid"}
    again, _ = _evaluate(deployment, close_months_nightly, night)
    assert again.tags == first.tags
    deployment.run("bill_month", first.tags)

    assert set(deployment.totals(OCTOBER).values()) == {("finalized", 78)}
    assert deployment.totals(OCTOBER).keys() == set(names)
    assert _evaluate(deployment, close_months_nightly, datetime(2026, 11, 5, 4, tzinfo=UTC)) == []


def test_a_run_rolls_up_the_usage_of_organizations_that_its_own_pay_for(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """acme pays for zeta, which is in the other run's range: 0.78 each, on one invoice, whichever run is first."""
    monkeypatch.setenv("FLY_BILLING_RUNS_PER_MONTH", "2")
    deployment.load_prices()
    for number, name in enumerate(["acme", "zeta"]):
        deployment.add_organization(name, created_at=datetime(2026, 10, 1, number, tzinfo=UTC))
    deployment.execute(
        "insert into organization_links (organization_id, payer_id, first_month) values ('zeta', 'acme', '2026-10-01')"
    )
    moment = datetime(2026, 10, 5, tzinfo=UTC)
    deployment.write_usage(moment.date(), [machine_seconds(name, name, moment, "1000000") for name in ("acme", "zeta")])
    deployment.land_month(OCTOBER)

    of_acme, of_zeta = _evaluate(deployment, close_months_nightly, datetime(2026, 11, 4, 4, tzinfo=UTC))
    deployment.run("bill_month", of_acme.tags)
    assert deployment.totals(OCTOBER) == {"acme": ("finalized", 156)}
    deployment.run("bill_month", of_zeta.tags)
    assert deployment.totals(OCTOBER) == {"acme": ("finalized", 156)}


def test_the_usage_table_is_maintained_every_night_once_usage_has_landed(deployment: Deployment) -> None:
    """Five landings of one event each leave five small files. They become one; the old ones stay for a day."""
    night = datetime(2026, 11, 12, 3, tzinfo=UTC)
    assert _evaluate(deployment, maintain_usage_table_nightly, night) == []
    deployment.load_prices()
    deployment.add_organization("acme")
    day = date(2026, 11, 10)
    for number in range(5):
        used = machine_seconds(number, "acme", datetime(2026, 11, 10, tzinfo=UTC), "60")
        deployment.write_usage(day, [used], f"{number}.jsonl")
        deployment.now = datetime(2026, 11, 10, 12, tzinfo=UTC)
        deployment.land(day, day)

    (request,) = _evaluate(deployment, maintain_usage_table_nightly, night)
    deployment.now = night
    result = deployment.run("maintain_usage_table", request.tags)

    (done,) = result.asset_materializations_for_node("usage_table_files")
    found: dict[str, Any] = {name: value.value for name, value in done.metadata.items()}
    assert (found["files before"], found["files"], found["files deleted"]) == (5, 1, 0)
    assert found["landing days joined"] == ["2026-11-10"]
    assert found["bytes"] < found["bytes before"]


def test_after_the_grace_period_only_the_current_month_is_billed_nightly(deployment: Deployment) -> None:
    deployment.add_organization("acme")

    requests = _evaluate(deployment, bill_open_months_nightly, datetime(2026, 11, 4, 2, tzinfo=UTC))

    assert [request.tags["fly_billing/month"] for request in requests] == ["2026-11"]


@pytest.mark.parametrize("day", [1, 2, 4, 30], ids=lambda day: f"on the {day}.")
def test_no_schedule_of_months_fails_on_a_platform_without_organizations(deployment: Deployment, day: int) -> None:
    for schedule in (bill_open_months_nightly, close_months_nightly, sync_months_hourly, reconcile_months_nightly):
        tick = _tick(deployment, schedule, datetime(2026, 11, day, 2, tzinfo=UTC))
        assert (tick.run_requests or [], bool(tick.skip_message)) == ([], True), schedule.name


def test_only_a_month_with_organizations_is_billed_in_a_platforms_first_days(deployment: Deployment) -> None:
    """acme came on 2 November, when October was still in its grace period."""
    deployment.add_organization("acme", created_at=datetime(2026, 11, 2, tzinfo=UTC))
    requests = _evaluate(deployment, bill_open_months_nightly, datetime(2026, 11, 3, 2, tzinfo=UTC))
    assert [request.tags["fly_billing/month"] for request in requests] == ["2026-11"]


def test_a_tick_without_organizations_to_bill_gives_the_reason(deployment: Deployment) -> None:
    deployment.add_organization("acme", created_at=datetime(2027, 1, 1, tzinfo=UTC))
    tick = _tick(deployment, bill_open_months_nightly, datetime(2026, 11, 4, 2, tzinfo=UTC))
    assert tick.skip_message == "no organization existed in 2026-11, or its billing group has no partition yet"


def test_a_month_is_closed_once_its_grace_period_is_over_and_not_again_when_all_is_final(
    deployment: Deployment,
) -> None:
    deployment.load_prices()
    deployment.add_organization("acme", created_at=datetime(2026, 10, 5, tzinfo=UTC))
    assert _evaluate(deployment, close_months_nightly, datetime(2026, 11, 3, 23, tzinfo=UTC)) == []

    (request,) = _evaluate(deployment, close_months_nightly, datetime(2026, 11, 4, 4, tzinfo=UTC))
    assert request.tags["fly_billing/month"] == "2026-10"

    deployment.land_month(OCTOBER)
    deployment.run("bill_month", request.tags)
    assert _evaluate(deployment, close_months_nightly, datetime(2026, 11, 5, 4, tzinfo=UTC)) == []


def test_a_month_is_synced_while_finalized_invoices_are_missing_in_stripe(deployment: Deployment) -> None:
    deployment.load_prices()
    deployment.add_organization("acme", created_at=datetime(2026, 10, 5, tzinfo=UTC))
    deployment.write_usage(
        datetime(2026, 10, 10, tzinfo=UTC).date(),
        [machine_seconds(1, "acme", datetime(2026, 10, 9, tzinfo=UTC), "2592000")],
    )
    assert _evaluate(deployment, sync_months_hourly, deployment.now) == []

    deployment.land_month(OCTOBER)
    deployment.bill(OCTOBER)
    (request,) = _evaluate(deployment, sync_months_hourly, deployment.now)
    assert request.tags["fly_billing/month"] == "2026-10"

    deployment.run("sync_month", request.tags)
    assert _evaluate(deployment, sync_months_hourly, deployment.now) == []


def test_a_month_is_compared_with_stripe_every_night_while_it_is_unpaid_or_was_sent_lately(
    deployment: Deployment,
) -> None:
    bill_one_machine(deployment)
    assert _evaluate(deployment, reconcile_months_nightly, deployment.now) == []

    deployment.sync(OCTOBER)
    (request,) = _evaluate(deployment, reconcile_months_nightly, deployment.now + timedelta(days=90))
    assert request.tags["fly_billing/month"] == "2026-10"
    assert _agrees(deployment.run("reconcile_month", request.tags))

    deployment.execute("update invoices set status = 'paid', paid_at = now()")
    assert len(_evaluate(deployment, reconcile_months_nightly, deployment.now + timedelta(days=59))) == 1
    assert _evaluate(deployment, reconcile_months_nightly, deployment.now + timedelta(days=61)) == []


def test_a_later_change_in_stripe_is_found_and_recorded_at_night(
    deployment: Deployment, sandbox: SandboxServer
) -> None:
    bill_one_machine(deployment)
    deployment.sync(OCTOBER)
    assert _agrees(deployment.run("reconcile_month", {}, partition="2026-10-01"))

    (invoice,) = sandbox.control.invoices()
    sandbox.control.edit_object(invoice["id"], status="void")
    result = deployment.run("reconcile_month", {}, partition="2026-10-01")

    assert not _agrees(result)
    looks = deployment.execute("select * from stripe_reconciliations order by id")
    assert [(look["invoices_here"], look["invoices_in_stripe"]) for look in looks] == [(1, 1), (1, 0)]
    assert [look["totals_in_stripe"] for look in looks] == [{"USD": 202}, {}]
    assert [[discrepancy["kind"] for discrepancy in look["discrepancies"]] for look in looks] == [[], ["missing"]]


def bill_one_machine(deployment: Deployment) -> None:
    """Finalize October for one organization: a shared-cpu-1x 256MB Machine for 30 days, $2.02."""
    deployment.load_prices()
    deployment.add_organization("acme", created_at=datetime(2026, 10, 5, tzinfo=UTC))
    deployment.write_usage(
        date(2026, 10, 10), [machine_seconds(1, "acme", datetime(2026, 10, 9, tzinfo=UTC), "2592000")]
    )
    deployment.land_month(OCTOBER)
    deployment.bill(OCTOBER)


def _agrees(result: ExecuteInProcessResult) -> bool:
    (check,) = result.get_asset_check_evaluations()
    return check.passed


def _evaluate(deployment: Deployment, schedule: ScheduleDefinition, at: datetime) -> list[RunRequest]:
    return list(_tick(deployment, schedule, at).run_requests or [])


def _tick(deployment: Deployment, schedule: ScheduleDefinition, at: datetime) -> Any:
    with build_schedule_context(
        instance=deployment.instance,
        scheduled_execution_time=at,
        resources={
            "billing_postgres": BillingPostgres(url=deployment.database_url),
            "billing_terms": BillingTerms(),
            "usage_store": UsageStore(landing_dir=str(deployment.landing_dir), lake_dir=str(deployment.lake_dir)),
        },
    ) as context:
        return schedule.evaluate_tick(context)
