"""Runs of whole processes share a month: for other and for the same organizations, at once, some of them killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fly_billing.embedded_postgres import PostgresServer
from fly_billing.testing import throwaway_database
from fly_billing.usage.usage_table import UsageTable
from tests.integration.invoicing.test_billing_in_parts import INVOICES
from tests.integration.invoicing.test_rebilling_unchanged_months import fill
from tests.support.builders import CLOSED, OCTOBER, SEPTEMBER, TERMS, Platform

# Rolls up and bills both months for some billing groups: September is closed, October goes on.
RUN = """
import json, sys
from datetime import datetime, timedelta
from pathlib import Path
from fly_billing.invoicing.bill_run import bill
from fly_billing.invoicing.group_members import with_groups_paid_for
from fly_billing.invoicing.month_closing import Terms
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.rollups import roll_up
from fly_billing.usage.usage_table import UsageTable
order = json.loads(sys.argv[1])
database, table = BillingDatabase(order["database"]), UsageTable(Path(order["table"]))
now, terms = datetime.fromisoformat(order["now"]), Terms(timedelta(hours=order["grace_hours"]), order["due_days"])
print("ready", flush=True)
sys.stdin.read(1)
for month in (BillingMonth(2026, 9), BillingMonth(2026, 10)):
    roll_up(database, table, month, with_groups_paid_for(database, month, order["groups"]), now)
    done = bill(database, month, order["groups"], terms, now, "run")
    assert not done.failures, done.failures[:3]
"""
DAYS = [SEPTEMBER.first_day + timedelta(days=number) for number in range(33)]
CONFIRMED = """
    select s.organization_id, s.month, s.fingerprint, a.lake_version
    from usage_snapshots as s join usage_as_of as a on a.snapshot_id = s.id order by 2, 1
"""


@pytest.fixture
def twin(platform: Platform, postgres: PostgresServer, tmp_path: Path) -> Iterator[Platform]:
    """The same records and files, for a single run."""
    with throwaway_database(postgres) as database:
        other = Platform.with_acme(database, platform.landing_dir)
        yield Platform(database, UsageTable(tmp_path / "usage_table_of_twin"), other.landing_dir)


def start(platform: Platform, groups: Sequence[str]) -> subprocess.Popen[str]:
    order = {
        "database": platform.database.engine.url.render_as_string(hide_password=False),
        "table": str(platform.usage_table.path), "groups": groups, "now": CLOSED.isoformat(),
        "grace_hours": TERMS.grace / timedelta(hours=1), "due_days": TERMS.due_days,
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", RUN, json.dumps(order)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip


def run_at_once(platform: Platform, random: Random, ranges: Sequence[Sequence[str]], *, kills: bool) -> list[str]:
    """Begin a run per range at the same moment, and kill some in the middle. Returns the errors of the others."""
    runs = [start(platform, groups) for groups in ranges]
    for run in runs:
        assert run.stdout and run.stdout.readline() == "ready\n", run.stderr and run.stderr.read()
    for run in runs:
        assert run.stdin
        run.stdin.write("\n")
        run.stdin.close()
    killed = [run for run in runs if kills and random.random() < 0.5]
    for run in killed:
        time.sleep(random.uniform(0, 0.6))
        run.kill()
    errors = []
    for run in runs:
        with run:
            errors.append(run.stderr.read() if run.stderr else "")
    return [error for run, error in zip(runs, errors, strict=True) if run.returncode and run not in killed]


def state_of(platform: Platform) -> dict[str, Any]:
    """Bill October once more, as the next run does, and return all invoices with the usage that they bill."""
    platform.roll_up(OCTOBER, CLOSED)
    assert platform.bill(OCTOBER, CLOSED).failures == []
    return {"invoices": platform.query(INVOICES), "usage": platform.query(CONFIRMED)}


@pytest.mark.parametrize("seed", [1, 2])
def test_runs_that_overlap_and_are_killed_bill_each_organization_as_one_run_does(
    platform: Platform, twin: Platform, seed: int
) -> None:
    """Organizations pay for others of another run's range, and the last round repeats what the first ones did."""
    random = Random(seed)
    for one in (platform, twin):
        fill(one, Random(seed))
        one.land(*DAYS, date(2026, 10, 31), now=CLOSED)
    twin.roll_up(SEPTEMBER, CLOSED)
    assert twin.bill(SEPTEMBER, CLOSED).failures == []
    groups = platform.organizations()
    for is_last in (False, False, True):
        cut, overlap = random.randrange(5, len(groups) - 5), random.randrange(5)
        ranges = [groups[: cut + overlap], groups[cut:], random.sample(groups, 8)]
        assert run_at_once(platform, random, ranges, kills=not is_last) == []

    (deadlocks,) = platform.query("select deadlocks from pg_stat_database where datname = current_database()")
    assert deadlocks == {"deadlocks": 0}
    expected = state_of(twin)
    assert len(expected["invoices"]) > 40
    assert state_of(platform) == expected
