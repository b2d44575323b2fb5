"""A month from usage files to finished invoices in Stripe, through the jobs that production runs."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from fly_billing.assets.failure_causes import failure_causes
from fly_billing.invoicing.bill_run import bill
from fly_billing.invoicing.month_closing import Terms
from fly_billing.jobs import landing_range
from fly_billing.periods import BillingMonth
from fly_billing.sensors.alert_on_failed_run import run_alert
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.usage.rollups import roll_up
from fly_billing.usage.usage_table import UsageTable
from fly_billing.worklist.due import days_to_land
from tests.support.deployment import Deployment, event, machine_seconds
from tests.support.unguarded import damage

SEPTEMBER, OCTOBER, NOVEMBER = BillingMonth(2026, 9), BillingMonth(2026, 10), BillingMonth(2026, 11)
DAY = date(2026, 10, 15)
NOON = datetime(2026, 10, 14, 12, tzinfo=UTC)


def use_something(deployment: Deployment, *organizations: str) -> None:
    """Run a Machine for 30 days' worth of seconds for each: $2.02."""
    deployment.write_usage(DAY, [machine_seconds(f"{name}-1", name, NOON, "2592000") for name in organizations])


def three_that_used_something(deployment: Deployment) -> list[str]:
    """Make three organizations that owe $2.02 each; tests break the one named `broken`."""
    deployment.load_prices()
    names = ["acme", "broken", "gamma"]
    for name in names:
        deployment.add_organization(name)
    use_something(deployment, *names)
    return names


def test_a_month_of_usage_fees_and_one_off_items_is_billed_and_synced_to_the_cent(
    deployment: Deployment, sandbox: SandboxServer
) -> None:
    deployment.load_prices()
    deployment.add_organization("acme")
    region = {"app": "web", "region": "ams"}
    deployment.write_usage(
        DAY,
        [
            machine_seconds(1, "acme", NOON, "2592000"),  # 30 days at 2.02 a month: 2.02
            machine_seconds(2, "acme", NOON, "648000"),  # a quarter of that: 0.505
            event(1, "volume_gb_hours", "acme", NOON, "7200", **region),  # 10 GB-months at 0.15: 1.50
            event(1, "egress_gb", "acme", NOON, "12.5", **region),  # 12.5 GB at 0.02: 0.25
        ],
    )
    deployment.execute(  # half of October's 31 days at 29.00: 14.50
        "insert into subscriptions values"
        " (gen_random_uuid(), 'acme', 'support/standard', '2026-09-01Z', '2026-10-16 12:00Z')"
    )
    deployment.execute(
        "insert into one_off_items values"
        " (gen_random_uuid(), 'acme', 'Goodwill credit', -5.00, 'USD', '2026-10-31 23:59:59Z')"
    )
    deployment.land_month(OCTOBER)

    deployment.bill(OCTOBER)
    deployment.sync(OCTOBER)

    # 2.525 + 1.50 + 0.25 + 14.50 - 5.00 = 13.775, rounded half-up once
    assert deployment.totals(OCTOBER) == {"acme": ("finalized", 1378)}
    (invoice,) = sandbox.control.invoices()
    assert (invoice["status"], invoice["total"], invoice["currency"]) == ("open", 1378, "usd")
    assert sum(line["amount"] for line in invoice["lines"]) == 1378


def test_one_run_bills_a_whole_month(deployment: Deployment) -> None:
    for name in ("acme", "beta", "gamma"):
        deployment.add_organization(name)
    deployment.land_month(OCTOBER)

    deployment.bill(OCTOBER)

    assert len([run for run in deployment.instance.get_runs() if run.job_name == "bill_month"]) == 1
    assert deployment.statuses("invoices", OCTOBER, ["acme", "beta", "gamma"]) == dict.fromkeys(
        ["acme", "beta", "gamma"], "MATERIALIZED"
    )


def test_billing_and_syncing_a_month_again_bills_nothing_twice(deployment: Deployment, sandbox: SandboxServer) -> None:
    deployment.load_prices()
    deployment.add_organization("acme")
    use_something(deployment, "acme")
    deployment.land_month(OCTOBER)
    for _ in range(3):
        deployment.land(DAY, DAY)
        deployment.bill(OCTOBER)
        deployment.sync(OCTOBER)

    assert deployment.totals(OCTOBER) == {"acme": ("finalized", 202)}
    assert [invoice["total"] for invoice in sandbox.control.invoices()] == [202]
    assert sandbox.control.call_counts()["invoices.create"] == 1


def test_an_organization_that_can_not_be_billed_fails_its_own_partition_and_the_others_are_billed(
    deployment: Deployment, sandbox: SandboxServer
) -> None:
    names = three_that_used_something(deployment)
    deployment.execute(
        "insert into subscriptions values (gen_random_uuid(), 'broken', 'support/gold', '2026-09-01Z', null)"
    )
    deployment.land_month(OCTOBER)

    deployment.bill(OCTOBER, fails=True)

    assert deployment.totals(OCTOBER) == {"acme": ("finalized", 202), "gamma": ("finalized", 202)}
    assert deployment.statuses("invoices", OCTOBER, names) == {
        "acme": "MATERIALIZED",
        "broken": "FAILED",
        "gamma": "MATERIALIZED",
    }
    (failure,) = deployment.execute("select organization_id, code from billing_failures")
    assert failure == {"organization_id": "broken", "code": "unpriced_subscription"}

    deployment.sync(OCTOBER)
    assert len(sandbox.control.invoices()) == 2

    deployment.execute("update subscriptions set price_key = 'support/standard' where price_key = 'support/gold'")
    deployment.run("bill_month", {}, partition="2026-10-01|broken")
    assert deployment.statuses("invoices", OCTOBER, names) == dict.fromkeys(names, "MATERIALIZED")
    assert deployment.totals(OCTOBER)["broken"] == ("finalized", 3102)
    assert deployment.execute("select * from billing_failures") == []


def test_a_damaged_rollup_of_a_final_invoice_fails_its_organization_by_name_and_late_usage_of_the_others_is_billed(
    deployment: Deployment,
) -> None:
    """acme and broken use the same amount again: $2.02 more, which broken is not charged for yet."""
    names = three_that_used_something(deployment)
    deployment.land_month(OCTOBER)
    deployment.bill(OCTOBER)
    damage(
        deployment.database,
        "update usage_rollups set quantity = 7 where snapshot_id in"
        " (select id from usage_snapshots where organization_id = 'broken')",
    )
    late = [machine_seconds(f"{name}-late", name, NOON, "2592000") for name in ("acme",)]
    deployment.write_usage(DAY, late, "late.jsonl")
    deployment.land_month(OCTOBER)

    result = deployment.bill(OCTOBER, fails=True)

    assert deployment.statuses("invoices", OCTOBER, names) == {
        "acme": "MATERIALIZED",
        "broken": "FAILED",
        "gamma": "MATERIALIZED",
    }
    booked = deployment.execute("select organization_id, amount from adjustments")
    assert booked == [{"organization_id": "acme", "amount": Decimal("2.02")}]
    (cause,) = failure_causes(result.all_events)
    assert cause.is_actionable
    assert "usage_rollups of broken 2026-10 was changed outside of fly_billing" in cause.text
    assert "2592000 from 1 event in the usage table, but 7 from 1 event" in cause.text
    assert "fly-billing bill 2026-10" in cause.text
    assert cause.text.endswith("the others are done")
    (failed,) = [
        dagster_event.step_failure_data for dagster_event in result.all_events if dagster_event.is_step_failure
    ]
    assert failed.user_failure_data is not None
    assert "| broken" in str(failed.user_failure_data.metadata["failures"].value)
    assert run_alert(deployment.instance.get_runs()[0], [cause]).body.startswith(
        "- invoices: 2026-10 broken: usage_rollups"
    )
    wrong = {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}
    assert "every_accepted_event_is_in_exactly_one_rollup" in wrong

    # If only rollups run, they fail themselves.
    alone = deployment.run("bill_month", {}, "2026-10-01|broken", fails=True, only="usage_rollups")
    (cause,) = failure_causes(alone.all_events)
    assert (cause.step, "usage_rollups of broken" in cause.text) == ("usage_rollups", True)


def test_an_invoice_that_stripe_refuses_fails_its_own_partition_and_the_others_are_synced(
    deployment: Deployment, sandbox: SandboxServer
) -> None:
    names = three_that_used_something(deployment)
    deployment.execute("update organizations set stripe_customer_id = 'cus_nobody' where id = 'broken'")
    deployment.land_month(OCTOBER)
    deployment.bill(OCTOBER)

    result = deployment.sync(OCTOBER, fails=True)

    assert [check.passed for check in result.get_asset_check_evaluations()] == [
        False
    ]  # the check names the missing invoice
    assert deployment.statuses("stripe_invoices", OCTOBER, names) == {
        "acme": "MATERIALIZED",
        "broken": "FAILED",
        "gamma": "MATERIALIZED",
    }
    assert sorted(invoice["total"] for invoice in sandbox.control.invoices()) == [202, 202]

    deployment.execute("update organizations set stripe_customer_id = null where id = 'broken'")
    deployment.run("sync_month", {}, partition="2026-10-01|broken")
    assert deployment.statuses("stripe_invoices", OCTOBER, names) == dict.fromkeys(names, "MATERIALIZED")
    assert sorted(invoice["total"] for invoice in sandbox.control.invoices()) == [202, 202, 202]


def test_an_event_at_midnight_of_the_months_end_is_billed_in_the_next_month_only(deployment: Deployment) -> None:
    deployment.load_prices()
    deployment.add_organization("acme")
    deployment.write_usage(
        date(2026, 10, 1),
        [
            machine_seconds(1, "acme", datetime(2026, 9, 30, 23, 59, 59, 999_999, tzinfo=UTC), "2592000"),
            machine_seconds(2, "acme", datetime(2026, 10, 1, tzinfo=UTC), "5184000"),
        ],
    )
    for month in (SEPTEMBER, OCTOBER):
        deployment.land_month(month)
        deployment.bill(month)

    assert deployment.totals(SEPTEMBER) == {"acme": ("finalized", 202)}
    assert deployment.totals(OCTOBER) == {"acme": ("finalized", 404)}


def test_usage_three_weeks_late_changes_no_finalized_invoice_and_is_on_the_next_one(deployment: Deployment) -> None:
    """60 seconds of 2.02 per 2,592,000: 0.0000467..., on November's invoice."""
    deployment.load_prices()
    deployment.add_organization("acme")
    use_something(deployment, "acme")
    deployment.land_month(OCTOBER)
    deployment.bill(OCTOBER)

    deployment.now = datetime(2026, 11, 25, tzinfo=UTC)
    deployment.write_usage(date(2026, 11, 21), [machine_seconds("late", "acme", NOON, "60")])
    deployment.land(date(2026, 11, 21), date(2026, 11, 21))
    result = deployment.bill(OCTOBER)

    assert deployment.totals(OCTOBER) == {"acme": ("finalized", 202)}
    late = {check.check_name: check for check in result.get_asset_check_evaluations()}[
        "finalized_invoices_bill_all_usage_known_now"
    ]
    assert late.passed
    assert "late rows" in str(late.metadata["adjustments of this run"].value)
    for _ in range(2):
        deployment.bill(OCTOBER)
        deployment.bill(NOVEMBER)
        found = deployment.execute(
            "select kind, round(amount, 8) as amount from invoice_items where kind = 'adjustment'"
        )
        assert [dict(row) for row in found] == [{"kind": "adjustment", "amount": Decimal("0.00004676")}]


def test_the_open_month_is_the_upcoming_invoice_and_grows_with_the_usage(deployment: Deployment) -> None:
    deployment.load_prices()
    deployment.add_organization("acme")
    deployment.now = datetime(2026, 11, 20, tzinfo=UTC)
    deployment.write_usage(
        date(2026, 11, 3), [machine_seconds(1, "acme", datetime(2026, 11, 2, tzinfo=UTC), "2592000")]
    )
    deployment.land(date(2026, 11, 3), date(2026, 11, 3))
    deployment.bill(NOVEMBER)
    assert deployment.totals(NOVEMBER) == {"acme": ("open", 202)}

    deployment.write_usage(
        date(2026, 11, 4), [machine_seconds(2, "acme", datetime(2026, 11, 3, tzinfo=UTC), "2592000")]
    )
    deployment.land(date(2026, 11, 4), date(2026, 11, 4))
    deployment.bill(NOVEMBER)
    assert deployment.totals(NOVEMBER) == {"acme": ("open", 404)}

    deployment.sync(NOVEMBER)
    assert deployment.execute("select * from stripe_invoices") == []


def test_a_final_invoice_includes_usage_that_landed_after_the_rollup(deployment: Deployment) -> None:
    deployment.load_prices()
    deployment.add_organization("acme")
    deployment.land_month(OCTOBER)
    roll_up(deployment.database, UsageTable(deployment.lake_dir), OCTOBER, ["acme"], deployment.now)
    use_something(deployment, "acme")
    deployment.land(DAY, DAY)  # at the same moment, by the clock

    billed = bill(deployment.database, OCTOBER, ["acme"], Terms(timedelta(hours=72), 14), deployment.now)
    assert [failure.error.code for failure in billed.failures] == ["usage_rolled_up_too_early"]

    deployment.bill(OCTOBER)
    assert deployment.totals(OCTOBER) == {"acme": ("finalized", 202)}


def test_a_month_is_not_closed_while_a_landing_folder_holds_files_that_were_not_landed(deployment: Deployment) -> None:
    deployment.load_prices()
    deployment.add_organization("acme")
    deployment.land_month(OCTOBER)
    use_something(deployment, "acme")  # a source sends again, two weeks later

    deployment.bill(OCTOBER, fails=True)
    assert deployment.totals(OCTOBER) == {}
    assert deployment.statuses("invoices", OCTOBER, ["acme"]) == {"acme": "FAILED"}

    deployment.land(DAY, DAY)
    deployment.bill(OCTOBER)
    assert deployment.totals(OCTOBER) == {"acme": ("finalized", 202)}


def test_a_month_is_not_closed_while_rejected_usage_of_a_newly_added_organization_can_be_landed_again(
    deployment: Deployment,
) -> None:
    deployment.load_prices()
    use_something(deployment, "newco")
    deployment.land_month(OCTOBER)
    deployment.add_organization("newco", created_at=NOON)
    assert days_to_land(deployment.database, deployment.landing_dir, deployment.now) == [DAY]

    deployment.bill(OCTOBER, fails=True)
    assert deployment.totals(OCTOBER) == {}

    deployment.land(DAY, DAY)
    deployment.bill(OCTOBER)
    assert deployment.totals(OCTOBER) == {"newco": ("finalized", 202)}


def test_nothing_is_landed_while_the_landing_folder_is_not_mounted(deployment: Deployment) -> None:
    deployment.landing_dir.rmdir()

    deployment.run("land_usage", landing_range(DAY, DAY), fails=True)

    assert deployment.execute("select * from landing_days") == []


def test_a_manually_changed_rollup_is_recalculated_before_it_is_billed(deployment: Deployment) -> None:
    deployment.load_prices()
    deployment.add_organization("acme")
    use_something(deployment, "acme")
    deployment.land_month(OCTOBER)
    roll_up(deployment.database, UsageTable(deployment.lake_dir), OCTOBER, ["acme"], deployment.now)
    deployment.execute("update usage_rollups set quantity = quantity * 100")

    deployment.bill(OCTOBER)

    assert deployment.totals(OCTOBER) == {"acme": ("finalized", 202)}


def test_rollups_that_differ_from_the_usage_are_not_written(deployment: Deployment) -> None:
    deployment.load_prices()
    deployment.add_organization("acme")
    use_something(deployment, "acme")
    deployment.land_month(OCTOBER)
    deployment.execute("""
        create function too_much() returns trigger language plpgsql as
        $$ begin new.quantity = new.quantity * 100; return new; end $$;
        create trigger too_much before insert on usage_rollups for each row execute function too_much()
    """)

    result = deployment.bill(OCTOBER, fails=True)

    assert [check.passed for check in result.get_asset_check_evaluations()] == [False]
    assert deployment.execute("select * from usage_rollups") == []
    assert deployment.totals(OCTOBER) == {}
    assert deployment.statuses("usage_rollups", OCTOBER, ["acme"]) == {"acme": "FAILED"}


def test_a_month_recovers_after_an_outage_of_stripe_and_only_missing_invoices_fail(
    deployment: Deployment, sandbox: SandboxServer
) -> None:
    deployment.load_prices()
    for name in ("acme", "beta"):
        deployment.add_organization(name)
    use_something(deployment, "acme", "beta")
    deployment.land_month(OCTOBER)
    deployment.bill(OCTOBER)
    deployment.run("sync_month", {}, partition="2026-10-01|acme")
    stripe_url, deployment.stripe_url = deployment.stripe_url, "http://127.0.0.1:9"

    result = deployment.sync(OCTOBER, fails=True)

    assert deployment.statuses("stripe_invoices", OCTOBER, ["acme", "beta"]) == {
        "acme": "MATERIALIZED",
        "beta": "FAILED",
    }
    assert [check.passed for check in result.get_asset_check_evaluations()] == [False]
    assert deployment.execute("select state, failure_code from stripe_invoices where failure_code is not null") == [
        {"state": "failed", "failure_code": "no_answer"}  # it could not read Stripe, so it sent nothing
    ]

    deployment.stripe_url = stripe_url
    deployment.sync(OCTOBER)
    assert sorted(invoice["total"] for invoice in sandbox.control.invoices()) == [202, 202]
