"""Customers' alerts reach the platform's webhook under one id each, whatever the receiver does, and none is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from fly_billing.alerting.outbox import PostingReport
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.alerting.signed_webhook import SignedWebhook
from fly_billing.customer_alerts.channels import WEBHOOK, cap_hook, customer_webhook
from fly_billing.customer_alerts.evaluation import AlertChannels, AlertTerms, queue_spend_alerts
from fly_billing.customer_alerts.messages import customer_messages, replay, send_customer_messages
from fly_billing.customer_alerts.thresholds import add_threshold
from fly_billing.settings import Settings, SettingsError
from tests.support.builders import NOW, Platform, at
from tests.support.named_channels import NamedChannel
from tests.support.platform_endpoint import SECRET, PlatformEndpoint, platform_endpoint

OPERATORS = NamedChannel("operators")
LONG_AGO = at("2000-01-01")


@pytest.fixture
def endpoint() -> Iterator[PlatformEndpoint]:
    with platform_endpoint() as endpoint:
        yield endpoint


def channels(endpoint: PlatformEndpoint, patience: float = 5) -> AlertChannels:
    return AlertChannels([OPERATORS], None, SignedWebhook(endpoint.url, SECRET, WEBHOOK, patience))


def queue(platform: Platform, channels: AlertChannels, *organizations: str) -> None:
    """Let each organization reach its threshold of $10.00, and queue the messages."""
    for name in organizations:
        if name != "acme":
            platform.add_organization(name)
        add_threshold(platform.database, name, "10")
        platform.add_one_off(name, "setup", "12.00", at("2026-09-10"))
    platform.compute()
    assert queue_spend_alerts(
        platform.database, channels, AlertTerms(timedelta(hours=72)), NOW, lambda text: None
    ) == len(organizations)


def send(platform: Platform, channels: AlertChannels) -> PostingReport:
    """Send what waits, as if every pause were over."""
    platform.execute("update alerts set next_try_at = now() where taken_at is null and given_up_at is null")
    return send_customer_messages(platform.database, channels, None)


def refusals(platform: Platform) -> list[str | None]:
    return [each.last_refusal for each in customer_messages(platform.database)]


def test_a_message_is_signed_and_sent_once(platform: Platform, endpoint: PlatformEndpoint) -> None:
    queue(platform, channels(endpoint), "acme")
    assert send(platform, channels(endpoint)).taken == 1
    assert send(platform, channels(endpoint)).taken == 0
    ((its_id, message),) = endpoint.got
    assert its_id.startswith("msg_")
    assert message["type"] == "spend_alert.reached"
    assert message["data"]["organization_id"] == "acme"


@pytest.mark.parametrize(
    ("behavior", "reason"),
    [
        (500, "500 Internal Server Error"),
        (404, "404 Not Found"),
        ("redirect", "302 Found"),
        ("drop", "RemoteDisconnected"),
        ("slow", "TimeoutError|timed out"),
        ("drip", "RemoteDisconnected|BadStatusLine|IncompleteRead|LineTooLong"),
    ],
)
def test_a_message_that_was_not_taken_comes_again_with_the_same_id(
    platform: Platform, endpoint: PlatformEndpoint, behavior: int | str, reason: str
) -> None:
    patient = channels(endpoint, patience=0.5)
    queue(platform, patient, "acme")
    endpoint.behaviors = [behavior, behavior]
    assert [len(send(platform, patient).refused) for _ in range(3)] == [1, 1, 0]
    assert len(endpoint.got) == 3
    assert len(set(endpoint.ids())) == 1
    (message,) = customer_messages(platform.database)
    assert message.refusals == 2
    assert message.taken_at is not None
    assert message.last_refusal is not None
    assert any(word in message.last_refusal for word in reason.split("|"))


def test_an_answer_without_end_is_taken_after_its_first_part(platform: Platform, endpoint: PlatformEndpoint) -> None:
    queue(platform, channels(endpoint), "acme")
    endpoint.behaviors = ["endless"]
    assert send(platform, channels(endpoint)).taken == 1


def test_a_receiver_that_is_down_gets_every_message_when_it_is_back(platform: Platform) -> None:
    with platform_endpoint() as gone:
        pass  # nobody listens on its port now
    queue(platform, channels(gone), "acme", "globex", "labs")
    for _ in range(3):
        assert len(send(platform, channels(gone)).refused) == 3
    with platform_endpoint() as endpoint:
        assert send(platform, channels(endpoint)).taken == 3
        assert sorted(message["data"]["organization_id"] for message in endpoint.once()) == ["acme", "globex", "labs"]


@dataclass(frozen=True)
class DyingWebhook(SignedWebhook):
    """The webhook of a process that dies after the receiver took a message and before that is recorded."""

    def post(self, alert: Alert) -> None:
        super().post(alert)
        raise KeyboardInterrupt


def test_a_message_that_was_taken_by_a_process_that_died_comes_again_under_its_id(
    platform: Platform, endpoint: PlatformEndpoint
) -> None:
    queue(platform, channels(endpoint), "acme")
    with pytest.raises(KeyboardInterrupt):
        send(platform, AlertChannels([], None, DyingWebhook(endpoint.url, SECRET, WEBHOOK)))
    assert send(platform, channels(endpoint)).taken == 1
    assert len(endpoint.got) == 2
    assert len(endpoint.once()) == 1


def test_a_message_that_is_refused_for_four_days_is_given_up_and_operators_are_told_once(
    platform: Platform, endpoint: PlatformEndpoint
) -> None:
    queue(platform, channels(endpoint), "acme", "globex")
    platform.execute("alter table alerts disable trigger refuse_other_change")
    platform.execute("update alerts set made_at = now() - interval '95 hours'")
    endpoint.behaviors = [500] * 4
    send(platform, channels(endpoint))
    assert [each.state for each in customer_messages(platform.database)] == ["waits", "waits"]
    platform.execute("update alerts set made_at = now() - interval '97 hours'")
    send(platform, channels(endpoint))
    given_up = customer_messages(platform.database, only_given_up=True)
    assert [each.organization_id for each in given_up] == ["globex", "acme"]
    (told,) = platform.query("select subject, body from alerts where channel = 'operators'")
    assert told["subject"] == "A message to a customer was given up (customer webhook)"
    assert "500 Internal Server Error" in told["body"]
    assert send(platform, channels(endpoint)).taken == 0

    assert replay(platform.database, LONG_AGO) == 2
    assert replay(platform.database, LONG_AGO) == 0  # they wait already
    assert send(platform, channels(endpoint)).taken == 2
    assert len(endpoint.once()) == 2
    assert len(endpoint.got) == 6


def test_messages_that_were_taken_are_replayed_with_the_same_id(platform: Platform, endpoint: PlatformEndpoint) -> None:
    queue(platform, channels(endpoint), "acme", "globex")
    send(platform, channels(endpoint))
    assert replay(platform.database, LONG_AGO) == 0
    assert replay(platform.database, LONG_AGO, "acme", also_sent=True) == 1
    assert replay(platform.database, at("2199-01-01"), also_sent=True) == 0
    send(platform, channels(endpoint))
    assert [message["data"]["organization_id"] for _, message in endpoint.got] == ["acme", "globex", "acme"]
    assert endpoint.ids()[0] == endpoint.ids()[2]


@pytest.mark.parametrize("setting", ["FLY_BILLING_CUSTOMER_WEBHOOK", "FLY_BILLING_CAP_HOOK"])
@pytest.mark.parametrize(
    ("url", "secret", "problem"),
    [
        ("https://platform.example.com", "", "must be set together"),
        ("", SECRET, "must be set together"),
        ("http://platform.example.com", SECRET, "_URL must be an address such as https"),
        ("https://platform.example.com", "secret", "_SECRET must be whsec_"),
    ],
)
def test_an_incomplete_or_unsafe_endpoint_is_refused(setting: str, url: str, secret: str, problem: str) -> None:
    settings = Settings.from_environment({f"{setting}_URL": url, f"{setting}_SECRET": secret})
    with pytest.raises(SettingsError, match=problem) as refused:
        customer_webhook(settings)
        cap_hook(settings)
    assert setting in str(refused.value)
