"""A usage source that stops is found from the landed files, and alerted once."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

from dagster import build_sensor_context

from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.sensors.alert_on_silent_source import alert_on_silent_source
from fly_billing.usage.sources import list_silent_sources
from tests.support.builders import Platform, event, write_jsonl


def deliver(platform: Platform, day: date, *sources: str) -> None:
    """Land a day on which these sources delivered a file, after it ended."""
    for source in sources:
        number = f"{day:%d}"
        write_jsonl(platform.landing_dir, [event(f"{source} {number}", source=source)], day, f"{source}-{number}")
    platform.land(day, now=datetime(day.year, day.month, day.day, 1, tzinfo=UTC) + timedelta(days=1))


def tick(platform: Platform, cursor: str | None) -> tuple[str | None, str]:
    """Return the new cursor and what the sensor did."""
    url = platform.database.engine.url.render_as_string(hide_password=False)
    resources = {
        "billing_postgres": BillingPostgres(url=url),
        "alerts": Alerts(alert_webhook_url="https://chat.example/1"),
    }
    with build_sensor_context(cursor=cursor, resources=resources) as context:
        done = alert_on_silent_source.evaluate_tick(context)
    return done.cursor, str(done.skip_message)


def subjects(platform: Platform) -> list[str]:
    return [row["subject"] for row in platform.query("select subject from alerts order by id")]


def test_a_source_that_misses_two_days_is_alerted_once_until_it_delivers_again(platform: Platform) -> None:
    for number in (15, 16, 17):
        deliver(platform, date(2026, 9, number), "proxy", "edge")
    deliver(platform, date(2026, 9, 18), "proxy")
    assert list_silent_sources(platform.database) == []
    cursor, _ = tick(platform, None)

    deliver(platform, date(2026, 9, 19), "proxy")
    (silent,) = list_silent_sources(platform.database)
    assert (silent.source, silent.last_day, silent.cadence) == ("edge-#.jsonl", date(2026, 9, 17), 1)
    cursor, done = tick(platform, cursor)
    assert (json.loads(cursor or ""), done) == (["edge-#.jsonl"], "1 alert queued")
    (alert,) = platform.query("select subject, body from alerts")
    assert alert["subject"] == "1 usage source stopped: no files in two of the usual intervals"
    assert alert["body"].splitlines()[0] == (
        "- edge-#.jsonl: no file since landing day 2026-09-17; it usually delivers every day"
    )
    assert tick(platform, cursor)[1] == "nothing new"
    tick(platform, None)  # a lost cursor repeats nothing
    assert len(subjects(platform)) == 1

    deliver(platform, date(2026, 9, 20), "proxy", "edge")
    cursor, _ = tick(platform, cursor)
    assert json.loads(cursor or "") == []
    for number in range(21, 28):  # its cadence is three days now, because of its outage
        deliver(platform, date(2026, 9, number), "proxy")
    tick(platform, cursor)
    assert len(subjects(platform)) == 2


def test_a_day_that_has_not_landed_or_is_not_over_says_nothing_about_a_source(platform: Platform) -> None:
    for number in (15, 16, 17):
        deliver(platform, date(2026, 9, number), "proxy")
    platform.land(date(2026, 9, 19), now=datetime(2026, 9, 19, 12, tzinfo=UTC))  # at noon of the day itself
    assert list_silent_sources(platform.database) == []
    platform.land(date(2026, 9, 19), now=datetime(2026, 9, 20, tzinfo=UTC))
    assert [silent.source for silent in list_silent_sources(platform.database)] == ["proxy-#.jsonl"]


def test_no_source_is_silent_before_the_first_landing(platform: Platform) -> None:
    assert list_silent_sources(platform.database) == []
