"""Servers that receive alerts, started by the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.alert_servers import Slack, Webhook, serving


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    webhook = Webhook()
    with serving(webhook.server):
        yield webhook


@pytest.fixture
def slack() -> Iterator[Slack]:
    slack = Slack()
    with serving(slack.server):
        yield slack
