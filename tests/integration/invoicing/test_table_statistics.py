"""After a large month was billed, Postgres knows how many rows it has: else its checks would compare all with all."""

from __future__ import annotations

import json
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from fly_billing.corrections.month_run import BillingRun, bill_and_correct
from fly_billing.corrections.rules.guard import OFF
from fly_billing.embedded_postgres import PostgresServer
from fly_billing.embedded_postgres.roles import PIPELINE
from fly_billing.invoicing.table_statistics import gather_statistics
from fly_billing.open_months.changes import find_changes
from fly_billing.open_months.update import Update, bring_up_to_date
from fly_billing.postgres.connections import DatabaseProblem
from fly_billing.postgres.database import BillingDatabase
from tests.support.builders import OCTOBER, SEPTEMBER, TERMS, Platform, at, event, write_jsonl

INVOICES_OF_MONTH = "explain (format json) select * from invoices where month = :month"


@pytest.fixture
def large(platform: Platform) -> Platform:
    """A thousand organizations that owe $1.01 in September, and again in October."""
    platform.execute(
        "insert into organizations (id, name, currency, billing_group, created_at)"
        " select 'org-' || n, 'Org ' || n, 'USD', 'org-' || n, '2026-01-10Z' from generate_series(1, 1000) as n"
    )
    platform.execute(
        "insert into one_off_items (id, organization_id, description, amount, currency, occurred_at)"
        " select gen_random_uuid(), 'org-' || n, 'Setup', 1.01, 'USD', day"
        " from generate_series(1, 1000) as n, unnest(array['2026-09-05Z', '2026-10-05Z']::timestamptz[]) as day"
    )
    # A test decides when statistics are gathered, not autovacuum.
    platform.execute("alter table invoices set (autovacuum_enabled = false)")
    return platform


@pytest.fixture
def pipeline(postgres: PostgresServer, large: Platform) -> BillingDatabase:
    """The same database as runs see it: their role owns no table."""
    return BillingDatabase(postgres.url(str(large.database.engine.url.database), role=PIPELINE))


def expected_invoices(platform: Platform, month: Any) -> int:
    """Return the number of invoices of the month that Postgres plans for."""
    with platform.database.transaction() as connection:
        plan = connection.execute(text(INVOICES_OF_MONTH), {"month": month.first_day}).scalar_one()
    found = plan if isinstance(plan, list) else json.loads(plan)
    return int(found[0]["Plan"]["Plan Rows"])


def fixed(now: datetime) -> datetime:
    return now


def run_of(database: BillingDatabase, platform: Platform, month: Any) -> None:
    run = BillingRun(database, platform.usage_table, TERMS, OFF, "run", lambda: month.start.replace(day=20))
    platform.roll_up(month, month.start.replace(day=20))
    bill_and_correct(run, month, platform.organizations())


def test_a_billed_month_is_planned_with_all_its_invoices(large: Platform, pipeline: BillingDatabase) -> None:
    for month in (SEPTEMBER, OCTOBER):
        run_of(pipeline, large, month)
        assert expected_invoices(large, month) == 1001


def test_a_new_month_that_the_light_update_billed_is_planned_with_all_its_invoices(
    large: Platform, pipeline: BillingDatabase
) -> None:
    """On the first day of a month, the update bills everybody, and checks it at once."""
    for month in (SEPTEMBER, OCTOBER):
        now = month.start.replace(day=20)
        write_jsonl(large.landing_dir, [event(str(month), "1", time=now.isoformat())], now.date())
        update = Update(pipeline, large.usage_table, large.landing_dir, TERMS, "run", partial(fixed, now))
        changes = find_changes(pipeline, large.landing_dir, now, TERMS.grace)
        bring_up_to_date(update, changes, all_months=True)
        assert expected_invoices(large, month) == 1001


def test_without_it_a_new_month_is_planned_as_if_it_had_one_invoice(large: Platform) -> None:
    """This is what the checks of every large new month met until autovacuum had come by."""
    large.roll_up()
    large.bill()
    large.execute("analyze invoices")
    large.roll_up(OCTOBER, at("2026-10-20"))
    large.bill(OCTOBER, at("2026-10-20"))
    assert expected_invoices(large, OCTOBER) == 1
    gather_statistics(large.database, OCTOBER, 1000)
    assert expected_invoices(large, OCTOBER) == 1001


def test_a_small_run_gathers_nothing(large: Platform) -> None:
    large.roll_up()
    large.bill()
    gather_statistics(large.database, SEPTEMBER, 999)
    assert large.query("select relname from pg_class where relname = 'invoice_snapshots' and reltuples >= 0") == []


def test_tables_that_postgres_knows_well_are_not_read_again(large: Platform) -> None:
    large.roll_up()
    large.bill()
    analyzed = [
        len(large.database.rows("gather_statistics", month=month.first_day))
        for month in (SEPTEMBER, SEPTEMBER, OCTOBER)
    ]
    # Invoices, items and both snapshots; none; and those with a month, of which October is unknown.
    assert analyzed == [4, 0, 2]


def test_a_run_does_not_wait_for_a_table_that_is_analyzed_now(large: Platform) -> None:
    large.roll_up()
    large.bill()
    with large.database.transaction() as other:
        other.execute(text("analyze invoices"))
        gather_statistics(large.database, SEPTEMBER, 1000)


def test_the_owners_function_analyzes_no_table_of_others(pipeline: BillingDatabase) -> None:
    """An index of somebody's table could run code with the owner's rights."""
    with pytest.raises(DatabaseProblem, match="is not one of our tables"), pipeline.transaction() as connection:
        connection.execute(text("create temp table mine (id int)"))
        connection.execute(text("select analyze_table('mine')"))
