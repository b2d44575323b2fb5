"""Lands a month in a process of its own, and kills it or one of its workers, until all days are landed; then bills it.

After each kill the usage table has all of a batch or nothing of it. At the end it has each event of the files exactly
once: by number, sum and a hash over every column, as counted from the files themselves. Then the month is rolled up,
billed and checked, and its rollups have the events and quantities of the files, by meter.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import duckdb
from sqlalchemy import text

from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.checks import count_landed_rows, unaccounted_days
from fly_billing.usage.landing_ledger import open_usage_table
from fly_billing.usage.usage_table import UsageTable, open_duckdb
from tests.bench.sample_of_size import Sample

LANDING = """
import json, sys
from pathlib import Path
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.landing import land_days
from fly_billing.usage.usage_table import UsageTable
from tests.bench.sample_of_size import FIRST_MONTH, NOW, Sample
order = json.loads(sys.argv[1])
sample = Sample(order["organizations"], order["events"], Path(order["landing"]))
database, table = BillingDatabase(order["database"]), UsageTable(Path(order["table"]))
land_days(
    database, table, sample.landing, sample.landing_days, FIRST_MONTH, NOW, lambda line: print(line, flush=True),
    processes=order["processes"],
)
"""
BILLING = """
import json, sys
from datetime import timedelta
from pathlib import Path
from fly_billing.corrections.month_checks import CheckedMonth, check_month
from fly_billing.corrections.month_run import MonthReport
from fly_billing.invoicing.bill_in_parts import bill_in_parts
from fly_billing.invoicing.month_closing import Terms
from fly_billing.invoicing.table_statistics import gather_statistics
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.rollups_in_parts import roll_up_in_parts
from fly_billing.usage.usage_table import UsageTable
from tests.bench.sample_of_size import MONTH, NOW, Sample
order = json.loads(sys.argv[1])
groups = Sample(order["organizations"], order["events"], Path(order["landing"])).groups()
database, table = BillingDatabase(order["database"]), UsageTable(Path(order["table"]))
print("rolling up", flush=True)
done = roll_up_in_parts(database, table, MONTH, groups, NOW, processes=order["processes"])
assert not done.failures, done.failures[:3]
print("billing", flush=True)
terms = Terms(grace=timedelta(hours=72), due_days=14)
billed = bill_in_parts(database, MONTH, groups, terms, NOW, "chaos", processes=order["processes"])
assert billed.finalized and not billed.failures, billed.failures[:3]
gather_statistics(database, MONTH, len(billed.invoices))
print("checking", flush=True)
assert check_month(database, table, MonthReport(MONTH, groups, billed)) == CheckedMonth([], [], [], [], [], [], [])
"""
# The mean time until something is killed.
SECONDS_TO_LIVE = 20
SUMS = """
select count(*), sum(quantity)::varchar, sum(hash(source, id, meter, organization_id, time, quantity, data))::varchar
from {}
"""
LANDED = SUMS.format("events where not is_duplicate")
# Of the copies of an event, one counts; copies are in the files of the same day.
EXPECTED = SUMS.format("""(
    select distinct
        source, id, type as meter, subject as organization_id, time, quantity::decimal(38, 15) as quantity, data
    from read_parquet($files)
    where subject <> 'org-unknown'
)""")


BY_METER = """
select meter, sum(quantity) as quantity, sum(events)::bigint as events from usage_rollups group by meter
"""
EXPECTED_BY_METER = """
select meter, sum(quantity), count(*) from (
    select distinct source, id, type as meter, quantity::decimal(38, 15) as quantity
    from read_parquet($files)
    where subject <> 'org-unknown'
) group by meter
"""


@dataclass
class Peaks:
    """The most memory of a kind of process in MB.

    Attributes:
        own: Without files that are mapped into memory, such as the key index, which the system may drop at any time.
    """

    all: int = 0
    own: int = 0


@dataclass
class Campaign:
    """What happened.

    Attributes:
        peaks: The most memory of the landing, of the process that bills, and of the workers of each.
        meters: The quantity and the events of the files by meter.
        differences: Days whose rows are not accounted for after a kill, or whose sums differ from those of the files;
            meters whose rollups differ from the files.
    """

    events: int = 0
    starts: int = 0
    seconds: float = 0.0
    killed: dict[str, int] = field(default_factory=lambda: {"landing": 0, "worker": 0})
    peaks: dict[str, Peaks] = field(default_factory=lambda: defaultdict(Peaks))
    meters: dict[str, tuple[Decimal, int]] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LandingOrder:
    """A landing: what, into which database and table, and in how many processes."""

    sample: Sample
    database_url: str
    table: UsageTable
    processes: int

    @property
    def text(self) -> str:
        sample = self.sample
        return json.dumps({
            "organizations": sample.organizations, "events": sample.events, "landing": str(sample.landing),
            "database": self.database_url, "table": str(self.table.path), "processes": self.processes,
        })  # fmt: skip


def run_campaign(order: LandingOrder, kills: int, seed: int, folder: Path, progress: Callable[[str], None]) -> Campaign:
    """Land the sample, with this many kills in between, bill it, and compare the results with the files."""
    random, found, started = Random(seed), Campaign(), time.monotonic()
    database = BillingDatabase(order.database_url)
    while not _land(order, random, found, kills, folder / "landing.log", progress):
        _account(database, order, found)
    found.seconds = time.monotonic() - started
    _account(database, order, found)
    for day in order.sample.landing_days:
        progress(f"comparing {day} with its files")
        _compare(order, database, day, found)
    _bill(order, database, found, folder / "billing.log", progress)
    database.engine.dispose()
    return found


def _land(
    order: LandingOrder, random: Random, found: Campaign, kills: int, log: Path, progress: Callable[[str], None]
) -> bool:
    """Start a landing, and kill something while kills are left. Returns True if all days are landed."""
    found.starts += 1
    progress(f"landing, start {found.starts}, after {sum(found.killed.values())} of {kills} kills")
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", LANDING, order.text], stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        lives_until = time.monotonic() + random.expovariate(1 / SECONDS_TO_LIVE)
        while process.poll() is None:
            _note_peaks(process.pid, "landing", found)
            if time.monotonic() > lives_until and sum(found.killed.values()) < kills:
                _kill(process.pid, random, found)
                lives_until = time.monotonic() + random.expovariate(1 / SECONDS_TO_LIVE)
            time.sleep(0.1)
    if process.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"a landing ended with {process.returncode}: {log.read_text(encoding='utf-8')[-2000:]}")
    return process.returncode == 0


def _kill(landing: int, random: Random, found: Campaign) -> None:
    """Kill a worker, or in a quarter of the cases the landing itself."""
    workers = _children(landing)
    kind = "worker" if workers and random.random() < 0.75 else "landing"
    with suppress(ProcessLookupError):
        os.kill(random.choice(workers) if kind == "worker" else landing, signal.SIGKILL)
        found.killed[kind] += 1


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]
    except OSError:
        return []


def _note_peaks(parent: int, kind: str, found: Campaign) -> None:
    for pid in (parent, *_children(parent)):
        with suppress(OSError, ValueError, IndexError):
            if pid != parent and b"answer_calls" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                continue  # it has just begun as a copy of its parent
            lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
            sizes = {line.split(":")[0]: int(line.split()[1]) // 1000 for line in lines if line.endswith(" kB")}
            peaks = found.peaks[kind if pid == parent else f"worker of {kind}"]
            peaks.all = max(peaks.all, sizes.get("VmHWM", 0))
            peaks.own = max(peaks.own, sizes.get("RssAnon", 0))


def _account(database: BillingDatabase, order: LandingOrder, found: Campaign) -> None:
    """Note the days of which Postgres and the usage table have different rows: a batch that is there in part."""
    days = order.sample.landing_days
    table = open_usage_table(database, order.table)
    rows = unaccounted_days(count_landed_rows(database, days), table, days)
    found.differences += [f"start {found.starts}: {dict(row)}" for row in rows]


def _compare(order: LandingOrder, database: BillingDatabase, day: date, found: Campaign) -> None:
    files = sorted(map(str, (order.sample.landing / day.isoformat()).glob("*.parquet")))
    with open_duckdb(500) as duck:
        open_usage_table(database, order.table).open_view(duck, "events", days=[day])
        landed, expected = _sums(duck, LANDED), _sums(duck, EXPECTED, files=files) if files else (0, None, None)
        by_meter = duck.execute(EXPECTED_BY_METER, {"files": files}).fetchall() if files else []
    found.events += landed[0]
    if landed != expected:
        found.differences.append(f"{day}: the files have {expected}, the usage table {landed}")
    for meter, quantity, events in by_meter:
        before = found.meters.get(meter, (Decimal(0), 0))
        found.meters[meter] = before[0] + quantity, before[1] + events


def _bill(
    order: LandingOrder, database: BillingDatabase, found: Campaign, log: Path, progress: Callable[[str], None]
) -> None:
    """Roll the month up, bill and check it, and compare its rollups with the files."""
    progress("rolling up, billing and checking the month")
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen([sys.executable, "-c", BILLING, order.text], stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            _note_peaks(process.pid, "billing", found)
            time.sleep(0.1)
    if process.returncode:
        raise RuntimeError(f"billing ended with {process.returncode}: {log.read_text(encoding='utf-8')[-2000:]}")
    with database.transaction() as connection:
        rolled_up = {row.meter: (row.quantity, row.events) for row in connection.execute(text(BY_METER))}
    found.differences += [
        f"{meter}: the files have {found.meters.get(meter)}, the rollups {rolled_up.get(meter)}"
        for meter in sorted(found.meters.keys() | rolled_up.keys())
        if found.meters.get(meter) != rolled_up.get(meter)
    ]


def _sums(duck: duckdb.DuckDBPyConnection, statement: str, **parameters: Any) -> tuple[int, str | None, str | None]:
    ((number, quantity, hashes),) = duck.execute(statement, parameters).fetchall()
    return number, quantity, hashes
