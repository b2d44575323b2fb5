"""Checks that no other test sees fail in Dagster: lost rows, rollups without an item, and usage that nobody bills.

docs/evidence.md lists every check with the tests that see it pass and fail.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

from dagster import AssetCheckEvaluation, AssetCheckSeverity, ExecuteInProcessResult

from fly_billing.periods import BillingMonth
from tests.support.deployment import Deployment, machine_seconds

OCTOBER = BillingMonth(2026, 10)
DAY, NEXT_DAY, LATE = date(2026, 10, 10), date(2026, 10, 11), date(2026, 11, 21)
NOON = datetime(2026, 10, 9, 12, tzinfo=UTC)


def check_of(result: ExecuteInProcessResult, name: str) -> AssetCheckEvaluation:
    (found,) = [check for check in result.get_asset_check_evaluations() if check.check_name == name]
    return found


def test_a_landing_day_that_lost_a_row_stays_red_until_it_is_landed_again(deployment: Deployment) -> None:
    """The database drops the rejected row: 2 rows landed, 1 is accepted, and none is rejected."""
    name = "every_landed_row_is_accepted_duplicate_or_rejected"
    deployment.load_prices()
    deployment.add_organization("acme")
    rows = [machine_seconds(number, "acme", NOON, "60") for number in range(2)]
    deployment.write_usage(DAY, [rows[0], {**rows[1], "type": "no such meter"}])
    deployment.execute("create function lose() returns trigger language plpgsql as $$ begin return null; end $$")
    deployment.execute("create trigger lose before insert on rejected_usage for each row execute function lose()")
    assert not check_of(deployment.land(DAY, DAY), name).passed

    other = check_of(deployment.land(NEXT_DAY, NEXT_DAY), name)
    assert (other.passed, other.description) == (False, "1 landing day fails: 2026-10-10.")

    deployment.execute("drop trigger lose on rejected_usage")
    assert check_of(deployment.land(DAY, DAY), name).passed


def test_a_rollup_without_an_item_and_usage_that_no_invoice_bills_are_found(deployment: Deployment) -> None:
    """acme ran a Machine; its item loses its rollup. Then an hour arrives late, and acme's plan has no price."""
    deployment.load_prices()
    deployment.add_organization("acme", created_at=datetime(2026, 10, 1, tzinfo=UTC))
    deployment.write_usage(DAY, [machine_seconds("first", "acme", NOON, "2592000")])
    deployment.land_month(OCTOBER)
    deployment.bill(OCTOBER)
    deployment.execute("alter table invoice_item_rollups disable trigger user")
    deployment.execute("delete from invoice_item_rollups")
    priced = check_of(deployment.bill(OCTOBER), "every_rollup_is_priced_in_exactly_one_item")
    assert (priced.passed, priced.severity) == (False, AssetCheckSeverity.ERROR)
    assert priced.description == "1 month fails: 2026-10 (acme)."

    deployment.now = datetime(2026, 11, 25, tzinfo=UTC)
    deployment.write_usage(LATE, [machine_seconds("late", "acme", NOON, "3600")])
    deployment.land(LATE, LATE)
    deployment.execute(
        "insert into subscriptions values (gen_random_uuid(), 'acme', 'support/gold', '2026-10-01Z', null)"
    )
    billed = check_of(deployment.bill(OCTOBER), "finalized_invoices_bill_all_usage_known_now")
    assert (billed.passed, billed.severity) == (False, AssetCheckSeverity.WARN)
    assert billed.metadata["wrong"].value == 1
    assert deployment.totals(OCTOBER) == {"acme": ("finalized", 202)}
