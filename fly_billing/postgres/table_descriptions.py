"""The tables and views of the billing database in words, from the comments of its schema.

`make schema` writes tables.json from a migrated database; docs/tables.md and Dagster's catalog show it. To describe a
table or a column, add a comment in a migration. Not here: the schema itself (`schema.sql`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("tables.json")


@dataclass(frozen=True)
class ColumnDescription:
    """A column. `text` is empty if it has no comment."""

    name: str
    type: str
    is_nullable: bool
    text: str


@dataclass(frozen=True)
class TableDescription:
    """A table or view, with its columns in their order."""

    name: str
    text: str
    columns: tuple[ColumnDescription, ...]


@cache
def described_tables() -> dict[str, TableDescription]:
    """Return every table and view of the billing database by name."""
    found = json.loads(FILE.read_text(encoding="utf-8"))
    return {
        name: TableDescription(name, table["text"], tuple(ColumnDescription(*column) for column in table["columns"]))
        for name, table in found.items()
    }
