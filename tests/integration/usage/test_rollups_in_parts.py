"""A large month is rolled up by several processes at once, with the rollups of a single one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from random import Random
from time import monotonic, sleep
from typing import Any

import pytest
from sqlalchemy import Connection

from fly_billing.invoicing.bill_run import bill
from fly_billing.postgres.connections import DatabaseProblem
from fly_billing.postgres.database import BillingDatabase, lock_groups_until_commit, lock_until_commit
from fly_billing.processes import call_in_processes
from fly_billing.settings import DatabaseLimits
from fly_billing.usage import rollups_in_parts as parts
from fly_billing.usage.rollups import RollupReport, roll_up
from fly_billing.usage.rollups_in_parts import RolledUpInPart, roll_up_in_parts
from tests.integration.invoicing.test_bad_rows import OF_ORG_3, ONE_TOO_MANY
from tests.integration.invoicing.test_rebilling_unchanged_months import fill
from tests.support.builders import CLOSED, NOW, OCTOBER, SEPTEMBER, TERMS, Platform, event, write_jsonl
from tests.support.unguarded import damage

ROLLUPS = """
    select to_jsonb(s) as snapshot, a.lake_version, a.rolled_up_at, f.reason,
        (select jsonb_agg(to_jsonb(r) order by r.id) from usage_rollups as r where r.snapshot_id = s.id) as rollups
    from usage_snapshots as s
    join usage_as_of as a on a.snapshot_id = s.id
    left join rollup_failures as f on f.organization_id = s.organization_id and f.month = s.month
    order by s.id
"""


@pytest.fixture(autouse=True)
def an_event_for_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "EVENTS_PER_PROCESS", 1)


def in_parts(platform: Platform, processes: int = 3, **more: Any) -> RollupReport:
    return roll_up_in_parts(
        platform.database, platform.usage_table, SEPTEMBER, platform.organizations(), CLOSED,
        processes=processes, **more,
    )  # fmt: skip


def impatient(platform: Platform) -> BillingDatabase:
    """Return the same database for sessions that wait a second for a lock."""
    return BillingDatabase(
        platform.database.engine.url.render_as_string(hide_password=False),
        limits=DatabaseLimits.from_environment({"FLY_BILLING_LOCK_SECONDS": "1"}),
    )


@pytest.fixture
def landed(platform: Platform) -> Platform:
    """acme and eight others used 1 to 9 requests each in September."""
    for number in range(8):
        platform.add_organization(f"org-{number}")
    names = platform.organizations()
    write_jsonl(
        platform.landing_dir,
        [event(f"of-{name}", str(number), subject=name) for number, name in enumerate(names, start=1)],
    )
    platform.land()
    return platform


@contextmanager
def rolling_up(platform: Platform, *groups: str) -> Iterator[Connection]:
    """Hold the locks of a run that rolls these groups up."""
    with platform.database.transaction() as connection:
        lock_until_commit(connection, f"usage_rollups {SEPTEMBER}", is_shared=True)
        lock_groups_until_commit(connection, f"usage_rollups {SEPTEMBER}", groups)
        yield connection


def waiting(platform: Platform) -> list[int]:
    """Return the processes that wait for a lock in the database: their sessions have their numbers in their names."""
    found = platform.query(
        "select substring(application_name from 'process ([0-9]+)')::int as process from pg_stat_activity"
        " where wait_event_type = 'Lock' and datname = current_database()"
    )
    return [row["process"] for row in found]


def rolled_up(platform: Platform) -> list[str]:
    return [row["organization_id"] for row in platform.query("select organization_id from usage_snapshots order by 1")]


@pytest.mark.parametrize("seed", [3, 4])
def test_any_number_of_processes_gives_the_same_rollups(platform: Platform, seed: int) -> None:
    fill(platform, Random(seed))
    platform.land(date(2026, 10, 1), date(2026, 10, 31), now=CLOSED)
    alone = platform.roll_up(now=CLOSED)
    expected = platform.query(ROLLUPS)
    assert len(expected) > 20 and alone.events > 20
    for processes in (2, 5):
        platform.execute("delete from usage_snapshots")
        assert replace(in_parts(platform, processes), groups=alone.groups) == alone
        assert platform.query(ROLLUPS) == expected


def test_a_part_that_waited_for_another_run_does_not_undo_what_that_run_rolled_up(
    landed: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """9 events are rolled up in parts. Before a part begins, acme's 1 + 7 requests land and are rolled up."""

    def call_later(function: Any, calls: Any) -> Any:
        write_jsonl(landed.landing_dir, [event("late", "7")], date(2026, 9, 16))
        landed.land(date(2026, 9, 16))
        assert landed.roll_up(now=CLOSED).events == 10
        landed.add_organization("new")  # the other run did not know it
        landed.execute("update organizations set billing_group = 'acme' where id = 'new'")
        return call_in_processes(function, calls)

    monkeypatch.setattr(parts, "call_in_processes", call_later)
    assert in_parts(landed).events == 10
    (acme,) = landed.query(
        "select sum(r.quantity) as quantity from usage_snapshots as s join usage_rollups as r on r.snapshot_id = s.id"
        " where s.organization_id = 'acme' and s.is_current"
    )
    assert acme["quantity"] == 8
    versions = {row["lake_version"] for row in landed.query("select lake_version from usage_as_of where is_current")}
    assert versions == {landed.table().version}


def test_rolling_up_in_parts_again_changes_nothing_and_finds_the_same_failure(landed: Platform) -> None:
    """Somebody added a rollup of 500 GB for org-3: it fails, with the same reason as in a single process."""
    landed.roll_up(now=CLOSED)
    assert in_parts(landed).changed == 0
    damage(landed.database, ONE_TOO_MANY[0].replace("OF_ORG_3", OF_ORG_3))
    alone = landed.roll_up(now=CLOSED)
    expected = landed.query(ROLLUPS)
    assert [failure.organization_id for failure in alone.failures] == ["org-3"]
    assert replace(in_parts(landed), groups=alone.groups) == alone
    assert landed.query(ROLLUPS) == expected


def test_all_parts_read_the_version_that_was_the_last_one_at_the_start(
    landed: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with 100 requests of org-1 lands just before the parts begin: the next run bills them."""
    version = landed.table().version

    def after_a_landing(function: Any, calls: Any) -> Any:
        write_jsonl(landed.landing_dir, [event("later", "100", subject="org-1")], name="later")
        landed.land()
        return call_in_processes(function, calls)

    monkeypatch.setattr(parts, "call_in_processes", after_a_landing)
    done = in_parts(landed)
    assert (done.usage_table_version, done.events) == (version, 9)
    assert landed.table().version > version
    assert landed.roll_up(now=CLOSED).events == 10


def test_organizations_are_rolled_up_while_others_are(landed: Platform) -> None:
    with rolling_up(landed, "org-1"):
        run = impatient(landed)
        assert roll_up(run, landed.usage_table, SEPTEMBER, ["org-2", "org-3"], CLOSED).organizations == 2
        with pytest.raises(DatabaseProblem, match="gave up waiting for a lock"):
            roll_up(run, landed.usage_table, SEPTEMBER, ["org-1"], CLOSED)
        assert roll_up(run, landed.usage_table, OCTOBER, ["org-1"], CLOSED).organizations == 1
    assert rolled_up(landed) == ["org-1", "org-2", "org-3"]


def test_an_organization_is_not_billed_while_its_usage_is_rolled_up(landed: Platform) -> None:
    """org-2 pays for org-1, so its invoice waits too; org-3's does not."""
    landed.roll_up()
    landed.link("org-1", "org-2")
    with rolling_up(landed, "org-1"):
        assert len(bill(impatient(landed), SEPTEMBER, ["org-3"], TERMS, NOW).invoices) == 1
        with pytest.raises(DatabaseProblem, match="gave up waiting for a lock"):
            bill(impatient(landed), SEPTEMBER, ["org-2"], TERMS, NOW)


def test_usage_is_not_rolled_up_while_it_is_billed(landed: Platform) -> None:
    landed.roll_up()
    with landed.database.transaction() as connection:
        lock_until_commit(connection, f"usage_rollups {SEPTEMBER}", is_shared=True)
        lock_groups_until_commit(connection, f"usage_rollups {SEPTEMBER}", ["org-1"], is_shared=True)
        with pytest.raises(DatabaseProblem, match="gave up waiting for a lock"):
            roll_up(impatient(landed), landed.usage_table, SEPTEMBER, ["org-1"], CLOSED)
        assert roll_up(impatient(landed), landed.usage_table, SEPTEMBER, ["org-2"], CLOSED).organizations == 1


def test_nothing_is_rolled_up_while_the_month_is_corrected(landed: Platform) -> None:
    with landed.database.transaction() as connection:
        lock_until_commit(connection, f"usage_rollups {SEPTEMBER}")
        with pytest.raises(DatabaseProblem, match="gave up waiting for a lock"):
            roll_up(impatient(landed), landed.usage_table, SEPTEMBER, ["org-3"], CLOSED)


def test_a_run_confirms_the_organizations_of_no_other_run(landed: Platform) -> None:
    """While others are rolled up, which may be new, the rest is confirmed one by one."""
    landed.roll_up(now=NOW)
    confirmed = landed.query("select lake_version, rolled_up_at from usage_confirmations")
    later = NOW.replace(hour=23)
    with rolling_up(landed, "newcomer"):
        assert landed.roll_up(now=later).unchanged == 9
    assert landed.query("select lake_version, rolled_up_at from usage_confirmations") == confirmed
    (seen,) = landed.query("select min(rolled_up_at) from usage_as_of where is_current")
    assert seen["min"] == later


def test_the_next_run_rolls_up_a_part_that_was_killed(landed: Platform) -> None:
    """One of two parts waits for a lock and is killed. Its organizations have no rollups; those of the other stay."""
    with ThreadPoolExecutor() as pool, rolling_up(landed, "org-1"):
        run = pool.submit(in_parts, landed, 2)
        deadline = monotonic() + 120
        while not (waiting(landed) and rolled_up(landed)):
            assert monotonic() < deadline
            sleep(0.1)
        os.kill(waiting(landed)[0], signal.SIGKILL)
        with pytest.raises(RolledUpInPart) as failed:
            run.result()
    done = rolled_up(landed)
    assert 0 < len(done) < 9 and "org-1" not in done
    assert f"2026-09 is rolled up in part: the usage of {len(done)} organizations is" in str(failed.value)
    assert "was killed by SIGKILL; what it had not committed was rolled back" in str(failed.value)
    assert in_parts(landed).changed == 9 - len(done)
    assert rolled_up(landed) == sorted(landed.organizations())


def test_an_open_month_is_rolled_up_by_one_process(landed: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of its organizations are as they were."""
    monkeypatch.setattr(parts, "call_in_processes", None)
    done = roll_up_in_parts(
        landed.database, landed.usage_table, SEPTEMBER, landed.organizations(), NOW, processes=2
    )  # fmt: skip
    assert (done.organizations, done.events) == (9, 9)
