"""The intake is killed at random moments: no acknowledged event is lost, and none is billed twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.intake_chaos.campaign import run_campaign
from tests.support.builders import Platform

# The second end is a stop, the others are kills.
SEED = 2


def test_every_acknowledged_event_lands_exactly_once_although_the_intake_was_killed(platform: Platform) -> None:
    """The events are requests of acme in September 2026; they are posted, and land, today."""
    before = datetime.now(UTC).date()
    report = run_campaign(platform.landing_dir, kills=3, seed=SEED)
    assert (report.lost, report.doubled) == (set(), set())
    assert (report.kills, report.stops) == (2, 1)
    assert len(report.acknowledged) > 0
    days = {before, datetime.now(UTC).date()}  # the test may run over midnight
    landed = platform.land(*sorted(days), now=datetime.now(UTC) + timedelta(hours=1))
    assert sum(file.accepted for file in landed) == sum(file.landed for file in landed) >= len(report.acknowledged)
