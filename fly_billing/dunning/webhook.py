"""Sends messages to the platform, signed as Standard Webhooks (standardwebhooks.com) says.

The id of a message is made of its body, so a message that is sent again, because no answer came, has the same id: the
receiver can ignore it. Not here: which messages are sent (`dunning.past_due`), and when again (`alerting.outbox`).
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime

from standardwebhooks import Webhook

from fly_billing.alerting.channel import AlertNotSent, Channel
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.alerting.webhook import PATIENCE, open_request
from fly_billing.credentials import check_secret_address
from fly_billing.settings import Settings, SettingsError, reveal

# The channel's name in the outbox.
NAME = "past-due webhook"
# The fewest bytes of a secret that Standard Webhooks allows.
LEAST_SECRET = 24


@dataclass(frozen=True)
class SignedWebhook:
    """The platform's webhook. Its address and secret appear in no message.

    Attributes:
        secret: `whsec_` and base64.
        patience: How many seconds to wait for an answer.
    """

    url: str = field(repr=False)
    secret: str = field(repr=False)
    name: str = NAME
    patience: float = PATIENCE

    def post(self, alert: Alert) -> None:
        try:
            # S310: the address comes from the operator's own settings.
            request = urllib.request.Request(  # noqa: S310
                self.url, alert.body.encode(), signed_headers(self.secret, alert.body, datetime.now(UTC)), method="POST"
            )
            with open_request(request, self.patience) as answer:
                answer.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                reason, wait = f"{refusal.code} {refusal.reason}", _retry_after(refusal)
            raise AlertNotSent(self.name, alert, reason, wait) from None
        except (http.client.HTTPException, OSError, ValueError) as problem:
            # The message about an invalid address repeats it.
            raise AlertNotSent(self.name, alert, getattr(problem, "reason", type(problem).__name__)) from None


def signed_headers(secret: str, body: str, now: datetime) -> dict[str, str]:
    """Return the headers of a message: its id, the time of this attempt, and the signature of both and the body."""
    message_id = f"msg_{hashlib.sha256(body.encode()).hexdigest()[:32]}"
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, now, body),
    }


def _retry_after(refusal: urllib.error.HTTPError) -> float:
    """Return the seconds that the receiver asked us to wait; 0 if it did not ask, or in no number."""
    text = refusal.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() and len(text) < 7 else 0.0


def past_due_channels(settings: Settings) -> list[Channel]:
    """Return the platform's webhook, if it is set. Raises SettingsError if it is incomplete or invalid."""
    url, secret = reveal(settings.past_due_webhook_url), reveal(settings.past_due_webhook_secret)
    if not url and not secret:
        return []
    if not url or not secret:
        raise SettingsError("PAST_DUE_WEBHOOK_URL and PAST_DUE_WEBHOOK_SECRET must be set together: see .env.example")
    address = check_secret_address("PAST_DUE_WEBHOOK_URL", url)
    return [SignedWebhook(address, _checked(secret))]


def _checked(secret: str) -> str:
    try:
        size = len(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    except ValueError:
        size = 0
    if not secret.startswith("whsec_") or size < LEAST_SECRET:
        raise SettingsError(
            "PAST_DUE_WEBHOOK_SECRET must be whsec_ and the base64 of at least 24 random bytes: make one with"
            " `echo whsec_$(openssl rand -base64 32)`"
        )
    return secret
