"""Reads SQL statements by name: one file each, in the `sql/` folder of the subject whose tables it reads or writes.

A name is unique in the whole package. Values are bound, never formatted in.
"""

from __future__ import annotations

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
    found = sorted(PACKAGE.glob(f"*/**/{folder}/*.sql"))
    by_name = {path.stem: path for path in found}
    if len(by_name) < len(found):
        raise LookupError(f"two SQL files of one name: {sorted(path for path in found if by_name[path.stem] != path)}")
    return by_name
