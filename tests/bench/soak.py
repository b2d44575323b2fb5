"""Bills 24 months of 10,000 organizations, to compare the cost of the last month with the first.

Run by `make soak`. Everything runs through Dagster, in one process, as in `fly-billing backfill`. The table shows the
seconds and the peak memory of each month. Then the UI's pages are timed on the resulting instance (`bench_ui`).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from dagster import DagsterInstance
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn
from rich.table import Table

from fly_billing.cli.runs import Runs
from fly_billing.dagster_storage import INSTANCE_FILE
from fly_billing.embedded_postgres.roles import DAGSTER
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate
from tests.bench.bench_ui import PageTime, shown_seconds, time_pages
from tests.bench.costs import peak_bytes
from tests.bench.month_plot import plot_soak
from tests.bench.sample_of_size import MONTH, add_records, make_sample
from tests.bench.server import bench_server

EVENTS_PER_ORGANIZATION = 100


@dataclass(frozen=True)
class MonthCost:
    """The seconds of a month, and the peak memory of the process in it."""

    month: str
    land_seconds: float
    bill_seconds: float
    peak_bytes: int
    invoices: int


@contextmanager
def platform(landing: Path, organizations: int) -> Iterator[BillingDatabase]:
    """Run a platform, with its settings in the environment."""
    with bench_server() as server, tempfile.TemporaryDirectory() as work:
        database = BillingDatabase(server.url("billing"))
        migrate(database)
        add_records(database, organizations)
        os.environ |= {
            "DATABASE_URL": server.url("billing"),
            "DAGSTER_DATABASE_URL": server.url("dagster", "postgresql+psycopg2", DAGSTER),
            "DAGSTER_HOME": work,
            "DAGSTER_EVENT_BATCH_SIZE": "1000",
            "FLY_BILLING_DATA_DIR": work,
            "FLY_BILLING_LANDING_DIR": str(landing),
        }
        (Path(work) / "dagster.yaml").write_text((INSTANCE_FILE).read_text(encoding="utf-8"), encoding="utf-8")
        yield database


def make_usage(cache: Path, organizations: int, months: list[BillingMonth], landing: Path) -> None:
    """Create the months' usage unless it is there, and link all its days into one landing folder."""
    for month in months:
        sample = make_sample(cache, organizations, organizations * EVENTS_PER_ORGANIZATION, month)
        for day in sample.landing_days:
            folder = landing / day.isoformat()
            folder.mkdir(parents=True, exist_ok=True)
            for file in (sample.landing / day.isoformat()).iterdir():
                os.link(file, folder / file.name)


def bill_months(database: BillingDatabase, months: list[BillingMonth]) -> Iterator[MonthCost]:
    with DagsterInstance.get() as instance, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runs = Runs(instance, database)
        runs.register_organizations()
        for month in months:
            reset_peak()
            started = time.perf_counter()
            runs.land((month.first_day, month.plus(1).first_day.replace(day=3)))
            landed = time.perf_counter()
            runs.bill(month)
            billed = time.perf_counter()
            assert runs.record.is_clean, runs.record
            (found,) = database.rows(
                "monthly_totals", organization_id=None, first=month.first_day, last=month.first_day
            )
            yield MonthCost(str(month), landed - started, billed - landed, peak_bytes(), found["invoices"])


def reset_peak() -> None:
    """Reset the process's peak memory (Linux: man 5 proc, clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__)
    read.add_argument("--organizations", type=int, default=10_000)
    read.add_argument("--months", type=int, default=24)
    read.add_argument("--cache", type=Path, default=Path(".data/bench"))
    read.add_argument("--write", type=Path, help="folder for soak.json and soak.png")
    given = read.parse_args()
    months = [MONTH.plus(n - given.months + 1) for n in range(given.months)]
    given.cache.mkdir(parents=True, exist_ok=True)
    costs: list[MonthCost] = []
    console = Console(stderr=True)
    with (
        tempfile.TemporaryDirectory(dir=given.cache) as folder,
        Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=console) as progress,
    ):
        landing = Path(folder) / "landing"
        task = progress.add_task("Making usage", total=given.months)
        make_usage(given.cache, given.organizations, months, landing)
        with platform(landing, given.organizations) as database:
            for cost in bill_months(database, months):
                costs.append(cost)
                progress.update(task, advance=1, description=f"{cost.month} billed")
            pages = time_pages()
    print_result(costs, pages)
    if given.write:
        result = {"months": [asdict(cost) for cost in costs], "pages": [asdict(page) for page in pages]}
        (given.write / "soak.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        plot_soak([asdict(cost) for cost in costs], given.write / "soak.png")


def print_result(costs: list[MonthCost], pages: list[PageTime]) -> None:
    shown = Table("Month", "Landing", "Billing", "Peak memory", "Invoices")
    for cost in costs:
        shown.add_row(
            cost.month, f"{cost.land_seconds:.1f} s", f"{cost.bill_seconds:.1f} s", f"{cost.peak_bytes / 1e9:.2f} GB",
            f"{cost.invoices:,}",
        )  # fmt: skip
    Console().print(shown)
    shown = Table("Page of the UI", "Cold", "Warm, median of five", "By a click, median of five")
    for page in pages:
        shown.add_row(page.name, *shown_seconds(page))
    Console().print(shown)


if __name__ == "__main__":
    main()
