"""The landing folder, the usage table and the roll-up engine as a Dagster resource."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from dagster import ConfigurableResource

from fly_billing.settings import Settings
from fly_billing.usage.engines.engine import RollupEngine, open_engine
from fly_billing.usage.usage_table import UsageTable


class UsageStore(ConfigurableResource[Any]):
    """Where usage files land, and the Delta table they become (FLY_BILLING_LANDING_DIR, FLY_BILLING_LAKE_DIR).

    And what adds that table up (FLY_BILLING_ROLLUP_ENGINE, SPARK_MASTER).
    """

    landing_dir: str | None = None
    lake_dir: str | None = None
    rollup_engine: str | None = None
    spark_master: str | None = None

    def landing(self) -> Path:
        return Path(self.landing_dir) if self.landing_dir else Settings.from_environment().landing_dir

    def lake(self) -> UsageTable:
        return UsageTable(Path(self.lake_dir) if self.lake_dir else Settings.from_environment().lake_dir)

    def open_engine(self) -> AbstractContextManager[RollupEngine]:
        """Open what adds events up. Raises SettingsError where it is not known or not installed."""
        settings = Settings.from_environment()
        return open_engine(self.rollup_engine or settings.rollup_engine, self.spark_master or settings.spark_master)
