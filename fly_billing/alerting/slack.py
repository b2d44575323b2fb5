"""Posts alerts to a Slack channel as a bot (chat.postMessage): the subject is a header, lists have bullets.

All text is plain_text, which Slack does not format. Links to Stripe's dashboard and to Dagster's runs are repeated
below it as links. The lengths are Slack's limits.
Source: docs.slack.dev/reference/methods/chat.postMessage, .../block-kit/blocks/section-block and header-block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.client import WebClient

from fly_billing.alerting.channel import AlertNotSent
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.alerting.rules.run_links import RUN_ID

MOST_TEXT = 40_000
MOST_BLOCK_TEXT = 3_000
MOST_HEADER = 150
MOST_LINKS = 10

# Only these addresses become links, because others may come from text that strangers wrote.
_STRIPE_LINK = re.compile(r"https://dashboard\.stripe\.com/[0-9A-Za-z_/-]{1,200}")

# Slack's escapes (docs.slack.dev/messaging/formatting-message-text#escaping) must not be cut in two.
_CHARACTER = re.compile(r"&(?:amp|lt|gt);|.", re.DOTALL)


@dataclass(frozen=True)
class SlackChannel:
    """A channel of a Slack workspace.

    Attributes:
        client: Has the bot's token.
        channel: The channel's id or #name.
        dagster_url: The address of Dagster's pages. Addresses of its runs become links.
    """

    client: WebClient = field(repr=False)
    channel: str
    name: str = "slack"
    dagster_url: str | None = None

    def post(self, alert: Alert) -> None:
        try:
            self.client.chat_postMessage(
                channel=self.channel, text=shortened(escaped(alert.text), MOST_TEXT),
                blocks=blocks_of(alert, self.dagster_url),
                unfurl_links=False, unfurl_media=False, mrkdwn=False, parse="none", link_names=False,
            )  # fmt: skip
        except SlackApiError as refusal:
            raise AlertNotSent(self.name, alert, _reason(refusal), _retry_after(refusal)) from None
        except (SlackClientError, OSError, ValueError) as problem:
            raise AlertNotSent(self.name, alert, getattr(problem, "reason", type(problem).__name__)) from None


def blocks_of(alert: Alert, dagster_url: str | None = None) -> list[dict[str, Any]]:
    """Return the alert as blocks within Slack's length limits. A text that is too long ends in an ellipsis."""
    subject = shortened(escaped(alert.subject), MOST_BLOCK_TEXT)
    body = re.sub(r"^- ", "• ", shortened(escaped(alert.body), MOST_TEXT - len(subject)), flags=re.MULTILINE)
    head = _plain("header" if len(subject) <= MOST_HEADER else "section", subject)
    return [
        head,
        *(_plain("section", piece) for piece in _pieces(body) if piece.strip()),
        *_links(alert.body, dagster_url),
    ]


def _plain(block: str, text: str) -> dict[str, Any]:
    return {"type": block, "text": {"type": "plain_text", "text": text, "emoji": False}}


def _links(body: str, dagster_url: str | None) -> list[dict[str, Any]]:
    known = _STRIPE_LINK.pattern
    if dagster_url is not None:
        known += f"|{re.escape(dagster_url)}/runs/{RUN_ID.pattern}"
    links = list(dict.fromkeys(re.findall(known, body)))[:MOST_LINKS]
    text = "\n".join(f"<{link}>" for link in links)
    return [{"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}] if links else []


def escaped(text: str) -> str:
    """Return the text with Slack's three control characters as entities, so that it has no mention or link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shortened(text: str, most: int) -> str:
    """Cut an escaped text to at most `most` characters. A cut text ends in an ellipsis."""
    return text if len(text) <= most else next(_cut(text, most - 1)) + "…"


def _pieces(text: str) -> Iterator[str]:
    """Split an escaped text into pieces that fit into a block, at line ends if possible."""
    piece = ""
    for line in (part for whole in text.splitlines(keepends=True) for part in _cut(whole, MOST_BLOCK_TEXT)):
        if len(piece) + len(line) > MOST_BLOCK_TEXT:
            yield piece
            piece = ""
        piece += line
    yield piece


def _cut(text: str, most: int) -> Iterator[str]:
    piece = ""
    for character in _CHARACTER.findall(text):
        if len(piece) + len(character) > most:
            yield piece
            piece = ""
        piece += character
    yield piece


def _reason(refusal: SlackApiError) -> str:
    """Return Slack's error code, such as `channel_not_found`. Never the request, which contains the token."""
    answer = refusal.response
    return f"{answer.status_code} {answer.get('error') or 'without a reason'}"


def _retry_after(refusal: SlackApiError) -> float:
    try:
        return float(refusal.response.headers.get("Retry-After", 0))
    except ValueError:
        return 0.0
