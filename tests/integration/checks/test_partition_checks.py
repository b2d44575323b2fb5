"""A check that fails for a month stays red until that month is right, regardless of runs of other months.

Three organizations ran a shared-cpu-1x 256MB Machine for 30 days in August and in September 2026: $2.02 each. Both
months are final. The tests change totals and Stripe's invoices manually.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetCheckKey, AssetCheckSeverity, AssetKey, DagsterEventType, DagsterRun

from fly_billing.checks.failed_checks import list_failures
from fly_billing.cli.runs import Runs
from fly_billing.periods import BillingMonth
from fly_billing.stripe_sandbox import SandboxServer
from tests.support.dagster_pages import IN_MEMORY, Pages, open_pages
from tests.support.deployment import Deployment, dagster_instance, machine_seconds

# Dagster warns about its own properties while it loads a code location.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:dagster.*")
AUGUST, SEPTEMBER = BillingMonth(2026, 8), BillingMonth(2026, 9)
ORGANIZATIONS = ("acme", "beta", "corp")
ALL = [f"{month}-01|{organization}" for month in (AUGUST, SEPTEMBER) for organization in ORGANIZATIONS]
SUM = ("invoices", "items_sum_to_the_total")
AGREES = ("stripe_invoices", "stripe_agrees_with_our_invoices")
STILL_AGREES = ("stripe_reconciliation", "stripe_still_agrees_with_our_invoices")
PASSES = "Passes for every month and landing day that was checked."


@pytest.fixture
def pages(deployment: Deployment, tmp_path: Path) -> Iterator[Pages]:
    """Provide the pages on 5 October, when August and September are final."""
    deployment.now = datetime(2026, 10, 5, tzinfo=UTC)
    with dagster_instance(IN_MEMORY) as instance:
        deployment.instance = instance
        deployment.load_prices()
        for organization in ORGANIZATIONS:
            deployment.add_organization(organization, created_at=AUGUST.start)
        events = [
            machine_seconds(f"{organization}-{month}", organization, month.start, "2592000")
            for organization in ORGANIZATIONS
            for month in (AUGUST, SEPTEMBER)
        ]
        deployment.write_usage(date(2026, 10, 1), events)
        deployment.land(date(2026, 8, 1), date(2026, 10, 3))
        for month in (AUGUST, SEPTEMBER):
            deployment.bill(month)
        with open_pages(deployment, instance, tmp_path) as pages:
            yield pages


def set_total(deployment: Deployment, month: BillingMonth, organization: str, cents: int) -> None:
    """Change the total of a final invoice, as no program can."""
    deployment.execute("alter table invoices disable trigger user")
    deployment.execute(
        "update invoices set total_cents = :cents where month = :month and organization_id = :organization",
        cents=cents,
        month=month.first_day,
        organization=organization,
    )


def shown(deployment: Deployment, check: tuple[str, str]) -> Any:
    """Return the evaluation that the check's page shows first."""
    asset, name = check
    record = deployment.instance.get_latest_asset_check_evaluation_record(AssetCheckKey(AssetKey(asset), name))
    assert record is not None
    assert record.event is not None
    evaluation = record.event.dagster_event.asset_check_evaluation_data  # type: ignore[union-attr]
    assert evaluation.passed is (record.status.value == "SUCCEEDED")
    return evaluation


def says(pages: Pages, check: tuple[str, str]) -> str:
    """Return the sentence on the check's page. A check that passes names no month, and one that fails does."""
    status, description = pages.check(*check)
    assert status == ("SUCCEEDED" if description == PASSES else "FAILED")
    return description


def range_of(month: BillingMonth) -> dict[str, str]:
    first, last = f"{month}-01|acme", f"{month}-01|corp"
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}


def test_a_red_month_stays_red_while_other_partitions_are_billed_and_turns_green_when_it_is_fixed(
    deployment: Deployment, pages: Pages
) -> None:
    assert says(pages, SUM) == PASSES
    set_total(deployment, AUGUST, "acme", 203)
    pages.launchpad("bill_month", range_of(AUGUST))
    assert says(pages, SUM) == "1 month fails: 2026-08 (acme)."

    (september,) = pages.launchpad("bill_month", range_of(SEPTEMBER))
    assert says(pages, SUM) == "1 month fails: 2026-08 (acme)."
    pages.asset_page(["usage_rollups", "invoices"], [ALL[1]])
    assert says(pages, SUM) == "1 month fails: 2026-08 (acme)."

    set_total(deployment, SEPTEMBER, "beta", 201)
    pages.reexecute(september)
    assert says(pages, SUM) == "2 months fail: 2026-08 (acme), 2026-09 (beta)."
    evaluation = shown(deployment, SUM)
    assert evaluation.severity == AssetCheckSeverity.ERROR
    numbers = ("wrong", "failing_partitions", "wrong_in_this_run", "errors_in_this_run")
    assert [evaluation.metadata[name].value for name in numbers] == [2, 2, 1, 1]
    table = str(evaluation.metadata["failing"].value)
    assert "](/assets/invoices?view=partitions&partition=2026-08-01%7Cacme)" in table
    assert "fly-billing bill 2026-08" in table
    assert f"(/runs/{list_failures(deployment.database)[0].run_id})" in table

    set_total(deployment, AUGUST, "acme", 202)
    pages.jobs_page("bill_month", ALL[:3], ["usage_rollups", "invoices"])
    assert says(pages, SUM) == "1 month fails: 2026-09 (beta)."

    set_total(deployment, SEPTEMBER, "beta", 202)
    pages.jobs_page("bill_month", ALL, ["usage_rollups", "invoices"])
    assert says(pages, SUM) == PASSES
    assert list_failures(deployment.database) == []


def test_a_check_shows_what_the_last_run_found_even_if_a_run_that_started_later_ended_earlier(
    deployment: Deployment, pages: Pages
) -> None:
    """The page shows the run that was planned last. It ends first, and knows nothing of the other run's month."""
    for month in (AUGUST, SEPTEMBER):
        set_total(deployment, month, "acme", 203)
    pages.launches_newest_first = True

    ended_last, ended_first = pages.jobs_page("bill_month", ALL, ["usage_rollups", "invoices"])

    assert evaluated(deployment, ended_first)[0].startswith("1 month fails: ")
    both = "2 months fail: 2026-08 (acme), 2026-09 (acme)."
    assert evaluated(deployment, ended_last) == [both]
    assert says(pages, SUM) == both


def evaluated(deployment: Deployment, run: DagsterRun) -> list[str]:
    entries = deployment.instance.all_logs(run.run_id, DagsterEventType.ASSET_CHECK_EVALUATION)
    checks = [entry.dagster_event.asset_check_evaluation_data for entry in entries if entry.dagster_event]
    return [str(check.description) for check in checks if check.check_name == SUM[1]]


def test_an_invoice_that_somebody_voided_in_stripe_stays_red_while_other_months_are_synced_and_reconciled(
    deployment: Deployment, pages: Pages, sandbox: SandboxServer
) -> None:
    for month in (AUGUST, SEPTEMBER):
        deployment.sync(month)
    assert says(pages, AGREES) == PASSES
    (invoice,) = [
        invoice
        for invoice in sandbox.control.invoices()
        if (invoice["metadata"]["month"], invoice["metadata"]["organization"]) == ("2026-08", "beta")
    ]
    sandbox.control.edit_object(invoice["id"], status="void")
    pages.launchpad("sync_month", range_of(AUGUST))
    pages.jobs_page("reconcile_month", ["2026-08-01"], ["stripe_reconciliation"])
    assert (says(pages, AGREES), says(pages, STILL_AGREES)) == (
        "1 month fails: 2026-08 (beta).",
        "1 month fails: 2026-08.",
    )

    pages.launchpad("sync_month", range_of(SEPTEMBER))
    pages.jobs_page("reconcile_month", ["2026-09-01"], ["stripe_reconciliation"])
    assert (says(pages, AGREES), says(pages, STILL_AGREES)) == (
        "1 month fails: 2026-08 (beta).",
        "1 month fails: 2026-08.",
    )

    # Stripe can't be read for the one partition that the run asked about.
    stripe_url, deployment.stripe_url = deployment.stripe_url, "http://127.0.0.1:9"
    deployment.run("sync_month", {}, partition=ALL[3])
    assert says(pages, AGREES) == "2 months fail: 2026-08 (beta), 2026-09 (acme)."
    deployment.stripe_url = stripe_url
    deployment.run("sync_month", {}, partition=ALL[4])
    assert says(pages, AGREES) == "2 months fail: 2026-08 (beta), 2026-09 (acme)."
    deployment.run("sync_month", {}, partition=ALL[3])
    assert says(pages, AGREES) == "1 month fails: 2026-08 (beta)."

    sandbox.control.edit_object(invoice["id"], status=invoice["status"])
    pages.launchpad("sync_month", range_of(AUGUST))
    pages.jobs_page("reconcile_month", ["2026-08-01", "2026-09-01"], ["stripe_reconciliation"])
    assert (says(pages, AGREES), says(pages, STILL_AGREES)) == (PASSES, PASSES)


def test_a_command_fails_for_its_own_month_only_and_mentions_the_others(
    deployment: Deployment, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", deployment.database_url)
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(deployment.landing_dir))
    monkeypatch.setenv("FLY_BILLING_LAKE_DIR", str(deployment.lake_dir))
    set_total(deployment, AUGUST, "acme", 203)
    runs = Runs(deployment.instance, deployment.database)

    assert runs.bill(AUGUST) is None
    (failure,) = runs.record.failed_checks
    assert failure.startswith("items_sum_to_the_total 2026-08: 1 wrong")
    assert runs.record.other_months == {}

    runs = Runs(deployment.instance, deployment.database)
    assert runs.bill(SEPTEMBER) is not None
    assert runs.record.is_clean
    assert runs.record.other_months == {"items_sum_to_the_total": "2026-08 (acme)"}
