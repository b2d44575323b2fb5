"""Sends a test alert to every configured channel: `fly-billing alert-test`."""

from __future__ import annotations

from datetime import UTC, datetime

from fly_billing.alerting.outbox import try_to_post
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.cli.terminal import Terminal
from fly_billing.resources.alerts import Alerts
from fly_billing.settings import SettingsError


def send_test_alert(console: Terminal) -> bool:
    """Post a test alert to every channel and print each result. Returns True if all accepted it.

    Needs no database: the alert does not go through the outbox and is not retried. Raises SettingsError if no channel
    is configured.
    """
    channels = Alerts().channels()
    if not channels:
        raise SettingsError(
            "no alert channel is configured, so alerts are only logged: set ALERT_WEBHOOK_URL, SLACK_BOT_TOKEN with"
            " SLACK_CHANNEL, or ALERT_EMAIL_TO with ALERT_EMAIL_FROM and SMTP_URL"
        )
    alert = Alert.of(
        "test",
        "Test alert of fly_billing",
        [f"Sent by `fly-billing alert-test` on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.", "What to do: nothing."],
    )
    are_all_accepted = True
    for channel in channels:
        refusal = try_to_post(channel, alert)
        are_all_accepted = are_all_accepted and refusal is None
        result = f"refused: {refusal.reason}" if refusal else "accepted"
        console.print(f"{channel.name}: {result}", soft_wrap=True)
    return are_all_accepted
