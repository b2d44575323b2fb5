"""Every check passes in a month without faults, so a check that is red says something."""

from __future__ import annotations

from datetime import UTC, date, datetime

from dagster import AssetCheckEvaluation

from fly_billing.definitions import build_defs
from fly_billing.jobs import whole_month
from fly_billing.periods import BillingMonth
from tests.support.deployment import Deployment, machine_seconds

OCTOBER = BillingMonth(2026, 10)


def test_every_check_passes_in_a_month_that_is_landed_billed_synced_reconciled_and_reported(
    deployment: Deployment,
) -> None:
    deployment.load_prices()
    deployment.add_organization("acme", created_at=OCTOBER.start)
    usage = [machine_seconds(1, "acme", datetime(2026, 10, 9, 12, tzinfo=UTC), "2592000")]
    deployment.write_usage(date(2026, 10, 10), usage)
    results = [
        deployment.run("read_platform", {}),
        deployment.land(OCTOBER.first_day, date(2026, 11, 3)),
        deployment.bill(OCTOBER),
        deployment.sync(OCTOBER),
        deployment.run("reconcile_month", whole_month(OCTOBER)),
        deployment.run("report_month", whole_month(OCTOBER)),
    ]
    found: list[AssetCheckEvaluation] = [check for each in results for check in each.get_asset_check_evaluations()]
    defined = {(key.asset_key, key.name) for key in build_defs().resolve_asset_graph().asset_check_keys}
    assert {(check.asset_key, check.check_name) for check in found} == defined
    assert [check.check_name for check in found if not check.passed] == []
    assert deployment.totals(OCTOBER) == {"acme": ("finalized", 202)}
