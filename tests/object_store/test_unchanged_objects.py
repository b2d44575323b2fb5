"""An open day lands every five minutes. Landed objects are not downloaded each time; a replaced one is noticed."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from fly_billing.open_months.changes import find_changes
from fly_billing.open_months.update import record_look
from fly_billing.periods import FIRST_MONTH
from fly_billing.usage.landing import land_days
from fly_billing.usage.landing_changes import MARGIN
from fly_billing.usage.usage_table import open_duckdb
from tests.support.builders import TERMS, event, json_line
from tests.support.stored_platform import StoredPlatform

DAY = datetime.now(UTC).date()
KEY = f"landing/{DAY}/usage.jsonl"


def put(platform: StoredPlatform, quantity: str) -> None:
    platform.bucket.put(KEY, json_line(event("e1", quantity, time=f"{DAY}T00:00:00Z")))


def land(platform: StoredPlatform, now: datetime) -> list[str]:
    """Land the day, and return the landing objects that were downloaded."""
    platform.bucket.server.requests()
    land_days(platform.database, platform.usage_table, platform.stored_landing, [DAY], FIRST_MONTH, now)
    asked = platform.bucket.server.requests()
    return [request.key for request in asked if request.method == "GET" and f"/{KEY}" in request.key]


def landed_quantity(platform: StoredPlatform) -> Decimal:
    with open_duckdb() as duck:
        platform.table().open_view(duck, "events")
        ((quantity,),) = duck.execute("select sum(quantity) from events").fetchall()
    return Decimal(quantity)


@pytest.fixture
def later() -> datetime:
    """A time by which an object that was written just now counts as settled."""
    return datetime.now(UTC) + MARGIN + timedelta(minutes=1)


def test_an_object_that_had_settled_when_it_landed_is_not_downloaded_again(
    platform: StoredPlatform, later: datetime
) -> None:
    put(platform, "2")
    assert land(platform, later)
    assert land(platform, later + timedelta(minutes=5)) == []
    (day,) = platform.query("select landed_at from landing_days")
    assert day["landed_at"] == later + timedelta(minutes=5)


def test_a_settled_object_that_is_replaced_by_one_of_its_size_lands_again(
    platform: StoredPlatform, later: datetime
) -> None:
    put(platform, "2")
    land(platform, later)
    time.sleep(1.1)  # stores list times in seconds
    put(platform, "7")
    assert land(platform, later + timedelta(minutes=5))
    assert landed_quantity(platform) == 7


def test_an_object_that_landed_at_once_is_compared_until_no_replacement_can_have_its_time(
    platform: StoredPlatform,
) -> None:
    """The second one has the first one's size, and usually its time, as both were written within a second."""
    now = datetime.now(UTC)
    put(platform, "2")
    land(platform, now)
    put(platform, "7")
    assert land(platform, now + timedelta(minutes=5))
    assert landed_quantity(platform) == 7
    assert land(platform, now + MARGIN + timedelta(minutes=1))
    assert land(platform, now + MARGIN + timedelta(minutes=6)) == []


def test_a_look_at_names_and_sizes_settles_no_object(platform: StoredPlatform) -> None:
    """The sensor looks every minute, and moves the time until which usage is included. It reads no content."""
    now = datetime.now(UTC)
    put(platform, "2")
    land(platform, now)
    put(platform, "7")
    looked_at = now + MARGIN + timedelta(minutes=1)
    changes = find_changes(platform.database, platform.stored_landing, looked_at, TERMS.grace)
    record_look(platform.database, platform.stored_landing, changes)
    assert land(platform, looked_at + timedelta(minutes=4))
    assert landed_quantity(platform) == 7


def test_objects_of_a_day_that_lands_rarely_are_always_compared(platform: StoredPlatform, later: datetime) -> None:
    put(platform, "2")
    land(platform, later)
    two_days_later = datetime.combine(DAY + timedelta(days=2), datetime.min.time(), UTC)
    assert land(platform, two_days_later - timedelta(minutes=1)) == []
    assert land(platform, two_days_later)


def test_a_settled_object_can_be_read_again_from_scratch(platform: StoredPlatform, later: datetime) -> None:
    put(platform, "2")
    land(platform, later)
    platform.bucket.server.requests()
    land_days(
        platform.database, platform.usage_table, platform.stored_landing, [DAY], FIRST_MONTH, later, from_scratch=True
    )
    assert any(request.method == "GET" and f"/{KEY}" in request.key for request in platform.bucket.server.requests())
