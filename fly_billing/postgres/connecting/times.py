"""Reads a time that Python can't hold (`infinity`, the year 10000) as text: one such row must not stop a whole result.

Whoever calculates with it refuses it (`bounds`), for the organization whose row it is.
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
    """Have the connection read times that are out of Python's range as UnreadableTime."""
    for name in _TYPES:
        connection.adapters.register_loader(name, _TolerantLoader)
