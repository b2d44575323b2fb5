"""Posts alerts as `{"text": ...}`, the form that Slack's incoming webhooks, Mattermost and others take.

Which of them it is isn't known, so the text is made harmless in all: it mentions nobody and hides no address behind a
word. Emphasis (`*`, `_`, backticks) may still be drawn; that changes no word.
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

# Seconds without an answer.
PATIENCE = 10
# Longer texts are cut, as Slack and Mattermost (16,383) would refuse or cut them.
MOST_TEXT = 16_000


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST becomes a GET without the alert, whose 200 would count as sent."""

    def redirect_request(self, *args: Any, **given: Any) -> None:
        return None


_WITHOUT_REDIRECTS = urllib.request.build_opener(_NoRedirects)
# http goes to this machine only: a proxy of the environment can't reach it, and would read the address in the clear.
_DIRECT = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class WebhookChannel:
    """A webhook; its address is a secret and in no message."""

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
            opener = _DIRECT if request.type == "http" else _WITHOUT_REDIRECTS
            with opener.open(request, timeout=self.patience) as answer:
                answer.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise AlertNotSent(self.name, alert, f"{refusal.code} {refusal.reason}") from None
        except (http.client.HTTPException, OSError, ValueError) as problem:
            # The words of an address that can't be read repeat it.
            raise AlertNotSent(self.name, alert, getattr(problem, "reason", type(problem).__name__)) from None


def harmless(text: str) -> str:
    """Return the text without a mention (`<!channel>`, `@channel`) or a link with a text of its own (`[x](http://y)`)."""
    text = re.sub(r"(?<!\w)@(?=\w)", "@ ", text).replace("](", "] (")
    return shortened(escaped(text), MOST_TEXT)
