"""Runs syncs and webhooks in processes that SIGKILL ends at a moment that the test chooses; a script, not a test.

Reads orders from stdin, one JSON object a line, and forks a process for each; so the imports are paid for once. Writes
`started <pid>` and, when that process is gone, `ended <exit code>` (-9: killed).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.alerting.outbox import post_waiting
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.alerting.signed_webhook import SignedWebhook
from fly_billing.dunning.past_due import queue_past_due_webhooks
from fly_billing.dunning.webhook import NAME
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sync.client import StripeResponse
from fly_billing.stripe_sync.credit_notes import send_unfinished
from fly_billing.stripe_sync.journal import StripeJournal
from fly_billing.stripe_sync.rules.requests import StripeRequest
from tests.support.stripe_builders import sync, sync_tools

# Here the test itself kills, once the sandbox has applied the request and delays the response.
IN_FLIGHT = "sent and not answered"
MOMENTS = (
    "before it is journaled",
    "journaled and not sent",
    IN_FLIGHT,
    "answered and the answer not journaled",
    "answer journaled and the invoice not moved on",
)


@dataclass(frozen=True)
class DyingJournal(StripeJournal):
    """The journal of a process that dies at a moment of its nth request."""

    moment: str = ""
    n: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "_begun", 0)

    def begin_attempt(self, invoice: UUID, request: StripeRequest, generation: int, key: str, now: datetime) -> int:
        object.__setattr__(self, "_begun", self._requests + 1)
        self._die_if("before it is journaled")
        attempt = super().begin_attempt(invoice, request, generation, key, now)
        self._die_if("journaled and not sent")
        return attempt

    def end_attempt(self, attempt: int, answer: StripeResponse, now: datetime) -> None:
        self._die_if("answered and the answer not journaled")
        super().end_attempt(attempt, answer, now)
        self._die_if("answer journaled and the invoice not moved on")

    @property
    def _requests(self) -> int:
        return int(getattr(self, "_begun"))  # noqa: B009 - no field: requests begun so far

    def _die_if(self, moment: str) -> None:
        if (self.moment, self.n) == (moment, self._requests):
            os.kill(os.getpid(), signal.SIGKILL)


# The moments of a webhook to the platform. In IN_FLIGHT, the test kills once the receiver has the message.
WEBHOOK_MOMENTS = ("queued and not committed", "queued and not sent", IN_FLIGHT, "answered and not recorded")


class DyingDatabase(BillingDatabase):
    """The database of a process that dies at the end of its first transaction, before the commit."""

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with super().transaction() as connection:
            yield connection
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class DyingWebhook(SignedWebhook):
    """The webhook of a process that dies before or after it sends its first message."""

    moment: str = ""

    def post(self, alert: Alert) -> None:
        if self.moment == "queued and not sent":
            os.kill(os.getpid(), signal.SIGKILL)
        super().post(alert)
        if self.moment == "answered and not recorded":
            os.kill(os.getpid(), signal.SIGKILL)


def tell_the_platform(order: Mapping[str, Any]) -> None:
    """Queue the webhooks about late payments that are due on a day, and send them."""
    moment = order["moment"]
    database = (DyingDatabase if moment == "queued and not committed" else BillingDatabase)(order["database"])
    channel = DyingWebhook(order["webhook"], order["secret"], NAME, moment=moment)
    queue_past_due_webhooks(database, [channel], [7], datetime.fromisoformat(order["now"]))
    post_waiting(database, [channel])


def run(order: Mapping[str, Any]) -> None:
    """Sync June 2023 of a database to a sandbox, by default with one worker; or send its credit notes (`credits`).

    With `webhook`, tell the platform about late payments instead.
    """
    if "webhook" in order:
        tell_the_platform(order)
        return
    database = BillingDatabase(order["database"])
    journal = DyingJournal(database, "child", order.get("moment", ""), order.get("n", 0))
    tools = sync_tools(database, order["stripe"], journal=journal, workers=order.get("workers", 1))
    if order.get("credits"):
        send_unfinished(tools)
        return
    report = sync(tools)
    assert not report.failures, report.failures


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                run(json.loads(line))
            except BaseException:  # noqa: BLE001 - it ends here and must not go on as its parent
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        write_line("started", child)
        _, status = os.waitpid(child, 0)
        write_line("ended", os.waitstatus_to_exitcode(status))


def write_line(word: str, number: int) -> None:
    sys.stdout.write(f"{word} {number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
