"""The platform's webhook about late payments. Not here: which messages are sent (`dunning.past_due`), and how
(`alerting.signed_webhook`)."""

from __future__ import annotations

from fly_billing.alerting.channel import Channel
from fly_billing.alerting.signed_webhook import webhook_from_settings
from fly_billing.settings import Settings, reveal

# The channel's name in the outbox.
NAME = "past-due webhook"


def past_due_channels(settings: Settings) -> list[Channel]:
    """Return the platform's webhook, if it is set. Raises SettingsError if it is incomplete or invalid."""
    url, secret = reveal(settings.past_due_webhook_url), reveal(settings.past_due_webhook_secret)
    channel = webhook_from_settings("PAST_DUE_WEBHOOK", url, secret, NAME)
    return [channel] if channel else []
