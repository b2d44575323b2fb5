"""The sensor sends calls of the cap hook, webhooks and e-mails; one receiver that refuses does not stop the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from dagster import DagsterInstance, SkipReason, build_sensor_context

from fly_billing.alerting.channel import AlertNotSent
from fly_billing.customer_alerts.spend_caps import set_cap
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.resources.customer_alerts import CustomerAlerts
from fly_billing.sensors.alert_on_spend import alert_on_spend
from fly_billing.sensors.send_customer_alerts import send_customer_alerts
from fly_billing.settings import SettingsError
from tests.support.alert_servers import MailServer, serving
from tests.support.api import LINK_SECRET
from tests.support.builders import NOW, Platform, at
from tests.support.platform_endpoint import SECRET, PlatformEndpoint, platform_endpoint


@pytest.fixture
def hook() -> Iterator[PlatformEndpoint]:
    with platform_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def webhook() -> Iterator[PlatformEndpoint]:
    with platform_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def mailbox() -> Iterator[MailServer]:
    server = MailServer()
    with serving(server.server):
        yield server


@pytest.fixture
def resources(
    platform: Platform, hook: PlatformEndpoint, webhook: PlatformEndpoint, mailbox: MailServer
) -> dict[str, Any]:
    """Acme has reached its cap of $10.00; the resources name the three receivers."""
    platform.execute("insert into billing_details (organization_id, email) values ('acme', 'owner@acme.example')")
    set_cap(platform.database, "acme", "10")
    platform.add_one_off("acme", "setup", "12.00", at("2026-09-10"))
    platform.compute()
    customers = CustomerAlerts(
        smtp_url=f"smtp://127.0.0.1:{mailbox.port}",
        fly_billing_customer_email_from="billing@platform.example",
        fly_billing_link_secret=LINK_SECRET,
        fly_billing_page_url="https://billing.example.com",
        fly_billing_customer_webhook_url=webhook.url,
        fly_billing_customer_webhook_secret=SECRET,
        fly_billing_cap_hook_url=hook.url,
        fly_billing_cap_hook_secret=SECRET,
    )
    database = BillingPostgres(url=platform.database.engine.url.render_as_string(hide_password=False))
    return {"billing_postgres": database, "alerts": Alerts(), "customer_alerts": customers}


def tick(sensor: Any, resources: dict[str, Any]) -> str | None:
    with DagsterInstance.ephemeral() as instance, build_sensor_context(instance) as context:
        outcome = sensor(context, **resources)
    assert isinstance(outcome, SkipReason)
    return outcome.skip_message


def test_the_sensor_sends_what_waits(
    resources: dict[str, Any], hook: PlatformEndpoint, webhook: PlatformEndpoint, mailbox: MailServer
) -> None:
    assert tick(alert_on_spend, {**resources, "clock": Clock(fixed_at=NOW.isoformat())}) == "2 messages queued"
    assert [tick(send_customer_alerts, resources) for _ in range(2)] == ["3 messages sent", "no message is due"]
    assert [message["type"] for _, message in hook.got] == ["spend_cap.reached"]
    assert [message["data"]["thresholds"][0]["kind"] for _, message in webhook.got] == ["cap"]
    assert [mail.recipient for mail in mailbox.taken] == ["owner@acme.example"]


@pytest.mark.parametrize(
    "broken",
    [
        {"fly_billing_page_url": None},
        {"fly_billing_customer_webhook_secret": "no secret"},
        {"smtp_url": "ftp://127.0.0.1"},
    ],
)
def test_an_incomplete_setting_of_another_channel_does_not_stop_the_cap_hook(
    resources: dict[str, Any], hook: PlatformEndpoint, broken: dict[str, str | None]
) -> None:
    given = {name: getattr(resources["customer_alerts"], name) for name in CustomerAlerts.model_fields}
    customers = CustomerAlerts(**{**given, **broken})
    for sensor, clock in ((alert_on_spend, {"clock": Clock(fixed_at=NOW.isoformat())}), (send_customer_alerts, {})):
        with pytest.raises(SettingsError):
            tick(sensor, {**resources, "customer_alerts": customers, **clock})
    assert [message["type"] for _, message in hook.got] == ["spend_cap.reached"]


def test_incomplete_channels_of_operators_do_not_stop_the_cap_hook(
    resources: dict[str, Any], hook: PlatformEndpoint
) -> None:
    broken = {**resources, "alerts": Alerts(alert_webhook_url="http://elsewhere.example/")}
    for sensor, clock in ((alert_on_spend, {"clock": Clock(fixed_at=NOW.isoformat())}), (send_customer_alerts, {})):
        with pytest.raises(SettingsError):
            tick(sensor, {**broken, **clock})
    assert [message["data"]["state"] for _, message in hook.got] == ["reached"]


def test_a_tick_fails_while_a_receiver_refuses_and_the_others_get_their_messages(
    resources: dict[str, Any], hook: PlatformEndpoint, webhook: PlatformEndpoint, mailbox: MailServer
) -> None:
    tick(alert_on_spend, {**resources, "clock": Clock(fixed_at=NOW.isoformat())})
    hook.behaviors, webhook.behaviors = [500], [500]
    with pytest.raises(AlertNotSent, match=r"cap hook refused .*500 Internal Server Error"):
        tick(send_customer_alerts, resources)
    assert len(mailbox.taken) == 1
