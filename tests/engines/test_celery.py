"""Two Celery workers bill months to the cent like one process, and exactly once, even if a worker is killed.

The months are the last closed ones of the real calendar, because the code location uses the real clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from sqlalchemy import Connection, text

from fly_billing.embedded_postgres import PostgresServer, create_database, drop_database
from fly_billing.jobs import tags_of_runs
from fly_billing.partitions import RANGE_START
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, lock_until_commit
from tests.engines.celery_workers import CeleryWorkers, dagster_home, redis_server, wait_until
from tests.support.deployment import Deployment, event, machine_seconds

NOW = datetime.now(UTC)
# Closed for a month and more.
MONTHS = [BillingMonth.containing(NOW).plus(-n) for n in range(7, 1, -1)]
FIRST, SECOND, THIRD, FOURTH, FIFTH, SIXTH = MONTHS
# 2.02 + a quarter of that + 12.5 GB at 0.02 = 2.775; 0.505; both rounded half-up once.
OWED = {"acme": ("finalized", 278), "beta": ("finalized", 51)}
OWED_IN_SECOND = {"acme": ("finalized", 404), "beta": ("finalized", 0)}
LANDED = "billing_with_landed_usage"
# The last write of billing a month: a process that waits for it has finalized all invoices and committed none.
LAST_WRITTEN = "billing_failures"
STANDING = (
    "select count(distinct pid) as standing from pg_locks"
    " where not granted and database = (select oid from pg_database where datname = current_database())"
)


def use(deployment: Deployment, month: BillingMonth, *usage: Mapping[str, Any]) -> None:
    deployment.write_usage(month.first_day + timedelta(days=20), usage)


def write_usage(deployment: Deployment) -> None:
    """Write usage of acme and beta in each month, with more Machines and nothing else in the second."""
    for month in (FIRST, THIRD, FOURTH, FIFTH, SIXTH):
        noon = month.start + timedelta(days=13, hours=12)
        use(
            deployment,
            month,
            machine_seconds(f"{month} 1", "acme", noon, "2592000"),
            machine_seconds(f"{month} 2", "acme", noon, "648000"),
            event(f"{month}", "egress_gb", "acme", noon, "12.5", app="web", region="ams"),
            machine_seconds(f"{month} 3", "beta", noon, "648000"),
        )
    use(deployment, SECOND, machine_seconds("4", "acme", SECOND.start, "5184000"))


@pytest.fixture(scope="module")
def landed(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A platform whose usage of all months has landed and is not rolled up; tests copy it."""
    folder = tmp_path_factory.mktemp("landed")
    create_database(postgres, LANDED, template="billing_template")
    database = BillingDatabase(postgres.url(LANDED))
    (folder / "landing").mkdir()
    with DagsterInstance.local_temp(str(folder)) as instance:
        deployment = Deployment(
            database, postgres.url(LANDED), folder / "landing", folder / "usage_events", "", instance, NOW
        )  # fmt: skip
        deployment.load_prices()
        for organization in ("acme", "beta"):
            deployment.add_organization(organization)
        write_usage(deployment)
        deployment.land(FIRST.first_day, SIXTH.last_landing_day(timedelta(hours=72)))
        database.engine.dispose()
        yield deployment
    drop_database(postgres, LANDED)


@contextmanager
def copy_of(landed: Deployment, postgres: PostgresServer, name: str, instance: DagsterInstance) -> Iterator[Deployment]:
    """Copy the platform with a separate database, for another Dagster."""
    create_database(postgres, name, template=LANDED)
    database = BillingDatabase(postgres.url(name))
    deployment = replace(landed, database=database, database_url=postgres.url(name), instance=instance)
    deployment.register_organizations()
    yield deployment
    database.engine.dispose()
    drop_database(postgres, name)


@pytest.fixture(scope="module")
def workers_and_deployment(
    landed: Deployment, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[CeleryWorkers, Deployment]]:
    folder = tmp_path_factory.mktemp("celery")
    create_database(postgres, "dagster_of_celery")
    with redis_server(folder) as redis, pytest.MonkeyPatch.context() as patch:
        names = {
            "DAGSTER_HOME": str(dagster_home(folder)),
            "DATABASE_URL": postgres.url("billing_of_celery"),
            "DAGSTER_DATABASE_URL": postgres.url("dagster_of_celery", "postgresql+psycopg2"),
            "DAGSTER_EVENT_BATCH_SIZE": "1000",
            "FLY_BILLING_LANDING_DIR": str(landed.landing_dir),
            "FLY_BILLING_LAKE_DIR": str(landed.lake_dir),
            "FLY_BILLING_EXECUTOR": "celery",
            "DAGSTER_CELERY_BROKER_URL": redis,
            "DAGSTER_CELERY_BACKEND_URL": redis,
            "PYTHONWARNINGS": "ignore",
        }
        patch.setenv("DAGSTER_DATABASE_URL", names["DAGSTER_DATABASE_URL"])
        with (
            DagsterInstance.from_config(names["DAGSTER_HOME"]) as instance,
            copy_of(landed, postgres, "billing_of_celery", instance) as deployment,
        ):
            workers = CeleryWorkers(folder, names, instance)
            yield workers, deployment
            workers.stop_all()
    drop_database(postgres, "dagster_of_celery")


@pytest.fixture
def workers(workers_and_deployment: tuple[CeleryWorkers, Deployment]) -> CeleryWorkers:
    workers, _ = workers_and_deployment
    workers.start("one", "two")
    return workers


@pytest.fixture
def celery_deployment(workers_and_deployment: tuple[CeleryWorkers, Deployment]) -> Deployment:
    return workers_and_deployment[1]


@contextmanager
def held(deployment: Deployment, *locks: str, table: str | None = None) -> Iterator[Connection]:
    """Hold these locks, or block writers of a table, during the block: processes that need them wait in the middle."""
    with deployment.database.transaction() as connection:
        for lock in locks:
            lock_until_commit(connection, lock)
        if table:
            connection.execute(text(f"lock table {table} in share mode"))
        yield connection


def standing(deployment: Deployment) -> int:
    """Return the number of transactions on the platform that wait for a lock."""
    return int(deployment.execute(STANDING)[0]["standing"])


def billed(deployment: Deployment, month: BillingMonth) -> list[Mapping[str, Any]]:
    """Return the month's invoices without ids, time and number, which depends on the order of concurrent months."""
    return deployment.execute(
        "select i.organization_id, i.revision, i.status, i.currency, i.amount, i.total_cents,"
        " t.position, t.kind, t.description, t.quantity, t.amount as item_amount, t.amount_cents, t.detail"
        " from invoices as i left join invoice_items as t on t.invoice_id = i.id where i.month = :month"
        " order by i.organization_id, i.revision, t.position",
        month=month.first_day,
    )


def test_two_workers_that_roll_up_two_months_at_once_bill_the_same_cents_as_one_process(
    workers: CeleryWorkers,
    celery_deployment: Deployment,
    landed: Deployment,
    postgres: PostgresServer,
    tmp_path: Path,
) -> None:
    with held(celery_deployment, f"usage_rollups {FIRST}", f"usage_rollups {SECOND}"):
        runs = [workers.bill(month, celery_deployment.tags(month)) for month in (FIRST, SECOND)]
        wait_until(lambda: standing(celery_deployment) == 2, "two workers are at two months")

    assert [run.finish() for run in runs] == [True, True], [run.why_it_failed() for run in runs]
    assert sorted(run.worked_off_by("usage_rollups")[0] for run in runs) == ["one", "two"]
    assert [len(run.worked_off_by("invoices")) for run in runs] == [1, 1]
    assert celery_deployment.totals(FIRST) == OWED
    assert celery_deployment.totals(SECOND) == OWED_IN_SECOND
    with (
        DagsterInstance.local_temp(str(tmp_path)) as instance,
        copy_of(landed, postgres, "billing_in_one_process", instance) as one_process,
    ):
        for month in (FIRST, SECOND):
            one_process.bill(month)
            assert billed(celery_deployment, month) == billed(one_process, month)


def test_two_workers_share_a_month_and_bill_it_like_one_process(
    workers: CeleryWorkers, celery_deployment: Deployment, landed: Deployment, postgres: PostgresServer, tmp_path: Path
) -> None:
    """Each has the locks of its organization's group, and holds them until both have begun."""
    runs = tags_of_runs(celery_deployment.instance, celery_deployment.database, SIXTH, 2)
    assert [tags[RANGE_START].split("|")[1] for tags in runs] == ["acme", "beta"]
    with held(celery_deployment, table=LAST_WRITTEN):
        begun = [workers.bill(SIXTH, tags) for tags in runs]
        wait_until(lambda: standing(celery_deployment) == 2, "two workers have billed their halves of the month")

    assert [run.finish() for run in begun] == [True, True], [run.why_it_failed() for run in begun]
    assert sorted(run.worked_off_by("invoices")[0] for run in begun) == ["one", "two"]
    assert celery_deployment.totals(SIXTH) == OWED
    with (
        DagsterInstance.local_temp(str(tmp_path)) as instance,
        copy_of(landed, postgres, "billing_of_a_shared_month", instance) as one_process,
    ):
        one_process.bill(SIXTH)
        assert billed(celery_deployment, SIXTH) == billed(one_process, SIXTH)


def test_a_month_billed_again_by_the_workers_is_billed_once(
    workers: CeleryWorkers, celery_deployment: Deployment
) -> None:
    assert workers.bill(FIRST, celery_deployment.tags(FIRST)).finish()
    before = billed(celery_deployment, FIRST)

    again = [workers.bill(FIRST, celery_deployment.tags(FIRST)) for _ in range(2)]

    assert [run.finish() for run in again] == [True, True]
    assert billed(celery_deployment, FIRST) == before
    assert celery_deployment.totals(FIRST) == OWED
    assert celery_deployment.execute("select * from adjustments") == []


def test_an_organization_that_can_not_be_billed_fails_its_run_on_the_workers_and_the_others_are_billed(
    workers: CeleryWorkers, celery_deployment: Deployment
) -> None:
    celery_deployment.add_organization("broken", created_at=FIFTH.start)
    celery_deployment.execute(
        "insert into subscriptions values (gen_random_uuid(), 'broken', 'support/gold', :start, null)",
        start=FIFTH.start,
    )

    run = workers.bill(FIFTH, celery_deployment.tags(FIFTH))

    assert not run.finish()
    assert run.status() == DagsterRunStatus.FAILURE
    assert not run.is_launched_again()
    assert celery_deployment.totals(FIFTH) == OWED
    assert celery_deployment.statuses("invoices", FIFTH, ["acme", "beta", "broken"]) == {
        "acme": "MATERIALIZED",
        "beta": "MATERIALIZED",
        "broken": "FAILED",
    }
    (failure,) = celery_deployment.execute("select organization_id, code from billing_failures")
    assert failure == {"organization_id": "broken", "code": "unpriced_subscription"}


def test_a_step_whose_process_is_killed_fails_its_run_and_the_next_run_bills_the_month_once(
    workers: CeleryWorkers, celery_deployment: Deployment
) -> None:
    with held(celery_deployment, table=LAST_WRITTEN):
        run = workers.bill(THIRD, celery_deployment.tags(THIRD))
        wait_until(
            lambda: standing(celery_deployment) == 1, "all invoices are written and final, and nothing is committed"
        )
        workers.kill_process_of(*run.worked_off_by("invoices"))
        assert not run.finish()

    assert run.status() == DagsterRunStatus.FAILURE
    assert "Worker exited prematurely: signal 9 (SIGKILL)" in run.why_it_failed()
    assert run.is_launched_again()
    assert celery_deployment.totals(THIRD) == {}
    assert workers.bill(THIRD, celery_deployment.tags(THIRD)).finish()
    assert celery_deployment.totals(THIRD) == OWED


def test_another_worker_runs_the_step_of_a_failed_machine_and_the_month_is_billed_once(
    workers: CeleryWorkers, celery_deployment: Deployment
) -> None:
    with held(celery_deployment, table=LAST_WRITTEN):
        run = workers.bill(FOURTH, celery_deployment.tags(FOURTH))
        wait_until(
            lambda: standing(celery_deployment) == 1, "all invoices are written and final, and nothing is committed"
        )
        (gone,) = run.worked_off_by("invoices")
        workers.kill_machine_of(gone)
    wait_until(lambda: standing(celery_deployment) == 0, "the server notices that its client is gone")
    assert celery_deployment.totals(FOURTH) == {}

    # An hour in production: longer than any step.
    workers.start("replacement", FLY_BILLING_CELERY_REDELIVER_SECONDS="20")

    assert run.finish(), run.why_it_failed()
    assert run.worked_off_by("invoices")[0] == gone
    assert gone not in run.worked_off_by("invoices")[1:]
    assert celery_deployment.totals(FOURTH) == OWED
