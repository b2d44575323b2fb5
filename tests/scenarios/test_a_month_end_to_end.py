"""A month from usage files to finished invoices in Stripe, through the jobs that production runs."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from fly_billing.assets.failure_causes import failure_causes
from fly_billing.invoicing.bill_run import Terms, bill
from fly_billing.jobs import landing_range
from fly_billing.periods import BillingMonth
from fly_billing.sensors.alert_on_failed_run import run_alert
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.usage.rollups import roll_up
from fly_billing.usage.usage_table import UsageTable
from fly_billing.worklist.due import days_to_land
from tests.support.dagster_platform import DagsterPlatform, event, machine_seconds
from tests.support.unguarded import damage

SEPTEMBER, OCTOBER, NOVEMBER = BillingMonth(2026, 9), BillingMonth(2026, 10), BillingMonth(2026, 11)
DAY = date(2026, 10, 15)
NOON = datetime(2026, 10, 14, 12, tzinfo=UTC)


def use_something(world: DagsterPlatform, *organizations: str) -> None:
    """Each runs a Machine for 30 days' worth of seconds: $2.02."""
    world.write_usage(DAY, [machine_seconds(f"{name}-1", name, NOON, "2592000") for name in organizations])


def three_that_used_something(world: DagsterPlatform) -> list[str]:
    """Make three organizations that owe $2.02 each; the one that tests break is called so."""
    world.load_prices()
    names = ["acme", "broken", "gamma"]
    for name in names:
        world.add_organization(name)
    use_something(world, *names)
    return names


def test_a_month_of_usage_fees_and_one_off_items_is_billed_and_synced_to_the_cent(
    world: DagsterPlatform, sandbox: SandboxServer
) -> None:
    world.load_prices()
    world.add_organization("acme")
    region = {"app": "web", "region": "ams"}
    world.write_usage(
        DAY,
        [
            machine_seconds(1, "acme", NOON, "2592000"),  # 30 days at 2.02 a month: 2.02
            machine_seconds(2, "acme", NOON, "648000"),  # a quarter of that: 0.505
            event(1, "volume_gb_hours", "acme", NOON, "7200", **region),  # 10 GB-months at 0.15: 1.50
            event(1, "egress_gb", "acme", NOON, "12.5", **region),  # 12.5 GB at 0.02: 0.25
        ],
    )
    world.execute(  # half of October's 31 days at 29.00: 14.50
        "insert into subscriptions values"
        " (gen_random_uuid(), 'acme', 'support/standard', '2026-09-01Z', '2026-10-16 12:00Z')"
    )
    world.execute(
        "insert into one_off_items values"
        " (gen_random_uuid(), 'acme', 'Goodwill credit', -5.00, 'USD', '2026-10-31 23:59:59Z')"
    )
    world.land_month(OCTOBER)

    world.bill(OCTOBER)
    world.sync(OCTOBER)

    # 2.525 + 1.50 + 0.25 + 14.50 - 5.00 = 13.775, rounded half-up once
    assert world.totals(OCTOBER) == {"acme": ("finalized", 1378)}
    (invoice,) = sandbox.control.invoices()
    assert (invoice["status"], invoice["total"], invoice["currency"]) == ("open", 1378, "usd")
    assert sum(line["amount"] for line in invoice["lines"]) == 1378


def test_a_whole_month_is_one_run(world: DagsterPlatform) -> None:
    for name in ("acme", "beta", "gamma"):
        world.add_organization(name)
    world.land_month(OCTOBER)

    world.bill(OCTOBER)

    assert len([run for run in world.instance.get_runs() if run.job_name == "bill_month"]) == 1
    assert world.statuses("invoices", OCTOBER, ["acme", "beta", "gamma"]) == dict.fromkeys(
        ["acme", "beta", "gamma"], "MATERIALIZED"
    )


def test_billing_and_syncing_a_month_again_bills_nothing_twice(world: DagsterPlatform, sandbox: SandboxServer) -> None:
    world.load_prices()
    world.add_organization("acme")
    use_something(world, "acme")
    world.land_month(OCTOBER)
    for _ in range(3):
        world.land(DAY, DAY)
        world.bill(OCTOBER)
        world.sync(OCTOBER)

    assert world.totals(OCTOBER) == {"acme": ("finalized", 202)}
    assert [one["total"] for one in sandbox.control.invoices()] == [202]
    assert sandbox.control.call_counts()["invoices.create"] == 1


def test_one_organization_that_cannot_be_billed_leaves_the_others_billed_and_its_own_partition_failed(
    world: DagsterPlatform, sandbox: SandboxServer
) -> None:
    names = three_that_used_something(world)
    world.execute("insert into subscriptions values (gen_random_uuid(), 'broken', 'support/gold', '2026-09-01Z', null)")
    world.land_month(OCTOBER)

    world.bill(OCTOBER, fails=True)

    assert world.totals(OCTOBER) == {"acme": ("finalized", 202), "gamma": ("finalized", 202)}
    assert world.statuses("invoices", OCTOBER, names) == {
        "acme": "MATERIALIZED",
        "broken": "FAILED",
        "gamma": "MATERIALIZED",
    }
    (failure,) = world.execute("select organization_id, code from billing_failures")
    assert failure == {"organization_id": "broken", "code": "unpriced_subscription"}

    world.sync(OCTOBER)
    assert len(sandbox.control.invoices()) == 2

    world.execute("update subscriptions set price_key = 'support/standard' where price_key = 'support/gold'")
    world.run("bill_month", {}, partition="2026-10-01|broken")
    assert world.statuses("invoices", OCTOBER, names) == dict.fromkeys(names, "MATERIALIZED")
    assert world.totals(OCTOBER)["broken"] == ("finalized", 3102)
    assert world.execute("select * from billing_failures") == []


def test_a_damaged_rollup_of_a_final_invoice_fails_its_organization_by_name_and_late_usage_of_the_others_is_billed(
    world: DagsterPlatform,
) -> None:
    """acme and broken used as much again as they did: $2.02 more, which broken is not charged for yet."""
    names = three_that_used_something(world)
    world.land_month(OCTOBER)
    world.bill(OCTOBER)
    damage(
        world.database,
        "update usage_rollups set quantity = 7 where snapshot_id in"
        " (select id from usage_snapshots where organization_id = 'broken')",
    )
    late = [machine_seconds(f"{name}-late", name, NOON, "2592000") for name in ("acme",)]
    world.write_usage(DAY, late, "late.jsonl")
    world.land_month(OCTOBER)

    result = world.bill(OCTOBER, fails=True)

    assert world.statuses("invoices", OCTOBER, names) == {
        "acme": "MATERIALIZED",
        "broken": "FAILED",
        "gamma": "MATERIALIZED",
    }
    booked = world.execute("select organization_id, amount from adjustments")
    assert booked == [{"organization_id": "acme", "amount": Decimal("2.02")}]
    (cause,) = failure_causes(result.all_events)
    assert cause.is_actionable
    assert "usage_rollups of broken 2026-10 was changed outside of fly_billing" in cause.text
    assert "and 7 of 1 events" in cause.text
    assert "fly-billing bill 2026-10" in cause.text
    assert cause.text.endswith("the others are done")
    (failed,) = [one.step_failure_data for one in result.all_events if one.is_step_failure]
    assert failed.user_failure_data is not None
    assert "| broken" in str(failed.user_failure_data.metadata["failures"].value)
    assert run_alert(world.instance.get_runs()[0], [cause]).body.startswith("- invoices: 2026-10 broken: usage_rollups")
    wrong = {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}
    assert "every_accepted_event_is_in_exactly_one_rollup" in wrong

    # Rolled up alone, the failure is the rollups' own.
    alone = world.run("bill_month", {}, "2026-10-01|broken", fails=True, only="usage_rollups")
    (cause,) = failure_causes(alone.all_events)
    assert (cause.step, "usage_rollups of broken" in cause.text) == ("usage_rollups", True)


def test_one_invoice_that_stripe_refuses_leaves_the_others_synced_and_its_own_partition_failed(
    world: DagsterPlatform, sandbox: SandboxServer
) -> None:
    names = three_that_used_something(world)
    world.execute("update organizations set stripe_customer_id = 'cus_nobody' where id = 'broken'")
    world.land_month(OCTOBER)
    world.bill(OCTOBER)

    result = world.sync(OCTOBER, fails=True)

    assert [check.passed for check in result.get_asset_check_evaluations()] == [False]  # it says what is missing
    assert world.statuses("stripe_invoices", OCTOBER, names) == {
        "acme": "MATERIALIZED",
        "broken": "FAILED",
        "gamma": "MATERIALIZED",
    }
    assert sorted(one["total"] for one in sandbox.control.invoices()) == [202, 202]

    world.execute("update organizations set stripe_customer_id = null where id = 'broken'")
    world.run("sync_month", {}, partition="2026-10-01|broken")
    assert world.statuses("stripe_invoices", OCTOBER, names) == dict.fromkeys(names, "MATERIALIZED")
    assert sorted(one["total"] for one in sandbox.control.invoices()) == [202, 202, 202]


def test_an_event_at_midnight_of_the_months_end_is_billed_in_the_next_month_only(world: DagsterPlatform) -> None:
    world.load_prices()
    world.add_organization("acme")
    world.write_usage(
        date(2026, 10, 1),
        [
            machine_seconds(1, "acme", datetime(2026, 9, 30, 23, 59, 59, 999_999, tzinfo=UTC), "2592000"),
            machine_seconds(2, "acme", datetime(2026, 10, 1, tzinfo=UTC), "5184000"),
        ],
    )
    for month in (SEPTEMBER, OCTOBER):
        world.land_month(month)
        world.bill(month)

    assert world.totals(SEPTEMBER) == {"acme": ("finalized", 202)}
    assert world.totals(OCTOBER) == {"acme": ("finalized", 404)}


def test_usage_three_weeks_late_changes_no_finalized_invoice_and_is_on_the_next_one(world: DagsterPlatform) -> None:
    """60 seconds of 2.02 per 2,592,000: 0.0000467..., on November's invoice."""
    world.load_prices()
    world.add_organization("acme")
    use_something(world, "acme")
    world.land_month(OCTOBER)
    world.bill(OCTOBER)

    world.now = datetime(2026, 11, 25, tzinfo=UTC)
    world.write_usage(date(2026, 11, 21), [machine_seconds("late", "acme", NOON, "60")])
    world.land(date(2026, 11, 21), date(2026, 11, 21))
    result = world.bill(OCTOBER)

    assert world.totals(OCTOBER) == {"acme": ("finalized", 202)}
    late = {check.check_name: check for check in result.get_asset_check_evaluations()}[
        "finalized_invoices_bill_all_usage_known_now"
    ]
    assert late.passed
    assert "late rows" in str(late.metadata["2026-10 adjustments"].value)
    for _ in range(2):
        world.bill(OCTOBER)
        world.bill(NOVEMBER)
        found = world.execute("select kind, round(amount, 8) as amount from invoice_items where kind = 'adjustment'")
        assert [dict(row) for row in found] == [{"kind": "adjustment", "amount": Decimal("0.00004676")}]


def test_the_open_month_is_the_upcoming_invoice_and_grows_with_the_usage(world: DagsterPlatform) -> None:
    world.load_prices()
    world.add_organization("acme")
    world.now = datetime(2026, 11, 20, tzinfo=UTC)
    world.write_usage(date(2026, 11, 3), [machine_seconds(1, "acme", datetime(2026, 11, 2, tzinfo=UTC), "2592000")])
    world.land(date(2026, 11, 3), date(2026, 11, 3))
    world.bill(NOVEMBER)
    assert world.totals(NOVEMBER) == {"acme": ("open", 202)}

    world.write_usage(date(2026, 11, 4), [machine_seconds(2, "acme", datetime(2026, 11, 3, tzinfo=UTC), "2592000")])
    world.land(date(2026, 11, 4), date(2026, 11, 4))
    world.bill(NOVEMBER)
    assert world.totals(NOVEMBER) == {"acme": ("open", 404)}

    world.sync(NOVEMBER)
    assert world.execute("select * from stripe_invoices") == []


def test_usage_that_landed_after_the_rollup_is_never_left_out_of_a_final_invoice(world: DagsterPlatform) -> None:
    world.load_prices()
    world.add_organization("acme")
    world.land_month(OCTOBER)
    roll_up(world.database, UsageTable(world.lake_dir), OCTOBER, ["acme"], world.now)
    use_something(world, "acme")
    world.land(DAY, DAY)  # at the same moment, by the clock

    billed = bill(world.database, OCTOBER, ["acme"], Terms(timedelta(hours=72), 14), world.now)
    assert [failure.error.code for failure in billed.failures] == ["usage_rolled_up_too_early"]

    world.bill(OCTOBER)
    assert world.totals(OCTOBER) == {"acme": ("finalized", 202)}


def test_a_month_is_not_closed_while_a_landing_folder_holds_files_that_were_not_landed(world: DagsterPlatform) -> None:
    world.load_prices()
    world.add_organization("acme")
    world.land_month(OCTOBER)
    use_something(world, "acme")  # a source tries again, two weeks later

    world.bill(OCTOBER, fails=True)
    assert world.totals(OCTOBER) == {}
    assert world.statuses("invoices", OCTOBER, ["acme"]) == {"acme": "FAILED"}

    world.land(DAY, DAY)
    world.bill(OCTOBER)
    assert world.totals(OCTOBER) == {"acme": ("finalized", 202)}


def test_a_month_is_not_closed_while_rejected_usage_of_a_newly_added_organization_can_be_landed_again(
    world: DagsterPlatform,
) -> None:
    world.load_prices()
    use_something(world, "newco")
    world.land_month(OCTOBER)
    world.add_organization("newco", created_at=NOON)
    assert days_to_land(world.database, world.landing_dir, world.now) == [DAY]

    world.bill(OCTOBER, fails=True)
    assert world.totals(OCTOBER) == {}

    world.land(DAY, DAY)
    world.bill(OCTOBER)
    assert world.totals(OCTOBER) == {"newco": ("finalized", 202)}


def test_nothing_is_landed_while_the_landing_folder_is_not_mounted(world: DagsterPlatform) -> None:
    world.landing_dir.rmdir()

    world.run("land_usage", landing_range(DAY, DAY), fails=True)

    assert world.execute("select * from landing_days") == []


def test_a_rollup_changed_by_hand_is_put_right_before_anything_is_billed_from_it(world: DagsterPlatform) -> None:
    world.load_prices()
    world.add_organization("acme")
    use_something(world, "acme")
    world.land_month(OCTOBER)
    roll_up(world.database, UsageTable(world.lake_dir), OCTOBER, ["acme"], world.now)
    world.execute("update usage_rollups set quantity = quantity * 100")

    world.bill(OCTOBER)

    assert world.totals(OCTOBER) == {"acme": ("finalized", 202)}


def test_rollups_that_do_not_hold_what_was_used_are_not_written(world: DagsterPlatform) -> None:
    world.load_prices()
    world.add_organization("acme")
    use_something(world, "acme")
    world.land_month(OCTOBER)
    world.execute("""
        create function too_much() returns trigger language plpgsql as
        $$ begin new.quantity = new.quantity * 100; return new; end $$;
        create trigger too_much before insert on usage_rollups for each row execute function too_much()
    """)

    result = world.bill(OCTOBER, fails=True)

    assert [check.passed for check in result.get_asset_check_evaluations()] == [False]
    assert world.execute("select * from usage_rollups") == []
    assert world.totals(OCTOBER) == {}
    assert world.statuses("usage_rollups", OCTOBER, ["acme"]) == {"acme": "FAILED"}


def test_while_stripe_is_down_nothing_is_lost_and_only_what_is_missing_there_is_failed(
    world: DagsterPlatform, sandbox: SandboxServer
) -> None:
    world.load_prices()
    for name in ("acme", "beta"):
        world.add_organization(name)
    use_something(world, "acme", "beta")
    world.land_month(OCTOBER)
    world.bill(OCTOBER)
    world.run("sync_month", {}, partition="2026-10-01|acme")
    stripe_url, world.stripe_url = world.stripe_url, "http://127.0.0.1:9"

    result = world.sync(OCTOBER, fails=True)

    assert world.statuses("stripe_invoices", OCTOBER, ["acme", "beta"]) == {"acme": "MATERIALIZED", "beta": "FAILED"}
    assert [check.passed for check in result.get_asset_check_evaluations()] == [False]
    assert world.execute("select state, failure_code from stripe_invoices where failure_code is not null") == [
        {"state": "failed", "failure_code": "no_answer"}  # it could not even look: nothing was sent
    ]

    world.stripe_url = stripe_url
    world.sync(OCTOBER)
    assert sorted(one["total"] for one in sandbox.control.invoices()) == [202, 202]
