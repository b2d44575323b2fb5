"""`fly-billing alert-test`: whether alerts reach people, before one has to."""

from __future__ import annotations

from datetime import UTC, datetime

from fly_billing.alerting.outbox import try_to_post
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.cli.terminal import Terminal
from fly_billing.resources.alerts import Alerts
from fly_billing.settings import SettingsError


def send_test_alert(console: Terminal) -> bool:
    """Post a test alert to every channel and print what each one said; return whether all took it.

    Past the outbox: no database is needed, and nothing is tried again. Raises SettingsError where no channel is set.
    """
    channels = Alerts().channels()
    if not channels:
        raise SettingsError(
            "no alert channel is set, so alerts are only logged: set ALERT_WEBHOOK_URL, SLACK_BOT_TOKEN with"
            " SLACK_CHANNEL, or ALERT_EMAIL_TO with ALERT_EMAIL_FROM and SMTP_URL"
        )
    alert = Alert.of(
        "test",
        "Test alert of fly_billing",
        [f"Sent by `fly-billing alert-test` on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.", "What to do: nothing."],
    )
    are_all_taken = True
    for channel in channels:
        refused = try_to_post(channel, alert)
        are_all_taken = are_all_taken and refused is None
        said = f"refused: {refused.reason}" if refused else "taken"
        console.print(f"{channel.name}: {said}", soft_wrap=True)
    return are_all_taken
