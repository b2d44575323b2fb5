"""Two organizations with a final September and an open October each, and the API over them, on 5 October 2026."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

import pytest

from fly_billing.embedded_postgres import PostgresServer
from tests.support.api import ApiClient, serving_api
from tests.support.builders import OCTOBER, Platform, at, event, write_jsonl

NOW = at("2026-10-05T12:00:00")


class Clock:
    """The API's clock, which a test sets."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def billed(platform: Platform) -> Platform:
    """acme used 3 requests and 100.5 GB in September, and 5 requests in October; labs used 7 and 9 requests.

    A request is $0.10; traffic is free up to 100 GB, then $0.02: acme owes $0.30 + $0.01, and labs $0.70.
    """
    platform.add_organization("labs")
    platform.execute("update organizations set name = initcap(id) || ' Confidential'")
    usage = [
        event("e1", "2", region="ams"), event("e2", "1", time="2026-09-16T12:00:00Z"),
        event("e3", "100.5", type="egress_gb", region="ams"), event("l1", "7", subject="labs"),
    ]  # fmt: skip
    write_jsonl(platform.landing_dir, usage)
    platform.close()
    day = date(2026, 10, 2)
    later = [
        event("e4", "5", time="2026-10-02T09:00:00Z"),
        event("l2", "9", time="2026-10-02T09:00:00Z", subject="labs"),
    ]
    write_jsonl(platform.landing_dir, later, day)
    platform.land(day, now=at("2026-10-03"))
    platform.roll_up(OCTOBER, at("2026-10-05"))
    assert platform.bill(OCTOBER, at("2026-10-05")).failures == []
    return platform


@pytest.fixture
def api(postgres: PostgresServer, billed: Platform, clock: Clock) -> Iterator[ApiClient]:
    with serving_api(postgres, billed.database, clock) as client:
        yield client
