"""Sends messages to the platform, signed as Standard Webhooks (standardwebhooks.com) says.

The id of a message is made of its body, so a message that is sent again, because no answer came, has the same id: the
receiver can ignore it. Not here: which messages are sent, and when again (`alerting.outbox`).
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime

from standardwebhooks import Webhook

from fly_billing.alerting.channel import AlertNotSent
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.alerting.webhook import MOST_ANSWER, PATIENCE, open_request
from fly_billing.credentials import check_secret_address
from fly_billing.settings import SettingsError

# The fewest bytes of a secret that Standard Webhooks allows.
LEAST_SECRET = 24
# The most seconds that a receiver can ask us to wait: a call about a cap is repeated every hour at least.
MOST_WAIT = 3600.0


@dataclass(frozen=True)
class SignedWebhook:
    """An endpoint of the platform. Its address and secret appear in no message.

    Attributes:
        secret: `whsec_` and base64.
        name: The channel's name in the outbox.
        patience: How many seconds to wait for an answer.
        needs_acknowledgement: A status of 2xx is not enough: the answer must be JSON with the message's id,
            `{"acknowledged": "msg_..."}`.
    """

    url: str = field(repr=False)
    secret: str = field(repr=False)
    name: str
    patience: float = PATIENCE
    needs_acknowledgement: bool = False

    def post(self, alert: Alert) -> None:
        try:
            # S310: the address comes from the operator's own settings.
            request = urllib.request.Request(  # noqa: S310
                self.url, alert.body.encode(), signed_headers(self.secret, alert.body, datetime.now(UTC)), method="POST"
            )
            with open_request(request, self.patience) as answer:
                content = answer.read(MOST_ANSWER)
        except urllib.error.HTTPError as refusal:
            with refusal:
                reason, wait = f"{refusal.code} {refusal.reason}", _retry_after(refusal)
            raise AlertNotSent(self.name, alert, reason, wait) from None
        except (http.client.HTTPException, OSError, ValueError) as problem:
            # The message about an invalid address repeats it.
            raise AlertNotSent(self.name, alert, getattr(problem, "reason", type(problem).__name__)) from None
        if self.needs_acknowledgement and not is_acknowledgement(content, message_id(alert.body)):
            raise AlertNotSent(self.name, alert, f'{answer.status} without {{"acknowledged": "<webhook-id>"}}')


def signed_headers(secret: str, body: str, now: datetime) -> dict[str, str]:
    """Return the headers of a message: its id, the time of this attempt, and the signature of both and the body."""
    its_id = message_id(body)
    return {
        "Content-Type": "application/json",
        "webhook-id": its_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(its_id, now, body),
    }


def message_id(body: str) -> str:
    """Return the id of the message with this body: `msg_` and 32 hexadecimal digits."""
    return f"msg_{hashlib.sha256(body.encode()).hexdigest()[:32]}"


def is_acknowledgement(content: bytes, its_id: str) -> bool:
    """Return True if an answer is JSON that acknowledges the message with this id."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(answer, dict) and answer.get("acknowledged") == its_id


def _retry_after(refusal: urllib.error.HTTPError) -> float:
    """Return the seconds that the receiver asked us to wait, at most MOST_WAIT; 0 if it asked for none."""
    text = refusal.headers.get("Retry-After", "")
    return min(float(text), MOST_WAIT) if text.isdecimal() and len(text) < 10 else 0.0


def webhook_from_settings(
    setting: str, url: str | None, secret: str | None, name: str, *, needs_acknowledgement: bool = False
) -> SignedWebhook | None:
    """Return the endpoint of the settings `<setting>_URL` and `<setting>_SECRET`; None if they are not set.

    Raises SettingsError if one of them is missing or invalid.
    """
    if not url and not secret:
        return None
    if not url or not secret:
        raise SettingsError(f"{setting}_URL and {setting}_SECRET must be set together: see .env.example")
    address = check_secret_address(f"{setting}_URL", url)
    return SignedWebhook(
        address, _checked(f"{setting}_SECRET", secret), name, needs_acknowledgement=needs_acknowledgement
    )


def _checked(setting: str, secret: str) -> str:
    try:
        size = len(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    except ValueError:
        size = 0
    if not secret.startswith("whsec_") or size < LEAST_SECRET:
        raise SettingsError(
            f"{setting} must be whsec_ and the base64 of at least 24 random bytes: make one with"
            " `echo whsec_$(openssl rand -base64 32)`"
        )
    return secret
