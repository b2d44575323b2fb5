"""The values of another database as values of a workspace's entries. Each error begins with the field.

Not here: which values a field may have (`workspace.entries`).
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

# The fields that are times. Some databases, such as SQLite, return them as text.
TIMES = frozenset({
    "created_at", "started_at", "ended_at", "trial_ends_at", "anchored_at", "occurred_at", "period_start",
    "period_end",
})  # fmt: skip


def read_cell(name: str, value: Any, *, naive_is_utc: bool) -> Any:
    """Return the value of a column: None, text, a date, or a time with its zone. Numbers are exact text.

    Args:
        naive_is_utc: Times without a zone are in UTC.

    Raises:
        ValueError: It is a float, a time without a zone, or of a type that no field has.
    """
    if isinstance(value, str):
        value = value.strip() or None
        return _moment(name, value, naive_is_utc=naive_is_utc) if name in TIMES else value
    if isinstance(value, float):
        raise ValueError(f"{name} {value!r} is a float, which is not exact: cast it to numeric or text in the query")
    if isinstance(value, datetime):
        return _with_zone(name, value, naive_is_utc=naive_is_utc)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, int | UUID):
        return str(value)
    if value is None or isinstance(value, date):
        return value
    raise ValueError(f"{name} is of type {type(value).__name__}: cast it to text in the query")


def _moment(name: str, value: str | None, *, naive_is_utc: bool) -> Any:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return value  # the field says what is wrong
    if len(value) <= len("2026-10-01"):
        return moment.date()
    return _with_zone(name, moment, naive_is_utc=naive_is_utc)


def _with_zone(name: str, moment: datetime, *, naive_is_utc: bool) -> datetime:
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    if naive_is_utc:
        return moment.replace(tzinfo=UTC)
    raise ValueError(
        f"{name} {moment} has no zone: write `{name} at time zone 'UTC'` in the query (Postgres), or `naive_times: UTC`"
        " if all such times are in UTC"
    )
