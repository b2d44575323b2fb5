"""Calls an outside monitor (a dead man's switch), which alerts when the calls stop."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request

from fly_billing.alerting.webhook import MOST_ANSWER, PATIENCE, open_request
from fly_billing.credentials import check_secret_address
from fly_billing.foreign_text import visible


class HeartbeatNotSent(Exception):
    """The monitor did not accept the call. The message contains no part of its address, which is a secret."""


def send_heartbeat(url: str, patience: float = PATIENCE) -> None:
    """GET the monitor's address.

    Raises:
        SettingsError: The address may not be called (`check_secret_address`).
        HeartbeatNotSent: The monitor can't be reached, or its answer is not 2xx. Redirects are not followed.
    """
    # S310: check_secret_address allows https, and http to this machine.
    request = urllib.request.Request(check_secret_address("HEARTBEAT_URL", url))  # noqa: S310
    try:
        with open_request(request, patience) as answer:
            answer.read(MOST_ANSWER)
    except urllib.error.HTTPError as refusal:
        with refusal:
            raise HeartbeatNotSent(visible(f"the monitor answered {refusal.code} {refusal.reason}")) from None
    except (http.client.HTTPException, OSError, ValueError) as problem:
        reason = getattr(problem, "reason", type(problem).__name__)
        raise HeartbeatNotSent(visible(f"the monitor can't be reached: {reason}")) from None
