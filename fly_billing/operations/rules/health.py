"""Decides whether the platform is alive: from the ages of its last signs of life. Pure.

Business problems (a failed invoice, a red check) do not make the platform unhealthy: `operations.rules.attention` lists
them. Not here: reading the signs (`operations.signs_reader`), and HTTP (`operations.health_app`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fly_billing.usage.rules.source_cadence import SilentSource


@dataclass(frozen=True)
class HealthLimits:
    """The largest allowed age of each sign of life."""

    heartbeat: timedelta
    landing: timedelta
    close: timedelta
    reconciliation: timedelta


@dataclass(frozen=True)
class SignsOfLife:
    """When the platform last did its work. None: never.

    Attributes:
        heartbeat: The oldest of the last heartbeats of Dagster's daemons.
        landing: The last landing of any day. The daemon lands every hour, also if no file came.
        close: When the last invoice was made final.
        reconciliation: The last comparison of any month with Stripe.
        is_reconciliation_due: True if an invoice that can still change has been in Stripe for longer than the limit.
        silent_sources: Usage sources that missed two of their cadences.
    """

    heartbeat: datetime | None
    landing: datetime | None
    close: datetime | None
    reconciliation: datetime | None
    is_reconciliation_due: bool
    silent_sources: Sequence[SilentSource] = ()


@dataclass(frozen=True)
class Sign:
    """One sign of life and its limit. `age` is None if there never was one."""

    at: datetime | None
    age: timedelta | None
    limit: timedelta
    is_good: bool


@dataclass(frozen=True)
class Health:
    """The platform's health at a moment.

    Attributes:
        signs: Name -> sign: heartbeat, landing, close, reconciliation.
        silent_sources: Named, but without effect on `is_good`: the platform works, the source does not.
    """

    at: datetime
    signs: Mapping[str, Sign]
    silent_sources: Sequence[SilentSource]

    @property
    def is_good(self) -> bool:
        return all(sign.is_good for sign in self.signs.values())

    def as_data(self) -> dict[str, Any]:
        """Return it for JSON: times in ISO 8601, ages and limits in whole seconds."""
        return {
            "status": "ok" if self.is_good else "failing",
            "at": _iso(self.at),
            "signs": {
                name: {
                    "ok": sign.is_good,
                    "at": _iso(sign.at),
                    "age_seconds": _seconds(sign.age),
                    "limit_seconds": _seconds(sign.limit),
                }
                for name, sign in self.signs.items()
            },
            "silent_sources": [
                {"source": silent.source, "last_day": silent.last_day.isoformat(), "cadence_days": silent.cadence}
                for silent in self.silent_sources
            ],
        }


def judge_health(signs: SignsOfLife, limits: HealthLimits, now: datetime) -> Health:
    """Compare the age of each sign with its limit.

    The heartbeat and a landing must exist. A platform that never closed a month, or that has nothing to compare with
    Stripe, is healthy without.
    """
    return Health(
        at=now,
        signs={
            "heartbeat": _sign(signs.heartbeat, limits.heartbeat, now, must_exist=True),
            "landing": _sign(signs.landing, limits.landing, now, must_exist=True),
            "close": _sign(signs.close, limits.close, now, must_exist=False),
            "reconciliation": _reconciliation(signs, limits.reconciliation, now),
        },
        silent_sources=signs.silent_sources,
    )


def _sign(at: datetime | None, limit: timedelta, now: datetime, *, must_exist: bool) -> Sign:
    if at is None:
        return Sign(None, None, limit, not must_exist)
    return Sign(at, now - at, limit, now - at <= limit)


def _reconciliation(signs: SignsOfLife, limit: timedelta, now: datetime) -> Sign:
    found = _sign(signs.reconciliation, limit, now, must_exist=True)
    return Sign(found.at, found.age, limit, found.is_good or not signs.is_reconciliation_due)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z") if moment else None


def _seconds(age: timedelta | None) -> int | None:
    return None if age is None else int(age.total_seconds())
