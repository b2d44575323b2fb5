"""Reads SQL statements by name from the `sql/` (Postgres) and `sql_duckdb/` folders of each subject.

A module's short statements are blocks in a file with the module's name: `-- name: claim_invoice`, then the statement,
which ends with a semicolon. A long statement, or one that several modules use, has its own file and the file's name.
Names are unique in the package. Values are bound as parameters, never formatted into the text.

The blocks have aiosql's format. aiosql itself does not fit: it makes functions for one driver's connection, but these
statements go to SQLAlchemy, psycopg and DuckDB.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
FOLDERS = ("sql", "sql_duckdb")
_NAME = re.compile(r"^-- name: *(\w+) *$", re.MULTILINE)


@cache
def sql(name: str) -> str:
    """Return the statement with this name, for Postgres or DuckDB. Raises KeyError if there is none."""
    return statements()[name]


@cache
def statements(*folders: str) -> dict[str, str]:
    """Return the statements in all folders with these names, by name. Default: all."""
    ends = tuple(f"{os.sep}{folder}" for folder in folders or FOLDERS)
    # `Path.glob` takes five times as long, which `fly-billing statement` would feel.
    return by_name(
        Path(folder, name)
        for folder, _, names in os.walk(PACKAGE)
        if folder.endswith(ends)
        for name in names
        if name.endswith(".sql")
    )


def by_name(paths: Iterable[Path]) -> dict[str, str]:
    """Return the statements of these files by name. Raises LookupError if two have the same name."""
    read: dict[str, tuple[Path, str]] = {}
    for path in sorted(paths):
        for name, statement in _blocks(path):
            if name in read:
                raise LookupError(f"two SQL statements {name}: in {read[name][0]} and {path}: rename one")
            read[name] = path, statement
    return {name: statement for name, (_, statement) in read.items()}


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
