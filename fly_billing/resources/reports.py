"""The folder of reports as a Dagster resource."""

from pathlib import Path
from typing import Any

from dagster import ConfigurableResource

from fly_billing.settings import Settings


class Reports(ConfigurableResource[Any]):
    """The folder into which reports are written: FLY_BILLING_REPORTS_DIR."""

    reports_dir: str | None = None

    def folder(self) -> Path:
        given = {"FLY_BILLING_REPORTS_DIR": self.reports_dir} if self.reports_dir else {}
        return Settings.from_environment(given).reports_dir
