"""The table `failed_checks`: a run replaces its own partitions' failures and removes those that can't be checked."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from threading import Event, Thread

import pytest
from dagster import DagsterInstance, build_sensor_context

from fly_billing.checks.failed_checks import checks_locked, list_failures, replace_failures
from fly_billing.checks.rules.failures import FailedCheck, Place
from fly_billing.postgres.database import BillingDatabase
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.sensors.alert_on_failed_check import alert_on_failed_check
from tests.support.stripe_builders import add_organization, execute, query

SUM, PRICED = "items_sum_to_the_total", "every_rollup_is_priced_in_exactly_one_item"
OCTOBER_5 = datetime(2026, 10, 5, tzinfo=UTC)
RUN = "6f1c8c1e-7d5a-4f0e-9a53-0b6f0c7f1d11"
ACME, BETA = Place("2026-08", "acme"), Place("2026-08", "beta")
AUGUST, SEPTEMBER = [ACME, BETA], [Place("2026-09", "acme"), Place("2026-09", "beta")]


def run(
    database: BillingDatabase,
    checked: Collection[Place],
    wrong: Collection[Place],
    *,
    check: str = SUM,
    at: datetime = OCTOBER_5,
    run_id: str = RUN,
    checks: Collection[str] = (SUM, PRICED),
) -> list[Place]:
    """Record the findings of a run of `invoices`; return the failures afterwards."""
    found = [
        FailedCheck(
            id=0,
            asset="invoices",
            check_name=check,
            period=place.period,
            billing_group=place.billing_group,
            is_warning=False,
            wrong=2,
            reason="two invoices differ",
            is_reported=False,
            failed_since=at,
            run_id=run_id,
        )
        for place in wrong
    ]
    with checks_locked(database, "invoices"), database.transaction() as connection:
        replace_failures(connection, "invoices", checks, checked, found, at)
    return [failure.place for failure in list_failures(database)]


@pytest.fixture
def database(billing_database: BillingDatabase) -> BillingDatabase:
    for name in ("acme", "beta"):
        add_organization(billing_database, name)
    return billing_database


def test_a_run_replaces_the_failures_of_its_own_partitions_only(database: BillingDatabase) -> None:
    assert run(database, AUGUST, [ACME]) == [ACME]
    assert run(database, SEPTEMBER, []) == [ACME]
    assert run(database, [BETA], [BETA]) == [ACME, BETA]
    assert run(database, AUGUST, [BETA]) == [BETA]
    assert run(database, [*AUGUST, *SEPTEMBER], []) == []


def test_each_check_has_its_own_failures(database: BillingDatabase) -> None:
    run(database, [], [ACME], check=SUM)
    run(database, [], [ACME], check=PRICED)
    assert [failure.check_name for failure in list_failures(database)] == [PRICED, SUM]
    run(database, AUGUST, [ACME], check=PRICED)
    assert [failure.check_name for failure in list_failures(database)] == [PRICED]


def test_a_failure_keeps_its_beginning_until_the_check_passes(database: BillingDatabase) -> None:
    run(database, AUGUST, [ACME], run_id="first")
    (before,) = list_failures(database)
    later = datetime(2026, 10, 6, tzinfo=UTC)
    run(database, AUGUST, [ACME], at=later, run_id="second")
    (after,) = list_failures(database)
    assert (after.failed_since, after.id, after.run_id) == (OCTOBER_5, before.id, "second")

    run(database, AUGUST, [])
    run(database, AUGUST, [ACME], at=later)
    (again,) = list_failures(database)
    assert again.failed_since == later
    assert again.id > before.id


def test_a_failure_of_a_whole_month_is_replaced_by_any_run_of_that_month(database: BillingDatabase) -> None:
    month = Place("2026-08")
    assert run(database, AUGUST, [month]) == [month]
    assert run(database, SEPTEMBER, []) == [month]
    assert run(database, [BETA], []) == []


def test_a_runs_findings_in_another_month_are_added_and_replaced_by_a_run_of_that_month(
    database: BillingDatabase,
) -> None:
    assert run(database, SEPTEMBER, [ACME]) == [ACME]
    assert run(database, SEPTEMBER, []) == [ACME]
    assert run(database, AUGUST, []) == []


def test_a_billing_group_without_organizations_does_not_stay_red(database: BillingDatabase) -> None:
    run(database, AUGUST, [ACME])
    execute(database, "update organizations set billing_group = 'shared-00' where id = 'acme'")
    assert run(database, SEPTEMBER, []) == []


def test_a_month_that_has_not_begun_does_not_stay_red(database: BillingDatabase) -> None:
    """The clock was wrong when the month failed."""
    november = Place("2026-11", "acme")
    assert run(database, [november], [november], at=datetime(2026, 11, 2, tzinfo=UTC)) == [november]
    assert run(database, SEPTEMBER, []) == []


def test_a_check_that_the_asset_does_not_have_any_more_does_not_stay_red(database: BillingDatabase) -> None:
    run(database, AUGUST, [ACME], check=PRICED)
    assert run(database, SEPTEMBER, [], checks=[SUM]) == []


def test_runs_of_the_same_asset_take_turns(database: BillingDatabase) -> None:
    """Otherwise a run would show as wrong what another run fixed before that was shown."""
    has_written = Event()

    def other_run() -> None:
        run(database, AUGUST, [])
        has_written.set()

    waiting = "select 1 from pg_locks where locktype = 'advisory' and not granted"
    run(database, AUGUST, [ACME])
    with checks_locked(database, "invoices"):
        thread = Thread(target=other_run)
        thread.start()
        while thread.is_alive() and not query(database, waiting):
            pass
        assert not has_written.is_set()
        assert [failure.place for failure in list_failures(database)] == [ACME]
    thread.join()
    assert list_failures(database) == []


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


def test_failed_checks_are_alerted_after_the_database_can_be_read_again(
    database: BillingDatabase, instance: DagsterInstance
) -> None:
    cursor: str | None = None
    url = database.engine.url.render_as_string(hide_password=False)
    run(database, AUGUST, [ACME])
    for address in ("postgresql://billing@127.0.0.1:1/billing", url):
        assert query(database, "select subject from alerts") == []
        resources = {
            "billing_postgres": BillingPostgres(url=address),
            "alerts": Alerts(alert_webhook_url="http://127.0.0.1:9/"),
        }
        with build_sensor_context(instance, cursor=cursor, resources=resources) as context:
            cursor = alert_on_failed_check.evaluate_tick(context).cursor
    (alert,) = query(database, "select subject from alerts")
    assert alert["subject"] == f"Check failed: {SUM} of 2026-08"


def test_each_red_month_is_alerted_once_until_it_is_fixed(database: BillingDatabase, instance: DagsterInstance) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    resources = {
        "billing_postgres": BillingPostgres(url=url),
        "alerts": Alerts(alert_webhook_url="http://127.0.0.1:9/"),
    }
    cursor: str | None = None

    def subjects() -> list[str]:
        nonlocal cursor
        with build_sensor_context(instance, cursor=cursor, resources=resources) as context:
            cursor = alert_on_failed_check.evaluate_tick(context).cursor
        return [row["subject"] for row in query(database, "select subject from alerts order by id")]

    august, september = (f"Check failed: {SUM} of {month}" for month in ("2026-08", "2026-09"))
    assert subjects() == []
    run(database, AUGUST, [ACME])
    assert subjects() == [august]

    run(database, SEPTEMBER, [])
    run(database, AUGUST, [ACME, BETA])
    assert subjects() == [august]

    run(database, SEPTEMBER, SEPTEMBER)
    assert subjects() == [august, september]

    run(database, AUGUST, [])
    assert subjects() == [august, september]
    run(database, AUGUST, [ACME])
    assert subjects() == [august, september, august]

    (body,) = {row["body"] for row in query(database, "select body from alerts where subject like '%-09'")}
    assert body.splitlines() == [
        "4 rows wrong",
        "- 2 billing groups (acme, beta): two invoices differ",
        "What to do: fix the cause, then check it again: fly-billing bill 2026-09",
        f"Run in Dagster: {RUN}",
    ]
