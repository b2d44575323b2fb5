"""Reads from Dagster's instance when its daemon last worked: for `fly-billing status` and `fly-billing health`.

Not here: how long it may be silent (`operations.rules.attention`), and the web server of `health` (`cli.health`), which
`status` does without.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dagster import DagsterError, DagsterInstance

from fly_billing.errors import ActionableError
from fly_billing.operations.rules.attention import daemon_silence
from fly_billing.operations.unreadable import UNREADABLE, reason_of


def oldest_heartbeat(instance: DagsterInstance) -> datetime | None:
    """Return the oldest of the last heartbeats of the daemons that must run; None if one of them never had any.

    Raises:
        ActionableError, SQLAlchemyError: Dagster's database can't be read.
    """
    try:
        statuses = instance.get_daemon_statuses().values()
    except DagsterError as problem:
        raise ActionableError(f"Dagster's database can't be read: {type(problem).__name__}") from problem
    found = [status.last_heartbeat for status in statuses if status.required]
    times = [heartbeat.timestamp for heartbeat in found if heartbeat]
    return datetime.fromtimestamp(min(times), UTC) if times and len(times) == len(found) else None


def daemon_problem(limit: timedelta, now: datetime) -> str | None:
    """Return why the daemon does no work now, or why that is unknown. None if it runs, or never ran."""
    try:
        with DagsterInstance.get() as instance:
            return daemon_silence(oldest_heartbeat(instance), limit, now)
    except UNREADABLE as problem:
        return f"its heartbeats can't be read: {reason_of(problem)}"
