"""Reads times that Python can't represent (`infinity`, the year 10000) as UnreadableTime instead of failing.

Otherwise one bad row would make the whole result unreadable. The rules refuse such a time (`bounds`) for its
organization only.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

from fly_billing.bounds import UnreadableTime

_TYPES = ("timestamptz", "timestamp", "date")


class _TolerantLoader(Loader):
    def __init__(self, oid: int, context: Any = None) -> None:
        super().__init__(oid, context)
        known = psycopg.adapters.get_loader(oid, Format.TEXT)
        assert known is not None
        self._load = known(oid, context).load

    def load(self, data: Buffer) -> Any:
        try:
            return self._load(data)
        except (psycopg.DataError, ValueError, OverflowError):
            return UnreadableTime(bytes(data).decode())


def read_all_times(connection: psycopg.Connection[Any]) -> None:
    """Make the connection read times outside Python's range as UnreadableTime."""
    for name in _TYPES:
        connection.adapters.register_loader(name, _TolerantLoader)
