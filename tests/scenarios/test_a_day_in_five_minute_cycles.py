"""A small day of `make soak-continuous`: the first hours of 40 organizations, with the nightly run at two."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from random import Random

from fly_billing.embedded_postgres import PostgresServer
from fly_billing.postgres.database import BillingDatabase
from fly_billing.testing.throwaway import throwaway_database
from fly_billing.usage.landing_run import land_and_check
from fly_billing.usage.usage_table import UsageTable
from tests.bench.sample_of_size import MONTH, add_records, make_sample
from tests.continuous_soak.__main__ import START, link_days
from tests.continuous_soak.day import CYCLE, Day
from tests.continuous_soak.scratch import build_from_scratch, digests

ORGANIZATIONS, EVENTS = 40, 2000
# Until 02:05: 25 light runs, two hourly landings, terms that change three times, and the nightly run.
CYCLES = 25


def free() -> tuple[float, float, float]:
    return 0, 0, 0


def test_every_file_is_billed_by_the_next_run_and_the_day_ends_as_if_it_was_billed_once(
    postgres: PostgresServer, billing_database: BillingDatabase, tmp_path: Path
) -> None:
    """After each run, every invoice bills every event that arrived before it (`Day.run` compares them)."""
    sample, landing = make_sample(tmp_path, ORGANIZATIONS, EVENTS), tmp_path / "landing"
    names = [f"org-{number:05}" for number in range(ORGANIZATIONS)]
    with throwaway_database(postgres) as scratch:
        for database in (billing_database, scratch):
            add_records(database, ORGANIZATIONS)
        link_days(sample, landing)
        usage = UsageTable(tmp_path / "usage_table")
        days = [MONTH.first_day + timedelta(days=number) for number in range(START.day - 1)]
        land_and_check(billing_database, usage, landing, days, START)
        day = Day(billing_database, usage, landing, names, START, free, Random(1))
        day.prepare()
        costs = day.run(CYCLES)

        end = START + CYCLES * CYCLE
        build_from_scratch(scratch, UsageTable(tmp_path / "scratch"), landing, day.statements, MONTH, end)
        found = digests(billing_database)
        assert found == digests(scratch)
    assert [cost.number for cost in costs if "nightly" in cost.did] == [23]
    assert found["files"][0] == len(list(landing.rglob("*.*")))
    assert sum(cost.invoices for cost in costs) > CYCLES
