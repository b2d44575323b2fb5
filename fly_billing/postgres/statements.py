"""Reads SQL statements by name from the folders of the subjects: `sql/` (Postgres), `sql_duckdb/` and `sql_spark/`.

A file named for a module holds its short statements as blocks: `-- name: claim_invoice`, then the statement, which ends
with a semicolon. A long statement, or one that several modules use, has a file of its own and the file's name.
Names are unique in the package. Values are bound, never formatted in.

The blocks look as in aiosql, which is no use here: it makes functions for one driver's connection, and these statements
go to SQLAlchemy, psycopg, DuckDB and Spark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
FOLDERS = ("sql", "sql_duckdb")
_NAME = re.compile(r"^-- name: *(\w+) *$", re.MULTILINE)


@cache
def sql(name: str) -> str:
    """Return the statement of this name, for Postgres or DuckDB. Raises KeyError where there is none."""
    return statements()[name]


@cache
def sql_spark(name: str) -> str:
    """Return the statement of this name for Spark. Raises KeyError where there is none."""
    return statements("sql_spark")[name]


@cache
def statements(*folders: str) -> dict[str, str]:
    """Return all statements of the folders of these names, or of Postgres and DuckDB, by name."""
    return by_name(path for folder in folders or FOLDERS for path in PACKAGE.glob(f"*/**/{folder}/*.sql"))


def by_name(paths: Iterable[Path]) -> dict[str, str]:
    """Return the statements of these files. Raises LookupError for two of one name, naming both files."""
    found: dict[str, tuple[Path, str]] = {}
    for path in sorted(paths):
        for name, statement in _blocks(path):
            if name in found:
                raise LookupError(f"two SQL statements {name}: in {found[name][0]} and {path}: rename one")
            found[name] = path, statement
    return {name: statement for name, (_, statement) in found.items()}


def _blocks(path: Path) -> Iterator[tuple[str, str]]:
    before, *blocks = _NAME.split(path.read_text(encoding="utf-8"))
    if not blocks:
        yield path.stem, before
        return
    if before.strip():
        raise LookupError(f"{path}: the text before the first `-- name:` belongs to no statement: {before.strip()!r}")
    for name, block in zip(blocks[::2], blocks[1::2], strict=True):
        statement = block.strip()
        if not statement.endswith(";"):
            raise LookupError(f"{path}: the statement {name} does not end with a semicolon")
        yield name, statement.removesuffix(";")
