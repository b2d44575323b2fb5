"""Pools of connections, and when a connection is tried before its next use.

Not here: how a connection is opened (`engines`), and how many a process needs (`connection_budget`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import URL, Engine, event
from sqlalchemy.exc import InvalidatePoolError

from fly_billing.postgres.connections.connection_budget import PoolPolicy
from fly_billing.postgres.connections.engines import make_engine
from fly_billing.settings import DatabaseLimits


def pooled_engine(url: URL, setting: str, limits: DatabaseLimits, policy: PoolPolicy) -> Engine:
    """Make an engine that keeps connections as the policy says. A connection that broke while idle is replaced."""
    engine = make_engine(
        url, setting, limits, pool_size=policy.kept_open, max_overflow=policy.most - policy.kept_open,
        pool_pre_ping=not policy.trusted_seconds,
    )  # fmt: skip
    if policy.trusted_seconds:
        try_idle_connections(engine, policy.trusted_seconds)
    return engine


def try_idle_connections(engine: Engine, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
    """Try a connection before its next use if it was idle for longer than this; if it broke, replace all idle ones."""

    @event.listens_for(engine, "checkin")
    def note(connection: Any, record: Any) -> None:
        record.info["used_at"] = clock()

    @event.listens_for(engine, "checkout")
    def try_out(connection: Any, record: Any, proxy: object) -> None:
        used_at = record.info.get("used_at")  # SQLAlchemy forgets it with the connection
        if used_at is None or clock() - used_at <= seconds:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as problem:
            raise InvalidatePoolError from problem
