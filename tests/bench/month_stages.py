"""One stage of billing a month, in a process of its own that reports its seconds and its peak memory.

Run as `python -m tests.bench.month_stages STAGE ORDER`; prints a line of JSON. Our stages are the calls that the assets
make, without Dagster; `dagster` is both assets as one run of `bill_month`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas  # noqa: F401 - Arrow imports it late; a run's process has imported it before (assets/run_report.py)

from fly_billing.corrections.correction import Actor
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.month_checks import CheckedMonth, check_month
from fly_billing.corrections.month_run import MonthReport
from fly_billing.corrections.recalculation import find_corrections
from fly_billing.corrections.rules.guard import OFF
from fly_billing.dagster_storage import INSTANCE_FILE
from fly_billing.invoicing.bill_in_parts import bill_in_parts
from fly_billing.invoicing.bill_run import Billed
from fly_billing.invoicing.month_closing import Terms
from fly_billing.invoicing.table_statistics import gather_statistics
from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import Settings
from fly_billing.statements.statement_reader import read_statement
from fly_billing.usage.landing import land_days
from fly_billing.usage.rollups import roll_up
from fly_billing.usage.rollups_in_parts import roll_up_in_parts
from fly_billing.usage.usage_table import UsageTable
from tests.bench.costs import measured
from tests.bench.realistic_month import AFTER_CLOSE, CORRECTED_AT, landing_after_close
from tests.bench.sample_formats import PARQUET, landing_of
from tests.bench.sample_of_size import FIRST_MONTH, MONTH, NOW, Sample, make_sample

TERMS = Terms(grace=timedelta(hours=72), due_days=14)
# What the assets call besides Dagster, by module.
OWN_CALLS = {
    "fly_billing.assets.usage_rollups": ("roll_up_in_parts",),
    "fly_billing.assets.invoices": ("bill_and_correct", "check_month", "days_to_land"),
}


@dataclass(frozen=True)
class Order:
    """The input of a stage.

    Attributes:
        cache: The folder of generated usage.
        work: A folder for the usage table.
        database: The billing database's URL.
        postmaster: The process id of the Postgres server, whose CPU counts.
        usage: The kind of landing files (`sample_formats`).
    """

    cache: str
    organizations: int
    work: str
    database: str
    dagster_database: str = ""
    postmaster: int = 0
    usage: str = PARQUET

    @property
    def sample(self) -> Sample:
        return make_sample(Path(self.cache), self.organizations)

    @property
    def landing(self) -> Path:
        return landing_of(self.sample, self.usage)

    @property
    def files(self) -> list[Path]:
        return sorted(path for path in self.landing.rglob("*.*") if path.is_file())

    @property
    def landing_after_close(self) -> Path:
        return landing_after_close(self.sample)

    @property
    def usage_table(self) -> UsageTable:
        return UsageTable(Path(self.work) / "usage_table")

    @property
    def billing(self) -> BillingDatabase:
        return BillingDatabase(self.database)


Facts = dict[str, Any]
STAGES: dict[str, Callable[[Order], Facts]] = {}


def stage(function: Callable[[Order], Facts]) -> Callable[[Order], Facts]:
    STAGES[function.__name__] = function
    return function


@stage
def land(order: Order) -> Facts:
    sample = order.sample
    files = land_days(
        order.billing, order.usage_table, order.landing, sample.landing_days, FIRST_MONTH, NOW,
        processes=Settings.from_environment().processes,
    )  # fmt: skip
    return {"landed": sum(file.landed for file in files)}


@stage
def rollup(order: Order) -> Facts:
    processes = Settings.from_environment().processes
    done = roll_up_in_parts(order.billing, order.usage_table, MONTH, order.sample.groups(), NOW, processes=processes)
    return {"events": done.events, "rollups": done.rollups}


@stage
def invoice(order: Order) -> Facts:
    processes = Settings.from_environment().processes
    done = bill_in_parts(order.billing, MONTH, order.sample.groups(), TERMS, NOW, "bench", processes=processes)
    assert done.finalized and not done.failures, done.failures[:3]
    gather_statistics(order.billing, MONTH, done.changed)
    items = sum(invoice.items for invoice in done.invoices)
    return {
        "invoices": len(done.invoices),
        "items": items,
        "cents": sum(invoice.total_cents for invoice in done.invoices),
    }


@stage
def check(order: Order) -> Facts:
    billed = MonthReport(MONTH, order.sample.groups(), Billed([], True, [], []))
    assert check_month(order.billing, order.usage_table, billed) == CheckedMonth([], [], [], [], [], [], [])
    return {}


@stage
def correct(order: Order) -> Facts:
    """Land usage that arrives after the month was closed, and book the differences as adjustments."""
    groups = order.sample.groups()
    late = order.landing_after_close
    land_days(order.billing, order.usage_table, late, [AFTER_CLOSE], FIRST_MONTH, CORRECTED_AT)
    roll_up(order.billing, order.usage_table, MONTH, groups, CORRECTED_AT)
    actor = Actor("bench", CORRECTED_AT, "late usage")
    done = correct_month(order.billing, MONTH, groups, order.usage_table, actor, guard=OFF)
    assert not done.failures, done.failures[:3]
    return {"corrected": sum(bool(correction.differences) for correction in done.found)}


@stage
def rebill_one(order: Order) -> Facts:
    """Calculate again the invoice of the organization with the most items."""
    with order.billing.transaction() as connection:
        found = find_corrections(connection, MONTH, ["org-00007"], order.usage_table, only={"org-00007"})
    assert len(found.found) == 1 and not found.needed
    return {}


@stage
def statement(order: Order) -> Facts:
    read_statement(order.billing, "org-00100", NOW, MONTH)
    return {}


@stage
def monthly_totals(order: Order) -> Facts:
    """Read ten years of monthly totals of all organizations."""
    found = order.billing.rows(
        "monthly_totals", organization_id=None, first=MONTH.plus(-119).first_day, last=MONTH.first_day
    )
    return {"months": len(found), "invoices": sum(row["invoices"] for row in found)}


@stage
def dagster(order: Order) -> Facts:
    """Run both assets as one run; `bookkeeping_seconds` is the time outside our own calls."""
    from dagster import DagsterInstance

    from fly_billing.cli.runs import Runs

    ours = Stopwatch()
    for name, calls in OWN_CALLS.items():
        module = import_module(name)
        for call in calls:
            setattr(module, call, ours.wrap(getattr(module, call)))
    for method in ("rows", "records"):
        setattr(BillingDatabase, method, ours.wrap(getattr(BillingDatabase, method)))
    sample = order.sample
    os.environ |= {
        "DATABASE_URL": order.database, "DAGSTER_DATABASE_URL": order.dagster_database, "DAGSTER_HOME": order.work,
        "FLY_BILLING_LAKE_DIR": str(order.usage_table.path), "FLY_BILLING_LANDING_DIR": str(order.landing),
        "DAGSTER_EVENT_BATCH_SIZE": "1000",
    }  # fmt: skip
    shutil.copyfile(INSTANCE_FILE, Path(order.work) / "dagster.yaml")
    with DagsterInstance.get() as instance:
        runs = Runs(instance, order.billing)
        runs.register_organizations()
        ours.seconds = 0.0
        started = time.perf_counter()
        runs.bill(MONTH)
        seconds = time.perf_counter() - started
    assert runs.record.is_clean, runs.record
    return {"run_seconds": seconds, "bookkeeping_seconds": seconds - ours.seconds, "keys": len(sample.groups())}


class Stopwatch:
    """Adds up the time inside the functions that it wraps. A wrapped function inside another one counts once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth = 0

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            self._depth += 1
            started = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.seconds += time.perf_counter() - started

        return timed


def main() -> None:
    warnings.simplefilter("ignore")
    name, order = sys.argv[1], Order(**json.loads(sys.argv[2]))
    from tests.bench import month_floor, sql_month_stages

    known = STAGES | month_floor.STAGES | sql_month_stages.STAGES
    with measured(order.billing, order.postmaster, Path(order.work)) as cost:
        facts = known[name](order)
    sys.stdout.write(json.dumps(cost | facts) + "\n")


if __name__ == "__main__":
    main()
