"""Reads SQL statements by name: one file each, in the `sql/` folder of the subject whose tables it reads or writes.

A name is unique in the whole package. Values are bound, never formatted in.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


@cache
def sql(name: str) -> str:
    """Return the statement of the file `<name>.sql`, for Postgres or DuckDB."""
    return _files("sql")[name].read_text(encoding="utf-8")


@cache
def sql_spark(name: str) -> str:
    """Return the statement of the file `sql_spark/<name>.sql`, for Spark."""
    return _files("sql_spark")[name].read_text(encoding="utf-8")


@cache
def _files(folder: str) -> dict[str, Path]:
    return by_name(PACKAGE.glob(f"*/**/{folder}/*.sql"))


def by_name(paths: Iterable[Path]) -> dict[str, Path]:
    """Return the files by their names without suffix. Raises LookupError naming two files of one name."""
    found: dict[str, Path] = {}
    for path in sorted(paths):
        if path.stem in found:
            raise LookupError(f"two SQL files of one name: {found[path.stem]} and {path}: rename one")
        found[path.stem] = path
    return found
