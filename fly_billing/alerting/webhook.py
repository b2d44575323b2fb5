"""Posts alerts as `{"text": ...}`, which Slack's incoming webhooks, Mattermost and others accept.

We don't know which service receives the alert, so the text is harmless in all of them: it mentions nobody and hides no
address behind a word. Emphasis (`*`, `_`, backticks) may still be rendered, but that changes no word.
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from fly_billing.alerting.channel import AlertNotSent
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.alerting.slack import escaped, shortened

# Seconds to wait for an answer.
PATIENCE = 10
# Slack and Mattermost (16,383) refuse or cut longer texts.
MOST_TEXT = 16_000


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: a redirected POST becomes a GET without the alert, and its 200 would count as sent."""

    def redirect_request(self, *args: Any, **given: Any) -> None:
        return None


_WITHOUT_REDIRECTS = urllib.request.build_opener(_NoRedirects)
# http goes to this machine only. A proxy from the environment can't reach it and would read the address in the clear.
_DIRECT = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))


def open_request(request: urllib.request.Request, patience: float) -> http.client.HTTPResponse:
    """Send the request and return the response. Follows no redirect; uses a proxy for https only.

    Raises OSError (HTTPError for a status other than 2xx), http.client.HTTPException or ValueError.
    """
    opener = _DIRECT if request.type == "http" else _WITHOUT_REDIRECTS
    response: http.client.HTTPResponse = opener.open(request, timeout=patience)
    return response


@dataclass(frozen=True)
class WebhookChannel:
    """A webhook. Its address is a secret, so no message contains it."""

    url: str = field(repr=False)
    name: str = "webhook"
    patience: float = PATIENCE

    def post(self, alert: Alert) -> None:
        body = json.dumps({"text": harmless(alert.text)}).encode()
        try:
            # S310: the address comes from the operator's own settings.
            request = urllib.request.Request(  # noqa: S310
                self.url, body, {"Content-Type": "application/json"}, method="POST"
            )
            with open_request(request, self.patience) as answer:
                answer.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise AlertNotSent(self.name, alert, f"{refusal.code} {refusal.reason}") from None
        except (http.client.HTTPException, OSError, ValueError) as problem:
            # The message about an invalid address repeats it.
            raise AlertNotSent(self.name, alert, getattr(problem, "reason", type(problem).__name__)) from None


def harmless(text: str) -> str:
    """Return the text without mentions (`<!channel>`, `@channel`) and links with their own text (`[x](http://y)`)."""
    text = re.sub(r"(?<!\w)@(?=\w)", "@ ", text).replace("](", "] (")
    return shortened(escaped(text), MOST_TEXT)
