"""Writes rows for COPY as text: for tables with so many rows that the driver's conversion of each value takes too long.

Not here: COPY of other rows (`database.copy_rows`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Any
from uuid import UUID

from psycopg import sql as compose
from sqlalchemy import Connection

from fly_billing.postgres.database import driver_connection

NULL = r"\N"
# About a megabyte of invoice items.
LINES_AT_ONCE = 2_000
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def copy_lines(connection: Connection, table: str, columns: Sequence[str], lines: Iterable[str]) -> None:
    """Insert rows by COPY. Each line has the texts of its columns, separated by tabs (`copied`, `copied_line`)."""
    statement = compose.SQL("copy {} ({}) from stdin").format(
        compose.Identifier(table), compose.SQL(", ").join(map(compose.Identifier, columns))
    )
    rest = iter(lines)
    with driver_connection(connection).cursor() as cursor, cursor.copy(statement) as copy:
        while some := list(islice(rest, LINES_AT_ONCE)):
            copy.write("\n".join(some) + "\n")


def copied_line(values: Iterable[Any]) -> str:
    """Write a row as a line of COPY."""
    return "\t".join(map(copied, values))


def copied(value: Any) -> str:
    """Write a value as COPY reads it. Raises TypeError for a type that has no text here."""
    if value is None:
        return NULL
    if isinstance(value, str):
        return copied_text(value)
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, (bool, int, Decimal)):
        return str(value)
    if isinstance(value, date):  # or a datetime
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} can't be copied as text")


def copied_text(text: str) -> str:
    """Escape a text as COPY reads it."""
    return text if text.isprintable() and "\\" not in text else text.translate(_ESCAPES)
