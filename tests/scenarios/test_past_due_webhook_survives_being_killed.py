"""A machine dies while it tells the platform that an invoice is late: the platform is told, and acts on it once.

acme's 10.00 of September is due on 18 October 2026, so the threshold of 7 days is reached on the 25th.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from fly_billing.alerting.outbox import post_waiting
from fly_billing.dunning.past_due import queue_past_due_webhooks
from tests.integration.dunning.test_past_due_webhooks import SECRET, receiving, send
from tests.scenarios.sync_in_a_child import IN_FLIGHT, WEBHOOK_MOMENTS
from tests.scenarios.test_sync_survives_being_killed import Children
from tests.support.builders import Platform, at
from tests.support.stripe_builders import eventually


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    children = Children()
    yield children
    children.close()


@pytest.mark.parametrize("moment", WEBHOOK_MOMENTS)
def test_a_webhook_killed_at_any_moment_reaches_the_platform_under_one_id(
    children: Children, platform: Platform, moment: str
) -> None:
    platform.add_one_off("acme", "Setup", "10.00", at("2026-09-03"))
    assert platform.close().failures == []
    send(platform)
    day = at("2026-10-25")
    url = platform.database.engine.url.render_as_string(hide_password=False)
    with receiving() as receiver:
        if moment == IN_FLIGHT:
            receiver.may_answer.clear()
        child = children.start(
            database=url, webhook=receiver.channel.url, secret=SECRET, moment=moment, now=day.isoformat()
        )
        if moment == IN_FLIGHT:
            eventually(lambda: receiver.got)
            os.kill(child, signal.SIGKILL)
            receiver.may_answer.set()
        assert children.exit_code() == -signal.SIGKILL

        # The next tick of both sensors, once the server has noticed that the process is gone.
        def is_told() -> bool:
            queue_past_due_webhooks(platform.database, [receiver.channel], [7], day)
            post_waiting(platform.database, [receiver.channel])
            return bool(platform.query("select 1 from alerts where taken_at is not null"))

        eventually(is_told)
        post_waiting(platform.database, [receiver.channel])
    assert receiver.told() == [("invoice.past_due", 7)]
    assert len(receiver.got) == (2 if moment in (IN_FLIGHT, "answered and not recorded") else 1)
    assert platform.query("select count(*) as n from alerts") == [{"n": 1}]
