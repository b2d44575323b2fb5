"""Reads the platform's signs of life.

Not here: the rule (`operations.rules.health`), and Dagster's heartbeats (`cli.heartbeats`).
"""

from __future__ import annotations

from datetime import UTC, datetime

from fly_billing.operations.rules.health import Health, HealthLimits, SignsOfLife, judge_health
from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import Settings
from fly_billing.usage.sources import list_silent_sources
from fly_billing.worklist.due import STILL_CHANGING


def read_health(
    database: BillingDatabase, heartbeat: datetime | None, limits: HealthLimits, now: datetime | None = None
) -> Health:
    """Read the signs of life and judge them.

    Args:
        database: The billing database.
        heartbeat: The oldest of the last heartbeats of Dagster's daemons; None if one never had any.
        limits: The allowed ages.
        now: The time of the judgement; None: the current time.
    """
    now = now or datetime.now(UTC)
    (row,) = database.rows("signs_of_life", since=now - STILL_CHANGING, before=now - limits.reconciliation)
    return judge_health(
        SignsOfLife(heartbeat=heartbeat, silent_sources=list_silent_sources(database), **row), limits, now
    )


def health_limits(settings: Settings) -> HealthLimits:
    """Return the limits that are set."""
    return HealthLimits(
        settings.health_heartbeat, settings.health_landing, settings.health_close, settings.health_reconciliation
    )
