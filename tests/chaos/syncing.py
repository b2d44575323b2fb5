"""The syncing processes of a campaign: real ones, which run the production sync and may be killed; a script.

Reads orders from stdin, one JSON object a line, and forks a process for each; so the imports are paid for once. Writes
`started <pid>` and, when that process has ended, `ended <exit code>` (-9: killed). An ended process keeps its id until
the next order, so that a late kill can't meet a stranger.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
from sqlalchemy.exc import InterfaceError, OperationalError, PendingRollbackError

from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import Settings
from fly_billing.stripe_sync.client import make_stripe_client
from fly_billing.stripe_sync.invoice_sync import SyncRules, SyncTools
from fly_billing.stripe_sync.journal import StripeJournal
from fly_billing.stripe_sync.month_sync import sync_month
from fly_billing.stripe_sync.rate_limiter import RateLimiter
from tests.chaos.broken import BROKEN

# The exit code of a process that ended because Postgres was unreachable (EX_TEMPFAIL of sysexits.h).
POSTGRES_AWAY = os.EX_TEMPFAIL
# Pauses between attempts take this part of their production time.
HURRY = 20
# A closed connection raises the third at its next use.
AWAY = (OperationalError, InterfaceError, PendingRollbackError, psycopg.OperationalError)


@dataclass(frozen=True)
class Order:
    """An order to sync months, oldest first. `clock_seconds`: the shift of our clock.

    `environment` names the servers and the pace as in production; `broken` is one of BROKEN, or none.
    """

    environment: Mapping[str, str]
    months: Sequence[str]
    clock_seconds: int = 0
    broken: str | None = None


def tools_of(order: Order) -> SyncTools:
    """Make the production sync tools from settings, with a shifted clock and short pauses between attempts."""
    settings = Settings.from_environment(order.environment)
    database = BillingDatabase(settings.database_url)
    moved = timedelta(seconds=order.clock_seconds)
    tools = SyncTools(
        journal=StripeJournal(database, "chaos"),
        client=make_stripe_client(settings.stripe_api_key, settings.stripe_api_base),
        limiter=RateLimiter(database, settings.stripe_requests_per_second, settings.stripe_requests_per_endpoint),
        clock=lambda: datetime.now(UTC) + moved,
        rules=SyncRules(workers=settings.stripe_workers),
        sleep=lambda seconds: time.sleep(seconds / HURRY),
    )
    return BROKEN[order.broken](tools, settings) if order.broken else tools


def sync(order: Order) -> None:
    """Sync the order's months once; failures of single invoices are in the journal for the next pass."""
    tools = tools_of(order)
    groups = [row["billing_group"] for row in tools.journal.database.rows("billing_groups")]
    for month in order.months:
        sync_month(tools, BillingMonth.parse(month), groups)


def main() -> None:
    ended = None
    for line in sys.stdin:
        if ended is not None:
            os.waitpid(ended, 0)
        child = os.fork()
        if child == 0:
            os._exit(_exit_code(Order(**json.loads(line))))
        _show_progress("started", child)
        result = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert result is not None, "without WNOHANG, waitid waits"
        _show_progress("ended", result.si_status if result.si_code == os.CLD_EXITED else -result.si_status)
        ended = child


def _exit_code(order: Order) -> int:
    try:
        sync(order)
    except AWAY:
        traceback.print_exc(limit=-3)
        return POSTGRES_AWAY
    except BaseException:  # noqa: BLE001 - it ends here and must not go on as its parent
        traceback.print_exc()
        return 1
    return 0


def _show_progress(word: str, number: int) -> None:
    sys.stdout.write(f"{word} {number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
