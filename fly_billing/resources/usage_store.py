"""The landing folder and the usage table as a Dagster resource."""

from typing import Any

from dagster import ConfigurableResource

from fly_billing.object_store.address import Place
from fly_billing.settings import Settings
from fly_billing.usage.usage_table import UsageTable

VARIABLES = {
    "landing_dir": "FLY_BILLING_LANDING_DIR",
    "lake_dir": "FLY_BILLING_LAKE_DIR",
    "memory_mb": "FLY_BILLING_MEMORY_MB",
    "processes": "FLY_BILLING_PROCESSES",
}


class UsageStore(ConfigurableResource[Any]):
    """The landing folder of usage files, and the Delta table of usage events.

    Attributes:
        landing_dir, lake_dir: FLY_BILLING_LANDING_DIR, FLY_BILLING_LAKE_DIR.
        memory_mb: The memory limit of each DuckDB in MB (FLY_BILLING_MEMORY_MB).
        processes: The most processes that land new days, or roll up a month, at once (FLY_BILLING_PROCESSES).
    """

    landing_dir: str | None = None
    lake_dir: str | None = None
    memory_mb: int | None = None
    processes: int | None = None

    def landing(self) -> Place:
        return self._settings().landing_dir

    def usage_table(self) -> UsageTable:
        return UsageTable.from_settings(self._settings())

    def most_processes(self) -> int:
        return self._settings().processes

    def _settings(self) -> Settings:
        given = {variable: getattr(self, name) for name, variable in VARIABLES.items()}
        return Settings.from_environment({name: str(value) for name, value in given.items() if value is not None})
