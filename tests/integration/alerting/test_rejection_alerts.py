"""Rejected usage is alerted once per source and reason, with organizations, rows and the money at stake."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta

from fly_billing.alerting.rules.alerts import Alert
from fly_billing.usage.rejection_alerts import MOST_ALERTS, Alerted, queue_rejection_alerts
from fly_billing.usage.rejections import waive
from tests.support.builders import DAY, NOW, Platform, event, write_csv, write_jsonl

NEXT_DAY = date(2026, 9, 16)
NAIVE = "2026-09-15T12:00:00"


class Outbox:
    """The name of a channel: nothing is posted here."""

    name = "outbox"

    def post(self, alert: Alert) -> None:
        raise AssertionError(alert)


def alerts_of(platform: Platform, alerted: Collection[Alerted] = ()) -> tuple[list[Alerted], list[str]]:
    """Return the sensor's cursor, and the subjects of the new alerts in the outbox."""
    before = {row["id"] for row in platform.query("select id from alerts")}
    unresolved, _ = queue_rejection_alerts(platform.database, [Outbox()], lambda _: None, alerted)
    found = platform.query("select id, subject from alerts order by id")
    return unresolved, [str(row["subject"]) for row in found if row["id"] not in before]


def test_each_source_and_reason_is_alerted_once_until_it_is_resolved_and_returns(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3", time=NAIVE), event("e2", "-1")], name="proxy-15")
    write_csv(platform.landing_dir, [event("e3", "4", time=NAIVE)], name="edge")
    platform.land()
    unresolved, subjects = alerts_of(platform)
    assert sorted(subjects) == [
        "Rejected usage: edge.csv, bad_time: 1 row, estimate $0.40",
        "Rejected usage: proxy-#.jsonl, bad_time: 1 row, estimate $0.30",
        "Rejected usage: proxy-#.jsonl, negative_quantity: 1 row, estimate unknown",
    ]
    assert alerts_of(platform, unresolved) == (unresolved, [])
    assert alerts_of(platform, []) == (unresolved, [])  # a lost cursor repeats nothing

    write_jsonl(platform.landing_dir, [event("e4", "5", time=NAIVE)], NEXT_DAY, "proxy-16")
    platform.land(NEXT_DAY)
    assert alerts_of(platform, unresolved) == (unresolved, [])  # the same source and reason again

    waive(platform.database, "ann", "a test", NOW, source="proxy-#.jsonl", reason="bad_time")
    unresolved, subjects = alerts_of(platform, unresolved)
    assert (unresolved, subjects) == ([("edge.csv", "bad_time"), ("proxy-#.jsonl", "negative_quantity")], [])
    write_jsonl(platform.landing_dir, [event("e5", "6", time=NAIVE)], date(2026, 9, 17), "proxy-17")
    platform.land(date(2026, 9, 17), now=NOW + timedelta(hours=1))
    _, subjects = alerts_of(platform, unresolved)
    assert subjects == ["Rejected usage: proxy-#.jsonl, bad_time: 1 row, estimate $0.60"]


def test_an_alert_names_the_organizations_and_counts_rows_that_name_none(platform: Platform) -> None:
    platform.add_organization("labs")
    usage = [event("e1", "3", subject="nobody"), event("e2", "1", subject="labs", time=None), event("e3", time=None)]
    write_jsonl(platform.landing_dir, [*usage, event("e4", subject=None)])
    platform.land()
    alerts_of(platform)
    bodies = {str(row["subject"]).split(", ")[1]: row["body"] for row in platform.query("select * from alerts")}
    missing = bodies["missing_field: 3 rows"].splitlines()
    assert missing[:4] == [
        f"Landing days: {DAY} to {DAY}. Organizations (2):",
        "- acme",
        "- labs",
        "- 1 row without a readable organization",
    ]
    assert "- nobody" in bodies["unknown_organization: 1 row"].splitlines()
    assert all("fly-billing waive" in body for body in bodies.values())


def test_many_sources_at_once_share_an_alert(platform: Platform) -> None:
    """A file name with random letters is a separate source: twelve make ten alerts and one about two more."""
    for letter in "abcdefghijkl":
        write_jsonl(platform.landing_dir, [event(letter, "1", time=NAIVE)], name=f"proxy-{letter}")
    platform.land()
    unresolved, subjects = alerts_of(platform)
    assert (len(unresolved), len(subjects)) == (12, MOST_ALERTS + 1)
    assert subjects[-1] == "Rejected usage: 2 more rows (2 pairs of source and reason)"
    assert alerts_of(platform, unresolved) == (unresolved, [])
