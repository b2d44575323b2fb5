"""The entries of a price book's file: those of its lists, and those made from the rows of a table.

Not here: the fields of an entry (`pricing.book_reading`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fly_billing.pricing.csv_tables import read_csv_table
from fly_billing.pricing.rules.fields import read_text, refuse_unknown

# The parts that a file of a price book may have.
PARTS = frozenset("meters prices csv reservations taxes negotiated negotiated_csv members members_csv".split())
# A column's value in the text of a template: `{region}`.
_COLUMN = re.compile(r"\{([^{}]*)\}")
# By part of a file: the part that makes its entries from a table.
_TABLES = {"prices": "csv", "negotiated": "negotiated_csv", "members": "members_csv"}


def listed_entries(document: Mapping[str, Any], part: str, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the entries of a part's list. Each has its place, with which its errors begin."""
    entries = document.get(part)
    if entries is None:
        return
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{part} must be a list of entries with fields")
    for entry in entries:
        yield f"{path}: line {entry.line}: ", entry


def table_entries(document: Mapping[str, Any], part: str, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the entries that a part makes from the rows of a table. Each has its place."""
    name = _TABLES.get(part)
    if name is None or (table := document.get(name)) is None:
        return
    if not isinstance(table, dict) or not isinstance(table.get("each"), dict):
        raise ValueError(f"{name} needs `file`, the table's name, and `each`, the fields of an entry")
    refuse_unknown(table, frozenset({"file", "each"}), name)
    file = read_text(table, "file")
    for row in read_csv_table(path.parent / file):
        yield f"{path}: {file}: line {row.line}: ", _TableEntry(_filled(table["each"], row), table["each"])


class _TableEntry(dict[str, Any]):
    """An entry that was made from a row of a table, with the template that names the columns."""

    def __init__(self, data: Mapping[str, Any], template: Mapping[str, Any]) -> None:
        super().__init__(data)
        self.template = template


def columns_behind(data: Mapping[str, Any], field: str) -> str:
    """Return the columns that a field of an entry was made from: ` (column usd)`. Empty if there are none."""
    columns = _columns(data.template.get(field)) if isinstance(data, _TableEntry) else []
    return f" ({'columns' if len(columns) > 1 else 'column'} {', '.join(columns)})" if columns else ""


def _columns(template: Any) -> list[str]:
    if isinstance(template, Mapping | list):
        inner = template.values() if isinstance(template, Mapping) else template
        return [column for part in inner for column in _columns(part)]
    return _COLUMN.findall(template) if isinstance(template, str) else []


def _filled(template: Any, row: Mapping[str, str]) -> Any:
    """Replace each `{column}` in texts by the row's value. Raises ValueError if the table has no such column."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in row:
            raise ValueError(f"{found[0]} is not a column of the table; it has {', '.join(row)}")
        return row[found[1]]

    if isinstance(template, str):
        return _COLUMN.sub(value, template)
    if isinstance(template, dict):
        return {name: _filled(value, row) for name, value in template.items()}
    if isinstance(template, list):
        return [_filled(value, row) for value in template]
    return template
