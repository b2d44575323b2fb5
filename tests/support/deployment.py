"""A platform around a Dagster code location: Postgres, a usage table, a sandbox, a stopped clock, an instance.

For end-to-end tests. Amounts follow from the shipped price book, so they can be calculated manually.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

from dagster import AssetKey, DagsterInstance, ExecuteInProcessResult
from sqlalchemy import text

from fly_billing.definitions import build_defs
from fly_billing.jobs import landing_range, month_tags, register_groups
from fly_billing.partitions import month_by_org, partition_key
from fly_billing.periods import FIRST_MONTH, BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.pricing.price_books import SHIPPED, load_price_book, read_price_book_files
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.resources.reports import Reports
from fly_billing.resources.stripe_account import StripeAccount
from fly_billing.resources.usage_store import UsageStore

# By default, Dagster copies each step's output to a file and starts two processes for it.
NO_LOG_FILES = {
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
}
MEMORY, ENOUGH_BYTES = Path("/dev", "shm"), 2**30  # containers often have 64 MB there
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@contextmanager
def dagster_instance(overrides: Mapping[str, Any] = MappingProxyType({})) -> Iterator[DagsterInstance]:
    """Provide a Dagster instance whose SQLite files are in memory, if the machine has a large folder for that.

    A run commits some two hundred times, and on a disk each commit waits for it.
    """
    with (
        TemporaryDirectory(prefix="fly_billing_dagster_", dir=MEMORY if _has_room() else None) as home,
        DagsterInstance.local_temp(home, overrides={**NO_LOG_FILES, **overrides}) as instance,
    ):
        yield instance


def _has_room() -> bool:
    return os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ENOUGH_BYTES


@dataclass
class Deployment:
    """One platform. `now` is the time for every asset.

    Attributes:
        landing_address, lake_address: Where assets find usage, if not in `landing_dir` and `lake_dir`.
    """

    database: BillingDatabase
    database_url: str
    landing_dir: Path
    lake_dir: Path
    stripe_url: str
    instance: DagsterInstance
    now: datetime
    landing_address: str | None = None
    lake_address: str | None = None

    @property
    def reports_dir(self) -> Path:
        return self.lake_dir.parent / "reports"

    def load_prices(self) -> None:
        with self.database.transaction() as connection:
            load_price_book(connection, read_price_book_files(SHIPPED / "fly"))

    def add_organization(self, name: str, created_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self.execute(
            "insert into organizations (id, name, billing_group, created_at) values (:id, :name, :id, :created_at)",
            id=name,
            name=name.title(),
            created_at=created_at,
        )
        self.register_organizations()

    def register_organizations(self) -> None:
        register_groups(self.instance, self.database)

    def execute(self, statement: str, **parameters: Any) -> list[Mapping[str, Any]]:
        with self.database.transaction() as connection:
            result = connection.execute(text(statement), parameters)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []

    def write_usage(self, day: date, events: Iterable[Mapping[str, Any]], name: str = "usage.jsonl") -> None:
        write_events(self.landing_dir, day, events, name)

    def land(self, first: date, last: date, tags: Mapping[str, str] | None = None) -> ExecuteInProcessResult:
        """Land these days. This and the other runs raise the error of a failed run, unless `fails` is set."""
        return self.run("land_usage", {**landing_range(first, last), **(tags or {})})

    def land_month(self, month: BillingMonth) -> None:
        """Land every day that counts for the month, up to the end of the three days of grace."""
        self.land(month.first_day, month.last_landing_day(timedelta(hours=72)))

    def bill(self, month: BillingMonth, *, fails: bool = False) -> ExecuteInProcessResult:
        return self.run("bill_month", self.tags(month), fails=fails)

    def sync(self, month: BillingMonth, *, fails: bool = False) -> ExecuteInProcessResult:
        return self.run("sync_month", self.tags(month), fails=fails)

    def tags(self, month: BillingMonth) -> dict[str, str]:
        return month_tags(self.instance, self.database, month)

    def run(
        self,
        job: str,
        tags: Mapping[str, str],
        partition: str | None = None,
        *,
        fails: bool = False,
        only: str | None = None,
    ) -> ExecuteInProcessResult:
        """Run a job, or `only` one asset of it."""
        definitions = build_defs(
            {
                "alerts": Alerts(),
                "billing_postgres": BillingPostgres(url=self.database_url),
                "clock": Clock(fixed_at=self.now.isoformat()),
                "reports": Reports(reports_dir=str(self.reports_dir)),
                "stripe_account": StripeAccount(api_key="sk_test_world", api_base=self.stripe_url),
                "usage_store": UsageStore(
                    landing_dir=self.landing_address or str(self.landing_dir),
                    lake_dir=self.lake_address or str(self.lake_dir),
                ),
            },
            first_month=FIRST_MONTH,
        )
        result = definitions.resolve_job_def(job).execute_in_process(
            run_config=QUIET,
            instance=self.instance,
            tags=dict(tags),
            partition_key=partition,
            raise_on_error=False,
            asset_selection=[AssetKey(only)] if only else None,
        )
        assert result.success is not fails, _errors(result)
        return result

    def statuses(self, asset: str, month: BillingMonth, names: Sequence[str]) -> dict[str, str]:
        """Return what Dagster shows for the organizations' partitions: MATERIALIZED, FAILED, missing."""
        keys = {name: str(partition_key(month, name)) for name in names}
        found = self.instance.get_status_by_partition(AssetKey(asset), list(keys.values()), month_by_org) or {}
        return {name: str(getattr(found.get(key), "value", "missing")) for name, key in keys.items()}

    def totals(self, month: BillingMonth) -> dict[str, tuple[str, int]]:
        """Return organization -> (status, cents) of the month's invoices."""
        found = self.execute(
            "select organization_id, status, total_cents from invoices where month = :month", month=month.first_day
        )
        return {row["organization_id"]: (row["status"], row["total_cents"]) for row in found}


def _errors(result: ExecuteInProcessResult) -> str:
    failed = [event.step_failure_data.error_display_string for event in result.all_events if event.is_step_failure]
    return "\n".join(failed) or "the run went well"


def write_events(landing_dir: Path, day: date, events: Iterable[Mapping[str, Any]], name: str) -> None:
    """Write a file of events into the day's landing folder."""
    folder = landing_dir / day.isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")


def event(
    number: int | str, meter: str, organization: str, time: datetime, quantity: str, **dimensions: str
) -> dict[str, Any]:
    """Return a usage event in the form of CloudEvents."""
    return {
        "specversion": "1.0",
        "id": f"{meter}-{number}",
        "source": "test",
        "type": meter,
        "subject": organization,
        "time": time.isoformat(),
        "data": {"quantity": quantity, **dimensions},
    }


def machine_seconds(number: int | str, organization: str, time: datetime, seconds: str) -> dict[str, Any]:
    """Return usage of a shared-cpu-1x 256MB Machine in ams: $2.02 for 2,592,000 seconds."""
    dimensions = {"app": "web", "region": "ams", "preset": "shared-cpu-1x", "memory": "256MB"}
    return event(number, "machine_seconds", organization, time, seconds, **dimensions)
