"""The folder of the workspace as a Dagster resource."""

from pathlib import Path
from typing import Any

from dagster import ConfigurableResource

from fly_billing.customers.organizations import Groups
from fly_billing.settings import Settings
from fly_billing.usage.rules.declared_sources import DeclaredSources
from fly_billing.workspace.files import read_declared_sources


class WorkspaceFolder(ConfigurableResource[Any]):
    """The workspace whose databases are read before each landing, and whose sources are checked by it.

    Attributes:
        workspace_dir: FLY_BILLING_WORKSPACE. Without it, no database is read, and no source is declared.
    """

    workspace_dir: str | None = None

    def folder(self) -> Path | None:
        return self._settings().workspace_dir

    def declared_sources(self) -> DeclaredSources:
        """Return the usage sources of the workspace; none without a workspace. Raises WorkspaceHasMistakes."""
        return read_declared_sources(self.folder())

    def groups(self) -> Groups:
        """Return how new organizations get their billing group."""
        settings = self._settings()
        return Groups(settings.max_org_partitions, settings.shared_groups)

    def _settings(self) -> Settings:
        return Settings.from_environment({"FLY_BILLING_WORKSPACE": self.workspace_dir} if self.workspace_dir else {})
