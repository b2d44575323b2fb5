"""Reads the SQL statements of this room: one `.sql` file each, values bound, never formatted in."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def sql(name: str) -> str:
    """Return the statement `sql/<name>.sql`."""
    return (files("fly_billing.resources") / "sql" / f"{name}.sql").read_text(encoding="utf-8")


@cache
def sql_spark(name: str) -> str:
    """Return the statement `sql_spark/<name>.sql`, for Spark."""
    return (files("fly_billing.resources") / "sql_spark" / f"{name}.sql").read_text(encoding="utf-8")
