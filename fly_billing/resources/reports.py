"""The folder of reports, and the address that serves it, as a Dagster resource."""

from pathlib import Path
from typing import Any

from dagster import ConfigurableResource

from fly_billing.settings import Settings


class Reports(ConfigurableResource[Any]):
    """The folder into which reports are written.

    Attributes:
        reports_dir: FLY_BILLING_REPORTS_DIR.
        reports_url: FLY_BILLING_REPORTS_URL.
    """

    reports_dir: str | None = None
    reports_url: str | None = None

    def folder(self) -> Path:
        return self._settings().reports_dir

    def link(self, file: Path) -> str | None:
        """Return the address of a report in the folder; None if no address serves it."""
        base = self._settings().reports_url
        return f"{base}/{file.name}" if base else None

    def _settings(self) -> Settings:
        given = {"FLY_BILLING_REPORTS_DIR": self.reports_dir, "FLY_BILLING_REPORTS_URL": self.reports_url}
        return Settings.from_environment({name: value for name, value in given.items() if value})
