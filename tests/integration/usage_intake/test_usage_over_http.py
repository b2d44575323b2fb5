"""Usage posted over HTTP is on disk before it is acknowledged, and each event has its own outcome."""

from __future__ import annotations

import gzip
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from fly_billing.usage_intake.app import MOST_OF_A_SOURCE
from fly_billing.usage_intake.intake import UsageIntake
from fly_billing.usage_intake.request_text import MOST_BYTES
from fly_billing.usage_intake.rules.posted_text import MOST_EVENTS
from tests.support.builders import DAY, Platform
from tests.support.usage_sender import (
    BATCH,
    ONE,
    TOKENS,
    UsageSender,
    cloud_event,
    serving_usage,
    stored_ids,
    stored_lines,
)

NOW = datetime(2026, 9, 15, 12, tzinfo=UTC)


class Disk:
    """Syncs files, unless it is full."""

    def __init__(self) -> None:
        self.is_full = False

    def sync(self, descriptor: int) -> None:
        if self.is_full:
            raise OSError(28, "No space left on device")
        os.fsync(descriptor)


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def port(landing_dir: Path, disk: Disk) -> Iterator[int]:
    intake = UsageIntake(landing_dir, now=lambda: NOW, sync=disk.sync)
    intake.start()
    with serving_usage(intake) as port:
        yield port


@pytest.fixture
def sender(port: int) -> Iterator[UsageSender]:
    sender = UsageSender(port)
    yield sender
    sender.close()


def test_posted_usage_is_on_disk_when_it_is_acknowledged_and_lands_like_any_file(
    platform: Platform, landing_dir: Path
) -> None:
    intake = UsageIntake(landing_dir, now=lambda: NOW)
    intake.start()
    with serving_usage(intake) as port:
        sender = UsageSender(port)
        assert sender.batch([cloud_event("a", "2.50"), cloud_event("b", 7)]) == (202, ["accepted"] * 2)
        assert stored_ids(landing_dir) == ["a", "b"]
        assert stored_ids(landing_dir, hidden=False) == []
        sender.close()
    (file,) = platform.land(DAY)
    assert (file.accepted, file.duplicate, file.rejected) == (2, 0, 0)
    assert file.path.startswith("proxy.http-20260915T120000-")
    platform.roll_up()
    assert [row["quantity"] for row in platform.query("select quantity from usage_rollups")] == [Decimal("9.5")]


def test_each_event_of_a_batch_has_its_outcome_in_order(sender: UsageSender, landing_dir: Path) -> None:
    batch = [
        cloud_event("a"),
        cloud_event("a"),
        cloud_event("a", 2),
        cloud_event("b", time="yesterday"),
        cloud_event("c", source="machines"),
        cloud_event("d", -1),
        cloud_event("e", specversion="0.3"),
        {"id": "f"},
        5,
        cloud_event("g", specversion=None),
    ]
    status, answer = sender.post(json.dumps(batch))
    assert status == 202
    assert [answer[word] for word in ("accepted", "duplicate", "rejected")] == [2, 1, 7]
    assert [(event["id"], event.get("reason", event["outcome"])) for event in answer["events"]] == [
        ("a", "accepted"),
        ("a", "duplicate"),
        ("a", "conflicting_duplicate"),
        ("b", "bad_time"),
        ("c", "not_your_source"),
        ("d", "negative_quantity"),
        ("e", "unknown_specversion"),
        ("f", "bad_shape"),
        (None, "bad_shape"),
        ("g", "accepted"),
    ]
    assert answer["events"][5]["message"] == "-1 is below zero: send a credit as a one-off item"
    assert stored_ids(landing_dir) == ["a", "g"]


def test_a_rejected_event_is_named_as_far_as_its_id_can_be_read(sender: UsageSender) -> None:
    body = '[{"id": "a\\ud800"}, {"id": "b", "id": "b"}, {"id": 7}, {"id": ["c"]}]'
    status, answer = sender.post(body)
    assert (status, [event["id"] for event in answer["events"]]) == (422, ["a?", "b", "7", None])


def test_the_event_of_the_documentation_is_accepted(port: int, landing_dir: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "usage_over_http.md").read_text(encoding="utf-8")
    body = page.split("-H 'Content-Type: application/cloudevents-batch+json' -d '")[1].split("'")[0]
    sender = UsageSender(port, TOKENS["machines"])
    assert sender.batch([event | {"time": "2026-09-15T10:00:00Z"} for event in json.loads(body)]) == (202, ["accepted"])
    sender.close()
    assert stored_ids(landing_dir) == ["m-1"]


def test_the_same_batch_again_stores_nothing_more(sender: UsageSender, landing_dir: Path) -> None:
    batch = [cloud_event("a"), cloud_event("b")]
    assert sender.batch(batch) == (202, ["accepted", "accepted"])
    assert sender.batch(batch) == (202, ["duplicate", "duplicate"])
    assert sender.batch([]) == (202, [])
    assert stored_ids(landing_dir) == ["a", "b"]


def test_a_request_without_any_usable_event_is_an_error_for_senders_that_read_only_the_status(
    sender: UsageSender, landing_dir: Path
) -> None:
    assert sender.batch([cloud_event("a", time="never")]) == (422, ["bad_time"])
    assert sender.headers["content-type"] == "application/problem+json"
    assert sender.batch([cloud_event("a", source="machines")]) == (403, ["not_your_source"])
    assert sender.batch([cloud_event("a", source="machines"), {}]) == (422, ["not_your_source", "bad_shape"])
    assert stored_ids(landing_dir) == []


@pytest.mark.parametrize("token", [None, "fbu_of-nobody", "", TOKENS["proxy"].upper()])
def test_usage_without_a_known_token_is_refused_before_it_is_read(
    port: int, landing_dir: Path, token: str | None
) -> None:
    sender = UsageSender(port, token)
    status, answer = sender.post("no JSON")
    assert (status, answer["detail"]) == (401, "send the source's token: Authorization: Bearer fbu_...")
    assert sender.headers["www-authenticate"] == "Bearer"
    sender.close()
    assert stored_ids(landing_dir) == []


def test_a_token_posts_the_usage_of_its_own_source(port: int, landing_dir: Path) -> None:
    sender = UsageSender(port, TOKENS["machines"])
    assert sender.batch([cloud_event("a", source="machines"), cloud_event("b")]) == (
        202,
        ["accepted", "not_your_source"],
    )
    sender.close()
    assert stored_ids(landing_dir) == ["a"]


def test_one_event_a_batch_and_an_event_of_headers_are_accepted_plain_and_as_gzip(
    sender: UsageSender, landing_dir: Path
) -> None:
    assert sender.post(json.dumps(cloud_event("a"), indent=2), ONE)[0] == 202
    assert sender.post(json.dumps(cloud_event("b")), "application/json; charset=utf-8")[0] == 202
    assert sender.post(json.dumps([cloud_event("c")]), "application/json")[0] == 202
    packed = gzip.compress(json.dumps([cloud_event("d")]).encode())
    assert sender.post(packed, BATCH, Content_Encoding="gzip")[0] == 202
    attributes = {"ce_specversion": "1.0", "ce_id": "e%21", "ce_source": "proxy", "ce_type": "requests"}
    attributes |= {"ce_subject": "acme", "ce_time": "2026-09-15T12:00:00Z"}
    assert sender.post('{\n"quantity": 1.50}', "application/json", **attributes)[0] == 202
    assert stored_ids(landing_dir) == ["a", "b", "c", "d", "e!"]
    assert stored_lines(landing_dir)[-1] == cloud_event("e!", 1.5)
    assert '"quantity": 1.50}' in next(landing_dir.glob(".*")).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("status", "body", "headers", "detail"),
    [
        (400, "{", {}, "not JSON: Expecting property name"),
        (400, "5", {}, "neither a JSON object (one event) nor an array of events"),
        (400, b'[{"id": "\xff"}]', {}, "the body is not UTF-8"),
        (400, "{}", {"Content_Encoding": "gzip"}, "the body is not gzip"),
        (413, " " * (MOST_BYTES + 1), {}, "the body has more than 2097152 bytes"),
        (413, f"[{'1,' * MOST_EVENTS}1]", {}, "more than 10000 events"),
        (413, gzip.compress(b" " * 2**24, mtime=0), {"Content_Encoding": "gzip"}, "the body decompresses to more than"),
        (415, "{}", {"Content_Encoding": "br"}, "the Content-Encoding must be gzip, or none"),
        (415, "{}", {"Content_Type": "text/csv"}, "the Content-Type must be one of application/cloudevents-batch"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_request_that_can_not_be_read_is_one_clear_problem(
    sender: UsageSender, landing_dir: Path, status: int, body: str | bytes, headers: dict[str, str], detail: str
) -> None:
    found, answer = sender.post(body, None if "Content_Type" in headers else BATCH, **headers)
    assert (found, answer["status"], sender.headers["content-type"]) == (status, status, "application/problem+json")
    assert answer["detail"].startswith(detail)
    assert stored_ids(landing_dir) == []


def test_other_routes_and_methods_are_problems_too(sender: UsageSender) -> None:
    assert sender.get("/v1/usage")[0] == 405
    assert sender.get("/v2/usage") == (404, {"title": "Not Found", "status": 404, "detail": "Not Found"})
    assert sender.get("/health") == (200, {"status": "ok"})


def test_while_the_disk_is_full_nothing_is_acknowledged_and_a_later_try_is_stored_once(
    sender: UsageSender, landing_dir: Path, disk: Disk
) -> None:
    assert sender.batch([cloud_event("a")]) == (202, ["accepted"])
    disk.is_full = True
    for _ in range(3):
        status, answer = sender.post(json.dumps([cloud_event("a"), cloud_event("b")]))
        assert (status, answer["detail"]) == (503, "nothing was acknowledged (No space left on device): send it again")
        assert sender.headers["retry-after"] == "1"
    assert sender.get("/health")[0] == 503
    assert stored_ids(landing_dir) == ["a"]
    disk.is_full = False
    assert sender.batch([cloud_event("a"), cloud_event("b")]) == (202, ["duplicate", "accepted"])
    assert sorted(stored_ids(landing_dir)) == ["a", "b"]


def test_a_source_with_too_many_requests_at_once_must_wait_and_others_need_not(port: int, sender: UsageSender) -> None:
    """Sixteen requests have begun and send no body yet."""
    begun = []
    for _ in range(MOST_OF_A_SOURCE):
        connection = socket.create_connection(("127.0.0.1", port))
        head = f"POST /v1/usage HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKENS['proxy']}\r\nContent-Type: {BATCH}"
        connection.sendall(f"{head}\r\nContent-Length: 2\r\n\r\n".encode())
        begun.append(connection)
    deadline = time.monotonic() + 15
    while (status := sender.batch([])[0]) != 429 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (status, sender.headers["retry-after"]) == (429, "1")
    other = UsageSender(port, TOKENS["machines"])
    assert other.batch([cloud_event("a", source="machines")]) == (202, ["accepted"])
    other.close()
    for connection in begun:
        connection.sendall(b"[]")
        assert connection.recv(100).startswith(b"HTTP/1.1 202")
        connection.close()
    assert sender.batch([]) == (202, [])


def test_rejected_events_are_counted_by_source_and_reason_for_alerts(sender: UsageSender) -> None:
    sender.batch([cloud_event("a"), cloud_event("b"), cloud_event("a"), cloud_event("c", time="soon")])
    sender.post("{}", ONE, Authorization="Bearer fbu_wrong")
    assert sender.metrics() == {
        'fly_billing_usage_requests_total{source="proxy",status="202"} 1.0',
        'fly_billing_usage_requests_total{source="unknown",status="401"} 1.0',
        'fly_billing_usage_events_total{outcome="accepted",reason="",source="proxy"} 2.0',
        'fly_billing_usage_events_total{outcome="duplicate",reason="",source="proxy"} 1.0',
        'fly_billing_usage_events_total{outcome="rejected",reason="bad_time",source="proxy"} 1.0',
    }


def test_the_log_has_a_line_per_request_and_no_token(sender: UsageSender, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="fly_billing.usage_intake.app")
    sender.batch([cloud_event("a"), cloud_event("a"), cloud_event("b", time="\x1b[31m")])
    sender.post("{}", ONE, Authorization="Bearer fbu_wrong")
    lines = [record.getMessage() for record in caplog.records if record.name == "fly_billing.usage_intake.app"]
    assert [line.split(" ms=")[0] for line in lines] == [
        "proxy 202 accepted=1 duplicate=1 rejected=1",
        "unknown 401 accepted=0 duplicate=0 rejected=0",
    ]
    assert lines[0].endswith(" bad_time=1")
    assert "fbu_" not in caplog.text
