"""One command bills past months; after an interruption it resumes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fly_billing.embedded_postgres import PostgresServer, create_database, drop_database
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, lock_until_commit

COMMAND = str(Path(sys.executable).with_name("fly-billing"))
NOW = BillingMonth.containing(datetime.now(UTC))
# Five months whose grace period is over on any day of this one.
FIRST, LAST = NOW.plus(-6), NOW.plus(-2)


@pytest.fixture
def environment(postgres: PostgresServer, tmp_path: Path) -> Iterator[dict[str, str]]:
    names = ("backfilled_billing", "backfilled_dagster")
    for name in names:
        create_database(postgres, name)
    yield {
        **os.environ,
        "COLUMNS": "132",
        "FLY_BILLING_DATA_DIR": str(tmp_path / "data"),
        "DATABASE_URL": postgres.url(names[0], "postgresql"),
        "DAGSTER_DATABASE_URL": postgres.url(names[1], "postgresql+psycopg2"),
    }
    for name in names:
        drop_database(postgres, name)


def run(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments], env=environment, capture_output=True, text=True, timeout=600, encoding="utf-8"
    )


def final_months(environment: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """Return the number and the cents of our final invoices by month."""
    database = BillingDatabase(environment["DATABASE_URL"])
    found = database.rows("monthly_totals", organization_id=None, first=FIRST.first_day, last=LAST.first_day)
    return {
        str(BillingMonth.containing(row["month"])): (row["invoices"], row["final_cents"])
        for row in found
        if not row["open_cents"]
    }


def test_a_stopped_backfill_resumes_without_billing_twice(environment: dict[str, str]) -> None:
    assert run(environment, "migrate").returncode == 0
    seeded = run(environment, "seed", "--months", "6", "--organizations", "3")
    assert seeded.returncode == 0, seeded.stderr

    database = BillingDatabase(environment["DATABASE_URL"])
    # The fourth month waits for this lock, so the command is stopped in the middle even if this test is slow.
    with database.transaction() as ours:
        lock_until_commit(ours, f"usage_rollups {FIRST.plus(3)}")
        process = subprocess.Popen(
            [COMMAND, "backfill", str(FIRST), str(LAST)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        while len(final_months(environment)) < 2:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        message, _ = process.communicate(timeout=600)
    assert (process.returncode, "Interrupted" in message) == (1, True), message
    before = final_months(environment)
    assert 2 <= len(before) < 5

    resumed = run(environment, "backfill", str(FIRST), str(LAST))
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert f"of 5 months of backfill {FIRST}..{LAST}#1 already done" in resumed.stdout
    after = final_months(environment)
    assert len(after) == 5
    assert {month: after[month] for month in before} == before

    again = run(environment, "backfill", str(FIRST), str(LAST), "--again")
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"Backfill {FIRST}..{LAST}#2: 5 months billed." in again.stdout
    assert final_months(environment) == after


@pytest.mark.parametrize(
    ("months", "message"),
    [
        (("2026-03", "2026-02"), "the range 2026-03 to 2026-02 is reversed: name the earlier month first"),
        (("2022-12", "2026-02"), "2022-12 is before 2023-01, the first month that can be billed"),
        (("2026-01", "2999-01"), "2999-01 has not begun. The last month that can be billed is "),
    ],
)
def test_months_that_can_not_be_billed_are_named(
    months: tuple[str, str], message: str, environment: dict[str, str]
) -> None:
    refused = run(environment, "backfill", *months)
    assert (refused.returncode, message in refused.stderr) == (2, True), refused.stderr
