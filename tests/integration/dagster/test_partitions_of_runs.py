"""A run covers exactly the requested partitions, from any page that launches it, or it fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterEventType, DagsterRun, DagsterRunStatus

from fly_billing.definitions import build_defs
from fly_billing.jobs import bill_open_months_nightly
from fly_billing.partitions import landing_days, months
from fly_billing.periods import BillingMonth
from tests.support.dagster_pages import IN_MEMORY, Pages, open_pages
from tests.support.deployment import Deployment, dagster_instance, machine_seconds

# Dagster warns about its own properties while it loads a code location.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:dagster.*")
SEPTEMBER, OCTOBER = BillingMonth(2026, 9), BillingMonth(2026, 10)
ORGANIZATIONS = ("acme", "beta", "corp")
ALL = [f"{month}-01|{organization}" for month in (SEPTEMBER, OCTOBER) for organization in ORGANIZATIONS]
BILLING = ("usage_rollups", "invoices")
COUNTS = ("files", "landed", "accepted", "duplicate", "rejected")
# A shared-cpu-1x 256MB Machine for 30 days is $2.02.
EACH_OWES_202 = dict.fromkeys(ORGANIZATIONS, ("open", 202))


@pytest.fixture
def pages(deployment: Deployment, tmp_path: Path) -> Iterator[Pages]:
    """Provide the pages on 2 October: September is in its grace period. Each organization ran a Machine each month."""
    deployment.now = datetime(2026, 10, 2, tzinfo=UTC)
    with dagster_instance(IN_MEMORY) as instance:
        deployment.instance = instance
        deployment.load_prices()
        for organization in ORGANIZATIONS:
            deployment.add_organization(organization)
        with open_pages(deployment, instance, tmp_path) as pages:
            yield pages


def land_a_machine_each_month(deployment: Deployment) -> None:
    events = [
        machine_seconds(f"{organization}-{month}", organization, month.start, "2592000")
        for organization in ORGANIZATIONS
        for month in (SEPTEMBER, OCTOBER)
    ]
    deployment.write_usage(date(2026, 10, 1), events)
    deployment.land(date(2026, 10, 1), date(2026, 10, 1))


def materialized(deployment: Deployment, asset: str) -> set[str]:
    """Return the partitions that have a materialization, without Dagster's status cache."""
    return set(deployment.instance.get_materialized_partitions(AssetKey(asset)))


def materialized_by(deployment: Deployment, run: DagsterRun, asset: str) -> list[str]:
    entries = deployment.instance.all_logs(run.run_id, DagsterEventType.ASSET_MATERIALIZATION)
    events = [entry.dagster_event for entry in entries if entry.dagster_event]
    return sorted(str(event.partition) for event in events if event.asset_key == AssetKey(asset))


def cause(deployment: Deployment, run: DagsterRun) -> str:
    """Return the error of the run's first failed step."""
    entries = deployment.instance.all_logs(run.run_id, DagsterEventType.STEP_FAILURE)
    error = entries[0].dagster_event.step_failure_data.error  # type: ignore[union-attr]
    return " ".join(str(problem.message) for problem in (error, error.cause) if problem)  # type: ignore[union-attr]


def statuses(deployment: Deployment, runs: Sequence[DagsterRun]) -> list[DagsterRunStatus]:
    return [run.status for run in deployment.instance.get_runs() if run.run_id in {run.run_id for run in runs}]


def test_all_months_and_organizations_from_a_jobs_page_are_all_billed(deployment: Deployment, pages: Pages) -> None:
    """Dagster leaves the first partition's tags beside the range, in the run of another month, too (issue 28861)."""
    land_a_machine_each_month(deployment)

    runs = sorted(
        pages.jobs_page("bill_month", ALL, BILLING), key=lambda run: run.tags["dagster/asset_partition_range_start"]
    )

    assert [run.tags["dagster/asset_partition_range_start"] for run in runs] == [ALL[0], ALL[3]]
    leftovers = {(run.tags["dagster/partition/month"], run.tags["dagster/partition/org"]) for run in runs}
    assert len(leftovers) == 1
    assert statuses(deployment, runs) == [DagsterRunStatus.SUCCESS] * 2
    assert deployment.totals(SEPTEMBER) == EACH_OWES_202
    assert deployment.totals(OCTOBER) == EACH_OWES_202
    for asset in BILLING:
        assert materialized_by(deployment, runs[0], asset) == ALL[:3], asset
        assert materialized_by(deployment, runs[1], asset) == ALL[3:], asset


def test_only_the_organizations_selected_on_a_jobs_page_are_billed(deployment: Deployment, pages: Pages) -> None:
    land_a_machine_each_month(deployment)

    runs = pages.jobs_page("bill_month", [ALL[0], ALL[2], ALL[3], ALL[5]], BILLING)

    billed = {"acme": ("open", 202), "corp": ("open", 202)}
    assert (deployment.totals(SEPTEMBER), deployment.totals(OCTOBER)) == (billed, billed)
    assert materialized(deployment, "invoices") == {ALL[0], ALL[2], ALL[3], ALL[5]}
    assert sum(len(materialized_by(deployment, run, "invoices")) for run in runs) == 4


def test_the_other_jobs_pages_cover_every_partition_too(deployment: Deployment, pages: Pages) -> None:
    days = [day for day in landing_days.get_partition_keys() if "2026-09-29" <= day <= "2026-10-02"]
    of_months = [key for key in months.get_partition_keys() if "2026-08-01" <= key <= "2026-10-01"]

    runs = pages.jobs_page("land_usage", days, ["usage_events"])
    runs += pages.jobs_page("sync_month", ALL, ["stripe_invoices"])
    runs += pages.jobs_page("reconcile_month", of_months, ["stripe_reconciliation"])

    assert set(statuses(deployment, runs)) == {DagsterRunStatus.SUCCESS}
    assert materialized(deployment, "usage_events") == {*days}
    assert materialized(deployment, "stripe_invoices") == {*ALL}
    assert materialized(deployment, "stripe_reconciliation") == {*of_months}
    reconciled = deployment.execute("select month from stripe_reconciliations order by month")
    assert [str(row["month"]) for row in reconciled] == of_months


def test_an_assets_page_covers_every_partition(deployment: Deployment, pages: Pages) -> None:
    land_a_machine_each_month(deployment)
    pages.asset_page(BILLING, ALL)
    assert (deployment.totals(SEPTEMBER), deployment.totals(OCTOBER)) == (EACH_OWES_202, EACH_OWES_202)
    assert materialized(deployment, "invoices") == {*ALL}


def test_a_launchpad_covers_its_range_or_its_single_partition_and_re_execution_the_same(
    deployment: Deployment, pages: Pages
) -> None:
    land_a_machine_each_month(deployment)
    single_partition = {
        "dagster/partition": ALL[1],
        "dagster/partition/month": "2026-09-01",
        "dagster/partition/org": "beta",
    }

    (single,) = pages.launchpad("bill_month", single_partition)
    assert materialized(deployment, "invoices") == {ALL[1]}

    tags = {"dagster/asset_partition_range_start": ALL[3], "dagster/asset_partition_range_end": ALL[5]}
    (ranged,) = pages.launchpad("bill_month", tags)
    assert materialized(deployment, "invoices") == {ALL[1], *ALL[3:]}
    assert (deployment.totals(SEPTEMBER), deployment.totals(OCTOBER)) == ({"beta": ("open", 202)}, EACH_OWES_202)

    (again,) = pages.reexecute(single)
    assert materialized_by(deployment, again, "invoices") == [ALL[1]]
    (again,) = pages.reexecute(ranged)
    assert materialized_by(deployment, again, "invoices") == ALL[3:]


def test_a_schedules_run_covers_all_organizations_of_its_month(deployment: Deployment, pages: Pages) -> None:
    land_a_machine_each_month(deployment)
    tags = deployment.tags(SEPTEMBER)
    assert bill_open_months_nightly.job_name == "bill_month"

    (run,) = pages.launchpad("bill_month", tags)

    assert materialized_by(deployment, run, "invoices") == ALL[:3]
    assert deployment.totals(SEPTEMBER) == EACH_OWES_202


@pytest.mark.parametrize(
    ("first", "last", "problem"),
    [
        ("2026-11-01|acme", "2026-11-01|corp", "2026-11 has not begun. The last month that can be billed is 2026-10"),
        ("2026-10-01|acme", "2026-09-01|corp", "the range 2026-10 to 2026-09 is reversed"),
    ],
    ids=["a month that has not begun", "a reversed range"],
)
def test_a_launchpad_refuses_partitions_that_cannot_be_billed(
    deployment: Deployment, pages: Pages, first: str, last: str, problem: str
) -> None:
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    (run,) = pages.launchpad("bill_month", tags)
    assert statuses(deployment, [run]) == [DagsterRunStatus.FAILURE]
    assert problem in cause(deployment, run)
    assert deployment.execute("select * from invoices") == []


def test_every_job_refuses_partitions_after_the_last_valid_one_and_reversed_ranges(deployment: Deployment) -> None:
    deployment.now = datetime(2026, 10, 2, tzinfo=UTC)
    deployment.add_organization("acme")
    last = {"day": "2026-10-03 has not begun. The last day that can be landed is 2026-10-02"}
    last["month"] = "2026-11 has not begun. The last month that can be billed is 2026-10"
    jobs = [job for job in build_defs().resolve_all_job_defs() if job.partitions_def and not job.name.startswith("__")]
    assert len(jobs) >= 4
    for job in jobs:
        if job.partitions_def == landing_days:
            ranges = {("2026-10-03", "2026-10-03"): last["day"], ("2026-10-02", "2026-10-01"): "is reversed"}
        else:
            end = "" if job.partitions_def == months else "|acme"
            ranges = {
                (f"2026-11-01{end}", f"2026-11-01{end}"): last["month"],
                (f"2026-10-01{end}", f"2026-09-01{end}"): "is reversed",
            }
        for (start, stop), problem in ranges.items():
            tags = {"dagster/asset_partition_range_start": start, "dagster/asset_partition_range_end": stop}
            result = deployment.run(job.name, tags, fails=True)
            failed = next(event for event in result.all_events if event.is_step_failure)
            assert problem in failed.step_failure_data.error_display_string, (job.name, start, stop)
    assert deployment.execute("select * from invoices") == []


def test_a_landing_day_shows_only_its_own_rows(deployment: Deployment, pages: Pages) -> None:
    first, second = date(2026, 9, 29), date(2026, 9, 30)
    rows = [machine_seconds(f"e{number}", "acme", SEPTEMBER.start, "60") for number in range(3)]
    deployment.write_usage(first, [*rows[:2], {**rows[2], "type": "no such meter"}])
    deployment.write_usage(second, rows[2:])

    result = deployment.land(first, second)

    shown = {
        event.partition: {name: event.step_materialization_data.materialization.metadata[name].value for name in COUNTS}
        for event in result.get_asset_materialization_events()
    }
    assert shown == {
        "2026-09-29": {"files": 1, "landed": 3, "accepted": 2, "duplicate": 0, "rejected": 1},
        "2026-09-30": {"files": 1, "landed": 1, "accepted": 1, "duplicate": 0, "rejected": 0},
    }
