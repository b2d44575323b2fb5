"""The platform is healthy while each sign of life is younger than its limit."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from fly_billing.operations.rules.attention import Facts, attention_rows, daemon_silence
from fly_billing.operations.rules.health import HealthLimits, SignsOfLife, judge_health
from fly_billing.usage.rules.source_cadence import SilentSource
from tests.support.builders import at

NOW = at("2026-11-05T12:00:00")
LIMITS = HealthLimits(timedelta(minutes=5), timedelta(hours=3), timedelta(days=35), timedelta(hours=36))
ALIVE = SignsOfLife(
    heartbeat=at("2026-11-05T11:55:00"),
    landing=at("2026-11-05T09:00:00"),
    close=at("2026-10-01T12:00:00"),
    reconciliation=at("2026-11-04T00:00:00"),
    is_reconciliation_due=True,
)


def failing(signs: SignsOfLife) -> list[str]:
    health = judge_health(signs, LIMITS, NOW)
    found = [name for name, sign in health.signs.items() if not sign.is_good]
    assert health.is_good is not bool(found)
    return found


def test_a_sign_of_life_that_is_exactly_as_old_as_its_limit_is_good() -> None:
    assert failing(ALIVE) == []


@pytest.mark.parametrize("name", ["heartbeat", "landing", "close", "reconciliation"])
def test_a_sign_of_life_that_is_a_second_older_than_its_limit_is_named(name: str) -> None:
    assert failing(replace(ALIVE, **{name: getattr(ALIVE, name) - timedelta(seconds=1)})) == [name]


@pytest.mark.parametrize(
    ("never", "expected"),
    [("heartbeat", ["heartbeat"]), ("landing", ["landing"]), ("close", []), ("reconciliation", ["reconciliation"])],
)
def test_a_platform_may_have_no_closed_month_but_needs_a_daemon_and_a_landing(never: str, expected: list[str]) -> None:
    signs: dict[str, Any] = {never: None}
    assert failing(replace(ALIVE, **signs)) == expected


def test_a_platform_with_nothing_to_compare_with_stripe_is_healthy_without_a_comparison() -> None:
    for old in (None, at("2026-01-01")):
        assert failing(replace(ALIVE, reconciliation=old, is_reconciliation_due=False)) == []


def test_a_silent_source_is_named_and_leaves_the_platform_healthy() -> None:
    silent = SilentSource("proxy-#.jsonl", date(2026, 11, 2), 1)
    health = judge_health(replace(ALIVE, silent_sources=[silent]), LIMITS, NOW)
    assert health.as_data() == {
        "status": "ok",
        "at": "2026-11-05T12:00:00Z",
        "signs": {
            "heartbeat": {"ok": True, "at": "2026-11-05T11:55:00Z", "age_seconds": 300, "limit_seconds": 300},
            "landing": {"ok": True, "at": "2026-11-05T09:00:00Z", "age_seconds": 10800, "limit_seconds": 10800},
            "close": {"ok": True, "at": "2026-10-01T12:00:00Z", "age_seconds": 3024000, "limit_seconds": 3024000},
            "reconciliation": {
                "ok": True, "at": "2026-11-04T00:00:00Z", "age_seconds": 129600, "limit_seconds": 129600
            },
        },
        "silent_sources": [{"source": "proxy-#.jsonl", "last_day": "2026-11-02", "cadence_days": 1}],
    }  # fmt: skip


def test_status_names_a_silent_source_and_a_daemon_that_stopped() -> None:
    silent = SilentSource("proxy-#.jsonl", date(2026, 11, 2), 7)
    stopped = daemon_silence(at("2026-11-05T11:54:59"), LIMITS.heartbeat, NOW)
    rows = attention_rows(Facts(silent_sources=[silent], daemon_problem=stopped))
    assert [(row.kind, row.about, row.problem) for row in rows] == [
        (
            "daemon stopped", "Dagster's daemon",
            "no heartbeat since 2026-11-05 11:54Z: nothing is landed, closed, synced or alerted until it runs again",
        ),
        (
            "silent source", "proxy-#.jsonl",
            "no file since landing day 2026-11-02; it usually delivers at least every 7 days. Ask who runs it",
        ),
    ]  # fmt: skip


def test_status_shows_no_daemon_that_runs_or_never_ran() -> None:
    assert daemon_silence(at("2026-11-05T11:55:00"), LIMITS.heartbeat, NOW) is None
    assert daemon_silence(None, LIMITS.heartbeat, NOW) is None
