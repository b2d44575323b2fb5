"""A developer who is billed sets thresholds and a cap with a token, for their own organization only.

The database compares tokens with its own clock, so these tests are in the present. acme used $0.50 in October so far.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from fly_billing.api.rules.access import READING, SCOPES
from fly_billing.api.token_store import revoke
from fly_billing.customer_alerts import changes_with_tokens
from fly_billing.customer_alerts.changes_with_tokens import MOST_CHANGES_A_DAY
from fly_billing.customer_alerts.channels import WEBHOOK
from fly_billing.customer_alerts.customer_mail import NAME as MAIL
from fly_billing.customer_alerts.evaluation import AlertChannels, AlertTerms, queue_spend_alerts
from fly_billing.customer_alerts.spend_caps import acknowledge, queue_cap_calls, remove_cap, set_cap
from fly_billing.customer_alerts.thresholds import NoSuchThreshold, add_threshold, remove_threshold, thresholds
from fly_billing.embedded_postgres import PostgresServer
from fly_billing.embedded_postgres.roles import PIPELINE, READER
from fly_billing.postgres.database import BillingDatabase
from tests.integration.api.conftest import NOW, Clock
from tests.support.api import ApiClient, Got, bearer, customer_token, operator_token
from tests.support.builders import Platform
from tests.support.named_channels import NamedChannel

DAY = timedelta(days=1)
OPERATORS = NamedChannel("operators")
CHANNELS = AlertChannels([OPERATORS], NamedChannel(MAIL), NamedChannel(WEBHOOK))
USD_250 = {"kind": "amount", "amount": {"amount": "250", "currency": "USD"}}


@pytest.fixture(autouse=True)
def now(clock: Clock) -> datetime:
    clock.time = datetime.now(UTC)
    return clock.time


@pytest.fixture
def token(billed: Platform, now: datetime) -> str:
    """A token of acme that may set alerts and nothing else."""
    return customer_token(billed.database, "acme", now - DAY, ["alerts:write"]).secret


def send(api: ApiClient, method: str, path: str, token: str | None, body: object = None) -> Got:
    """Send a request about an organization: `acme/alerts`."""
    if method == "POST":
        return api.post(f"/v1/organizations/{path}", token, body)
    return api.send(
        method, f"/v1/organizations/{path}", {"Content-Type": "application/json", **bearer(token)}, content(body)
    )


def content(body: object) -> bytes | None:
    return None if body is None else json.dumps(body).encode()


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


def limits(platform: Platform, organization: str = "acme") -> list[str]:
    return [each.limit.in_words() for each in thresholds(platform.database, organization)]


def changes(platform: Platform) -> list[tuple[str, str]]:
    """The record of changes: who, and what."""
    found = platform.query("select changed_by, action from spend_threshold_changes order by id")
    return [(row["changed_by"], row["action"]) for row in found]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (USD_250, "$250.00"),
        ({"kind": "percent", "percent": 150}, "150% of last month"),
        ({"kind": "app", "name": "web", "amount": usd("50.5")}, "app web: $50.50"),
        ({"kind": "product", "name": "Machines", "amount": usd("50")}, "product Machines: $50.00"),
        ({"kind": "forecast", "amount": usd("400")}, "$400.00 (estimate)"),
    ],
)
def test_each_kind_of_threshold_is_set_once_and_removed_for_good(
    api: ApiClient, billed: Platform, token: str, wanted: dict[str, Any], words: str
) -> None:
    first, second = (send(api, "POST", "acme/alerts", token, wanted) for _ in range(2))
    assert (first.status, second.status) == (201, 200)
    alert = first.data["alert"]
    assert second.data["alert"] == alert
    assert (alert["kind"], alert["name"], alert["percent"]) == (
        wanted["kind"], wanted.get("name"), wanted.get("percent"),
    )  # fmt: skip
    assert limits(billed) == [words]
    assert [send(api, "DELETE", f"acme/alerts/{alert['id']}", token).status for _ in range(2)] == [204, 204]
    assert limits(billed) == []
    assert [action for _, action in changes(billed)] == ["added", "removed"]


def test_a_cap_is_set_changed_and_removed_and_the_same_request_twice_changes_nothing(
    api: ApiClient, billed: Platform, token: str
) -> None:
    for amount, words in (("500", "$500.00 (cap)"), ("500.00", "$500.00 (cap)"), ("200", "$200.00 (cap)")):
        got = send(api, "PUT", "acme/cap", token, {"amount": usd(amount)})
        assert (got.status, got.data["alert"]["kind"]) == (200, "cap")
        assert limits(billed) == [words]
    assert [send(api, "DELETE", "acme/cap", token).status for _ in range(2)] == [204, 204]
    assert limits(billed) == []
    assert [action for _, action in changes(billed)] == ["added", "removed", "added", "removed"]


def test_caps_that_are_set_at_the_same_time_are_each_answered_and_one_of_them_is_left(
    api: ApiClient, billed: Platform, token: str
) -> None:
    wanted = [usd(f"{number}.00") for number in range(1, 25)]
    with ThreadPoolExecutor(8) as senders:
        got = [*senders.map(lambda amount: send(api, "PUT", "acme/cap", token, {"amount": amount}), wanted)]
    assert [each.status for each in got] == [200] * 24
    assert [each.data["alert"]["amount"] for each in got] == wanted
    assert len(limits(billed)) == 1
    recorded = [action for _, action in changes(billed)]
    assert (recorded.count("added"), recorded.count("removed")) == (24, 23)


def test_the_same_alert_that_is_sent_many_times_at_once_is_set_once(
    api: ApiClient, billed: Platform, token: str
) -> None:
    with ThreadPoolExecutor(8) as senders:
        got = [*senders.map(lambda _: send(api, "POST", "acme/alerts", token, USD_250), range(24))]
    assert sorted(each.status for each in got) == [200] * 23 + [201]
    assert limits(billed) == ["$250.00"]
    assert [action for _, action in changes(billed)] == ["added"]


def test_what_a_token_sets_a_command_finds_and_the_other_way_round(
    api: ApiClient, billed: Platform, token: str, now: datetime
) -> None:
    assert send(api, "POST", "acme/alerts", token, USD_250).status == 201
    assert not add_threshold(billed.database, "acme", "250.00", who="ann")
    assert add_threshold(billed.database, "acme", "300", who="ann")
    set_cap(billed.database, "acme", "500", who="ann")
    assert send(api, "POST", "acme/alerts", token, {"kind": "amount", "amount": usd("300")}).status == 200
    assert send(api, "DELETE", "acme/cap", token).status == 204
    with pytest.raises(NoSuchThreshold, match="has no cap"):
        remove_cap(billed.database, "acme")
    remove_threshold(billed.database, "acme", "250", who="bob")
    (issued,) = billed.query("select id from api_tokens")
    name = f"token {issued['id']} (site of acme)"
    assert changes(billed) == [
        (name, "added"), ("ann", "added"), ("ann", "added"), (name, "removed"), ("bob", "removed")
    ]  # fmt: skip
    assert [each.added_by for each in thresholds(billed.database)] == ["ann"]


def test_a_threshold_that_a_customer_sets_alerts_once_in_its_month(
    api: ApiClient, billed: Platform, token: str
) -> None:
    billed.execute("insert into billing_details (organization_id, email) values ('acme', 'owner@acme.example')")
    wanted = {"kind": "amount", "amount": usd("0.50")}

    def mails() -> int:
        queue_spend_alerts(
            billed.database, CHANNELS, AlertTerms(timedelta(hours=72), {"": Decimal(0)}), NOW, lambda text: None
        )
        return len(billed.query("select id from alerts where channel = :channel", channel=MAIL))

    assert mails() == 0
    alert = send(api, "POST", "acme/alerts", token, wanted).data["alert"]
    assert (alert["amount"], alert["last_reached_in"]) == (usd("0.50"), None)
    assert [mails(), mails()] == [1, 1]
    assert send(api, "POST", "acme/alerts", token, wanted).data["alert"]["last_reached_in"] == "2026-10"
    send(api, "DELETE", f"acme/alerts/{alert['id']}", token)
    assert send(api, "POST", "acme/alerts", token, wanted).data["alert"]["id"] == alert["id"]
    assert mails() == 1


def requests(own: str, foreign: str) -> list[tuple[str, str, object]]:
    """All writes, for an organization with this threshold. `foreign`: a threshold of somebody else."""
    return [
        ("POST", "alerts", USD_250),
        ("DELETE", f"alerts/{own}", None),
        ("DELETE", f"alerts/{foreign}", None),
        ("PUT", "cap", {"amount": usd("1")}),
        ("DELETE", "cap", None),
        ("PUT", "cap-calls/1/acknowledgement", None),
    ]


def test_no_token_writes_for_another_organization_or_without_the_right_scope(
    api: ApiClient, billed: Platform, token: str, now: datetime
) -> None:
    for name in ("acme", "labs"):
        add_threshold(billed.database, name, "100")
        set_cap(billed.database, name, "0.10")
    assert len(queue_cap_calls(billed.database, [OPERATORS], NOW)[0]) == 2
    ids = {each.organization_id: str(each.id) for each in thresholds(billed.database) if each.kind == "amount"}
    reads = customer_token(billed.database, "acme", now - DAY, READING).secret
    expired = customer_token(billed.database, "acme", now - 2 * DAY, SCOPES, lasts=DAY).secret
    ended = customer_token(billed.database, "acme", now - DAY, SCOPES)
    revoke(billed.database, ended.id, "ann", now - timedelta(seconds=1))
    others = customer_token(billed.database, "labs", now - DAY, SCOPES).secret
    desks = [operator_token(billed.database, role, now - DAY).secret for role in ("finance", "support")]
    before, recorded = limits(billed) + limits(billed, "labs"), changes(billed)

    for method, path, body in requests(ids["acme"], ids["labs"]):
        for refused, status in (
            (None, 401), (expired, 401), (ended.secret, 401), (reads, 403), (desks[0], 403), (desks[1], 403),
            (others, 403 if "acknowledgement" in path else 404),
        ):  # fmt: skip
            got = send(api, method, f"acme/{path}", refused, body)
            assert (got.status, got.headers["content-type"]) == (status, "application/problem+json"), (path, refused)
    foreign = send(api, "DELETE", f"acme/alerts/{ids['labs']}", token)
    unknown = send(api, "DELETE", f"acme/alerts/{uuid4()}", token)
    assert (foreign.status, foreign.data) == (404, unknown.data)
    assert (
        send(api, "POST", "labs/alerts", token, USD_250).data == send(api, "POST", "nobody/alerts", token, USD_250).data
    )
    assert send(api, "PUT", "acme/cap-calls/1/acknowledgement", token).status == 403  # its machines would run on
    assert limits(billed) + limits(billed, "labs") == before
    assert changes(billed) == recorded
    assert billed.query("select id from alerts where taken_at is not null") == []


def test_a_wrong_amount_currency_or_name_is_told_and_nothing_is_set(
    api: ApiClient, billed: Platform, token: str
) -> None:
    said = {}
    for wrong in (
        {"kind": "amount", "amount": usd("0")}, {"kind": "amount", "amount": usd("1.005")},
        {"kind": "amount", "amount": usd("-1")}, {"kind": "amount", "amount": usd("150%")},
        {"kind": "amount", "amount": usd("9" * 30)}, {"kind": "amount", "amount": {"amount": "1", "currency": "EUR"}},
        {"kind": "amount"}, {"kind": "percent", "percent": 0}, {"kind": "percent", "amount": usd("1")},
        {"kind": "amount", "amount": usd("1"), "percent": 5}, {"kind": "app", "amount": usd("1")},
        {"kind": "app", "amount": usd("1"), "name": " "}, {"kind": "app", "amount": usd("1"), "name": "a\0b"},
        {"kind": "amount", "amount": usd("1"), "name": "web"}, {"kind": "cap", "amount": usd("1")}, {},
        {"kind": "app", "amount": usd("1"), "name": "web", "percent": 5},
        {"kind": "percent", "percent": True}, {"kind": "percent", "percent": "7"},
    ):  # fmt: skip
        got = send(api, "POST", "acme/alerts", token, wrong)
        assert (got.status, got.headers["content-type"]) == (422, "application/problem+json"), wrong
        said[str(wrong)] = got.data["detail"]
    assert "this organization is billed in USD: send an amount in it" in said.values()
    assert "'1.005' has more than the 2 decimals that USD has" in said.values()
    assert send(api, "PUT", "acme/cap", token, {"amount": usd("0")}).status == 422
    assert send(api, "DELETE", "acme/alerts/none", token).status == 422
    assert limits(billed) == []


def test_an_issuers_token_sets_alerts_of_every_organization_and_acknowledges_the_newest_call_only(
    api: ApiClient, billed: Platform, now: datetime
) -> None:
    issuer = operator_token(billed.database, "issuer", now - DAY).secret
    assert send(api, "PUT", "acme/cap", issuer, {"amount": usd("0.50")}).status == 200
    assert send(api, "PUT", "nobody/cap", issuer, {"amount": usd("0.50")}).status == 404
    assert send(api, "PUT", "acme/cap-calls/1/acknowledgement", issuer).status == 404
    queue_cap_calls(billed.database, [OPERATORS], NOW)
    assert send(api, "PUT", "acme/cap", issuer, {"amount": usd("9")}).status == 200
    queue_cap_calls(billed.database, [OPERATORS], NOW)  # call 2: lifted
    statuses = [send(api, "PUT", f"acme/cap-calls/{n}/acknowledgement", issuer).status for n in (1, 3, 2, 2)]
    assert statuses == [404, 404, 204, 204]
    with pytest.raises(NoSuchThreshold, match="no call about the cap of acme waits"):
        acknowledge(billed.database, "acme")
    reader = customer_token(billed.database, "acme", now - DAY, ["alerts"]).secret
    call = api.of("acme", "alerts", reader).data["cap_call"]
    assert (call["number"], call["state"], call["acknowledged_at"] is None) == (2, "lifted", False)
    assert send(api, "PUT", "acme/cap", issuer, {"amount": usd("0.50")}).status == 200
    queue_cap_calls(billed.database, [OPERATORS], NOW)  # call 3 does not undo the acknowledgement of call 2
    assert [send(api, "PUT", f"acme/cap-calls/{n}/acknowledgement", issuer).status for n in (1, 2)] == [404, 204]


def test_only_an_issuers_token_says_which_address_gets_the_alerts(
    api: ApiClient, billed: Platform, token: str, now: datetime
) -> None:
    """Our server sends mail to this address, so a customer can't name it without the platform."""
    issuer = operator_token(billed.database, "issuer", now - DAY)
    finance = operator_token(billed.database, "finance", now - DAY).secret
    wanted = {"email": "dev@acme.example"}
    refused = [send(api, "PUT", "acme/alert-address", each, wanted).status for each in (None, token, finance)]
    assert refused == [401, 403, 403]
    assert [send(api, "DELETE", "acme/alert-address", each).status for each in (None, token, finance)] == refused
    assert [send(api, "PUT", "acme/alert-address", issuer.secret, wanted).status for _ in range(2)] == [204, 204]
    assert billed.query("select organization_id, email, set_by from alert_addresses") == [
        {"organization_id": "acme", "email": "dev@acme.example", "set_by": f"token {issuer.id} (issuer desk)"}
    ]
    for wrong in (
        "acme", "a@x..com", "a@b\r\nBcc: c@d", "a\0@example.com", "Dev <dev@acme.example>", "a@b, c@d",
        '"a@b"@c.example',
    ):  # fmt: skip
        got = send(api, "PUT", "acme/alert-address", issuer.secret, {"email": wrong})
        assert (got.status, got.headers["content-type"]) == (422, "application/problem+json"), wrong
    assert send(api, "PUT", "nobody/alert-address", issuer.secret, wanted).status == 404
    assert [send(api, "DELETE", "acme/alert-address", issuer.secret).status for _ in range(2)] == [204, 204]
    assert billed.query("select * from alert_addresses") == []


def test_an_organization_has_at_most_100_alerts_and_still_its_cap(api: ApiClient, billed: Platform, token: str) -> None:
    for number in range(100):
        add_threshold(billed.database, "acme", str(1000 + number))
    got = send(api, "POST", "acme/alerts", token, USD_250)
    assert (got.status, got.data["detail"]) == (422, "an organization has at most 100 spend alerts: remove some first")
    with pytest.raises(NoSuchThreshold, match="at most 100 spend alerts"):
        add_threshold(billed.database, "acme", "250")
    assert send(api, "PUT", "acme/cap", token, {"amount": usd("500")}).status == 200
    assert add_threshold(billed.database, "labs", "250")


def test_a_program_that_sets_and_removes_alerts_without_end_waits(api: ApiClient, billed: Platform, token: str) -> None:
    for number in range(MOST_CHANGES_A_DAY // 2):
        add_threshold(billed.database, "acme", str(1000 + number))
        remove_threshold(billed.database, "acme", str(1000 + number))
    got = send(api, "POST", "acme/alerts", token, USD_250)
    assert (got.status, got.headers["retry-after"]) == (429, "3600")
    assert got.data["detail"] == "these alerts were changed 200 times within 24 hours"
    assert limits(billed) == []


def test_the_database_refuses_a_token_that_may_not_write_also_if_the_api_asks(
    postgres: PostgresServer, billed: Platform, now: datetime
) -> None:
    reads = customer_token(billed.database, "acme", now - DAY, READING)
    expired = customer_token(billed.database, "acme", now - 2 * DAY, SCOPES, lasts=DAY)
    others = customer_token(billed.database, "labs", now - DAY, SCOPES)
    finance = operator_token(billed.database, "finance", now - DAY)
    own = customer_token(billed.database, "acme", now - DAY, SCOPES)
    name = str(billed.database.engine.url.database)
    limit = changes_with_tokens.WantedLimit("250", "USD")
    reader, pipeline = (BillingDatabase(postgres.url(name, role=role)) for role in (READER, PIPELINE))
    for database, token, message in (
        *((reader, each, "may not do that") for each in (reads, expired, others, finance)),
        (pipeline, own, "permission denied for function"),
    ):
        with pytest.raises(Exception, match=message):
            changes_with_tokens.TokenChanges(database, token.id, "acme").add(limit)
    with pytest.raises(Exception, match="may not do that"):
        changes_with_tokens.TokenChanges(reader, own.id, "acme").acknowledge(1)
    with pytest.raises(Exception, match="permission denied for table"):
        add_threshold(reader, "acme", "250")
    assert limits(billed) == []
    assert changes_with_tokens.TokenChanges(reader, own.id, "acme").add(limit).is_new
    for database in (reader, pipeline):
        database.engine.dispose()
