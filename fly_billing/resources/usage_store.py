"""The landing folder, the usage table and the roll-up engine as a Dagster resource."""

from contextlib import AbstractContextManager
from typing import Any

from dagster import ConfigurableResource

from fly_billing.object_store.address import Place
from fly_billing.settings import Settings
from fly_billing.usage.engines.engine import RollupEngine, open_engine
from fly_billing.usage.usage_table import UsageTable

VARIABLES = {
    "landing_dir": "FLY_BILLING_LANDING_DIR",
    "lake_dir": "FLY_BILLING_LAKE_DIR",
    "rollup_engine": "FLY_BILLING_ROLLUP_ENGINE",
    "spark_master": "SPARK_MASTER",
    "memory_mb": "FLY_BILLING_MEMORY_MB",
    "processes": "FLY_BILLING_PROCESSES",
}


class UsageStore(ConfigurableResource[Any]):
    """The landing folder of usage files, the Delta table of usage events, and the engine that aggregates them.

    Attributes:
        landing_dir, lake_dir: FLY_BILLING_LANDING_DIR, FLY_BILLING_LAKE_DIR.
        rollup_engine, spark_master: FLY_BILLING_ROLLUP_ENGINE, SPARK_MASTER.
        memory_mb: The memory limit of each DuckDB in MB (FLY_BILLING_MEMORY_MB).
        processes: The most processes that land new days, or roll up a month, at once (FLY_BILLING_PROCESSES).
    """

    landing_dir: str | None = None
    lake_dir: str | None = None
    rollup_engine: str | None = None
    spark_master: str | None = None
    memory_mb: int | None = None
    processes: int | None = None

    def landing(self) -> Place:
        return self._settings().landing_dir

    def usage_table(self) -> UsageTable:
        return UsageTable.from_settings(self._settings())

    def most_processes(self) -> int:
        return self._settings().processes

    def open_engine(self) -> AbstractContextManager[RollupEngine]:
        """Open the engine that aggregates events. Raises SettingsError if it is unknown or not installed."""
        settings = self._settings()
        return open_engine(settings.rollup_engine, settings.spark_master)

    def _settings(self) -> Settings:
        given = {variable: getattr(self, name) for name, variable in VARIABLES.items()}
        return Settings.from_environment({name: str(value) for name, value in given.items() if value is not None})
