"""Times Dagster by the number of billing groups: the bookkeeping of a month, and the UI's pages.

Run by `make bench-groups` (needs Debian's chromium). `FLY_BILLING_MAX_ORG_PARTITIONS` was chosen by its figures. Each
size has an instance of its own with 24 recorded months; the timed month has two assets that do nothing.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from dagster import (
    AssetMaterialization,
    BackfillPolicy,
    DagsterInstance,
    Definitions,
    MaterializeResult,
    asset,
    define_asset_job,
    in_process_executor,
)
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn
from rich.table import Table

from fly_billing.cli.runs import QUIET
from fly_billing.dagster_storage import INSTANCE_FILE
from fly_billing.embedded_postgres.roles import DAGSTER
from fly_billing.partitions import RANGE_END, RANGE_START, month_by_org, orgs, partition_key
from tests.bench.bench_ui import PageTime, shown_seconds, time_pages
from tests.bench.sample_of_size import MONTH
from tests.bench.server import bench_server

MONTHS = 24
ASSETS = ("usage_rollups", "invoices")


@asset(partitions_def=month_by_org, backfill_policy=BackfillPolicy.single_run())
def first() -> MaterializeResult[None]:
    return MaterializeResult()


@asset(partitions_def=month_by_org, backfill_policy=BackfillPolicy.single_run(), deps=[first])
def second() -> MaterializeResult[None]:
    return MaterializeResult()


def record_history(instance: DagsterInstance, groups: Sequence[str], progress: Progress) -> None:
    """Record the months before as materialized, as if each had its own run."""
    task = progress.add_task(f"{len(groups)} groups: history", total=MONTHS * len(ASSETS))
    for n in range(1, MONTHS + 1):
        month = MONTH.plus(-n)
        metadata = {f"{month} invoices": f"{len(groups)} finalized, 0 were final already"}
        for name in ASSETS:
            for group in groups:
                instance.report_runless_asset_event(
                    AssetMaterialization(name, partition=partition_key(month, group), metadata=metadata)
                )
            progress.advance(task)


def time_a_month(instance: DagsterInstance, groups: Sequence[str]) -> float:
    """Return the seconds that a run of both assets takes for all groups: only Dagster's bookkeeping."""
    definitions = Definitions(
        assets=[first, second], jobs=[define_asset_job("month", [first, second])], executor=in_process_executor
    )
    tags = {RANGE_START: partition_key(MONTH, groups[0]), RANGE_END: partition_key(MONTH, groups[-1])}
    started = time.perf_counter()
    result = definitions.resolve_job_def("month").execute_in_process(run_config=QUIET, instance=instance, tags=tags)
    assert result.success
    return time.perf_counter() - started


def measure(count: int, progress: Progress) -> tuple[float, list[PageTime]]:
    with bench_server() as server, tempfile.TemporaryDirectory() as home:
        os.environ |= {
            "DATABASE_URL": server.url("billing"),
            "DAGSTER_DATABASE_URL": server.url("dagster", "postgresql+psycopg2", DAGSTER),
            "DAGSTER_HOME": home,
            "DAGSTER_EVENT_BATCH_SIZE": "1000",
        }
        (Path(home) / "dagster.yaml").write_text((INSTANCE_FILE).read_text(encoding="utf-8"), encoding="utf-8")
        groups = [f"group-{number:05d}" for number in range(count)]
        with DagsterInstance.get() as instance:
            instance.add_dynamic_partitions(str(orgs.name), groups)
            record_history(instance, groups, progress)
            return time_a_month(instance, groups), time_pages()


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__)
    read.add_argument("--groups", type=int, nargs="+", default=[264, 564, 1064, 2064])
    given = read.parse_args()
    warnings.simplefilter("ignore")
    measured = {}
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        for count in given.groups:
            measured[count] = measure(count, progress)
    names = [page.name for page in next(iter(measured.values()))[1]]
    shown = Table("Groups", "A month of two assets", *(f"{name}, cold / warm / by a click" for name in names))
    for count, (seconds, pages) in measured.items():
        times = (" / ".join(shown_seconds(page)) for page in pages)
        shown.add_row(f"{count:,}", f"{seconds:.1f} s", *times)
    Console(width=160).print(shown)


if __name__ == "__main__":
    main()
