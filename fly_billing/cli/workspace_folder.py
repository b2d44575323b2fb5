"""The folder of the workspace that a command uses, and whether landings use its sources.yaml.

Not here: reading the folder (`workspace.files`).
"""

from __future__ import annotations

import shlex
from pathlib import Path

from fly_billing.cli.terminal import Terminal, styled
from fly_billing.errors import ActionableError
from fly_billing.settings import Settings
from fly_billing.workspace.files import SETTINGS
from fly_billing.workspace.reading import WorkspaceReading
from fly_billing.workspace.usage_sources import SOURCES_FILE


class FolderNotNamed(ActionableError):
    """A command needs the folder of a workspace, and none was named."""


def workspace_folder(folder: Path | None, command: str) -> Path:
    """Return the absolute path of the folder; None: of FLY_BILLING_WORKSPACE, or of the current folder.

    Raises:
        FolderNotNamed: None is named, and the current folder is not a workspace.
    """
    found = folder or Settings.from_environment().workspace_dir
    if found is None and not Path(SETTINGS).is_file():
        raise FolderNotNamed(
            f"name the folder: fly-billing {command} DIR. FLY_BILLING_WORKSPACE is not set, and {Path.cwd()} has no"
            f" {SETTINGS}"
        )
    return (found or Path()).resolve()


def say_if_sources_are_not_used(console: Terminal, folder: Path, settings: Settings) -> None:
    """Print a line if the folder's sources.yaml declares anything and FLY_BILLING_WORKSPACE names another folder."""
    used = settings.workspace_dir
    if (used and used.resolve() == folder) or not WorkspaceReading(folder).document(SOURCES_FILE):
        return
    variable = f"FLY_BILLING_WORKSPACE={shlex.quote(str(folder))}"
    console.print(styled("note", "yellow"), f"{SOURCES_FILE} is not used until {variable} is set", soft_wrap=True)


def say_if_sources_here_are_not_used(console: Terminal, settings: Settings) -> None:
    """Print that line if the current folder is a workspace and FLY_BILLING_WORKSPACE names none."""
    if settings.workspace_dir is None and Path(SETTINGS).is_file():
        say_if_sources_are_not_used(console, Path.cwd(), settings)
