"""Measures checks by number of partitions: one state per check, a state per month in Postgres, and Dagster's
partitioned checks. Shows the whole run, and the part after its partitions are materialized: the checks alone.

Run by `python -m tests.bench.bench_checks`. The asset does nothing but seven checks, as many as `invoices` has. Each
run is measured on servers of its own, with Dagster's storage in Postgres. `--partitioned` also measures Dagster's
partitioned checks, with one check instead of seven, because each adds an event per partition.
"""

import argparse
import os
import resource
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    BackfillPolicy,
    DagsterInstance,
    Definitions,
    MaterializeResult,
    asset,
    define_asset_job,
    in_process_executor,
)
from rich.console import Console
from rich.table import Table

from fly_billing.assets.partition_checks import PartitionCheck, month_places, partition_checks
from fly_billing.assets.run_report import PartitionOutcomes, report
from fly_billing.cli.runs import QUIET
from fly_billing.dagster_storage import INSTANCE_FILE
from fly_billing.embedded_postgres import throwaway
from fly_billing.embedded_postgres.roles import DAGSTER
from fly_billing.partitions import RANGE_END, RANGE_START, month_by_org, orgs, partition_key
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate
from tests.bench.sample_of_size import MONTH
from tests.support.stripe_builders import add_organization, query

CHECKS = [f"check_{number}" for number in range(7)]
ONE_STATE = "one state per check"
NONE_FAILS, ALL_FAIL = "a state per month, none fails", "a state per month, all fail"
PARTITIONED = "Dagster's partitioned checks (one check)"


@dataclass(frozen=True)
class Cost:
    """The cost of a run.

    Attributes:
        cpu_seconds: Of the run's process. Postgres is not in it.
        of_checks, cpu_of_checks: The part of both that the checks took.
        executions: Rows in Dagster's `asset_check_executions`.
        events: Rows in Dagster's `event_logs`.
        failures: Rows in `failed_checks`.
    """

    seconds: float
    cpu_seconds: float
    of_checks: float
    cpu_of_checks: float
    executions: int
    events: int
    failures: int


class Stopwatch:
    """Wall-clock and CPU seconds of this process."""

    def __init__(self) -> None:
        self._began = self._now()
        self.seconds, self.cpu_seconds = 0.0, 0.0

    def stop(self) -> None:
        seconds, cpu_seconds = self._now()
        self.seconds, self.cpu_seconds = seconds - self._began[0], cpu_seconds - self._began[1]

    @staticmethod
    def _now() -> tuple[float, float]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return time.perf_counter(), used.ru_utime + used.ru_stime


def timed(results: Iterable[AssetCheckResult], stopwatches: list[Stopwatch]) -> Iterator[AssetCheckResult]:
    """Yield the results, and add the time from the first request to the last result."""
    stopwatches.append(Stopwatch())
    yield from results
    stopwatches[-1].stop()


def checked_asset(variant: str, database: BillingDatabase, stopwatches: list[Stopwatch]) -> Any:
    partitions = month_by_org if variant == PARTITIONED else None
    names = CHECKS[:1] if variant == PARTITIONED else CHECKS
    specs = [AssetCheckSpec(name, asset="checked", partitions_def=partitions) for name in names]

    @asset(partitions_def=month_by_org, backfill_policy=BackfillPolicy.single_run(), check_specs=specs)
    def checked(context: AssetExecutionContext) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
        outcomes = PartitionOutcomes(context.partition_keys, {key: {} for key in context.partition_keys})
        places = month_places(context.partition_keys)
        rows = [{"month": "2026-08", "organization": "acme", "what to do": "correct the row"}]
        wrong = dict.fromkeys(places, rows) if variant == ALL_FAIL else {}
        if variant in (NONE_FAILS, ALL_FAIL):
            checks = [PartitionCheck(name, wrong) for name in names]
            results = partition_checks(context, database, places, checks, outcomes, datetime.now(UTC))
            yield from report(context, outcomes, timed(results, stopwatches))
            return
        if variant == PARTITIONED:
            for key in context.partition_keys:
                context.log_event(AssetCheckEvaluation(context.asset_key, names[0], True, {}, partition=key))
        results = iter([AssetCheckResult(check_name=name, passed=True) for name in names])
        yield from report(context, outcomes, timed(results, stopwatches))

    return checked


def measure(variant: str, months: int, count: int) -> Cost:
    with throwaway(("billing", "dagster")) as server, tempfile.TemporaryDirectory() as home:
        os.environ |= {
            "DATABASE_URL": server.url("billing"),
            "DAGSTER_DATABASE_URL": server.url("dagster", "postgresql+psycopg2", DAGSTER),
            "DAGSTER_HOME": home,
            "DAGSTER_EVENT_BATCH_SIZE": "1000",
        }
        (Path(home) / "dagster.yaml").write_text(INSTANCE_FILE.read_text(encoding="utf-8"), encoding="utf-8")
        billing, dagster = BillingDatabase(server.url("billing")), BillingDatabase(server.url("dagster", role=DAGSTER))
        migrate(billing)
        groups = [f"group-{number:05d}" for number in range(count)]
        for group in groups:
            add_organization(billing, group)
        with DagsterInstance.get() as instance:
            instance.add_dynamic_partitions(str(orgs.name), groups)
            stopwatches: list[Stopwatch] = []
            subject = checked_asset(variant, billing, stopwatches)
            definitions = Definitions(
                assets=[subject], jobs=[define_asset_job("month", [subject])], executor=in_process_executor
            )
            first, last = MONTH.plus(1 - months), MONTH
            tags = {RANGE_START: partition_key(first, groups[0]), RANGE_END: partition_key(last, groups[-1])}
            of_run = Stopwatch()
            result = definitions.resolve_job_def("month").execute_in_process(
                run_config=QUIET, instance=instance, tags=tags
            )
            of_run.stop()
            assert result.success
        tables = ((dagster, "asset_check_executions"), (dagster, "event_logs"), (billing, "failed_checks"))
        counts = [len(query(database, f"select from {table}")) for database, table in tables]
        (of_checks,) = stopwatches
        return Cost(of_run.seconds, of_run.cpu_seconds, of_checks.seconds, of_checks.cpu_seconds, *counts)


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__)
    read.add_argument("--groups", type=int, default=264)
    read.add_argument("--months", type=int, nargs="+", default=[1, 3])
    read.add_argument("--partitioned", action="store_true")
    given = read.parse_args()
    warnings.simplefilter("ignore")
    shown = Table(
        "Checks", "Partitions", "Seconds", "CPU", "Checks alone", "CPU", "Check rows", "Events", "Rows of failed_checks"
    )
    for variant in (ONE_STATE, NONE_FAILS, ALL_FAIL, *([PARTITIONED] if given.partitioned else [])):
        for months in given.months:
            cost = measure(variant, months, given.groups)
            shown.add_row(
                variant, f"{months} x {given.groups}", f"{cost.seconds:.1f}", f"{cost.cpu_seconds:.1f}",
                f"{cost.of_checks:.2f}", f"{cost.cpu_of_checks:.2f}",
                f"{cost.executions:,}", f"{cost.events:,}", f"{cost.failures:,}",
            )  # fmt: skip
    Console(width=160).print(shown)


if __name__ == "__main__":
    main()
