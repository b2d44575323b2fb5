"""A process that polls Stripe's events until it is killed; a script.

Reads what production's sensor reads, without its pauses. Stripe's failures are waited out: the next poll goes on.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime, timedelta

from fly_billing.errors import ActionableError
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sync.event_inbox import poll_events, settle_waiting_events
from fly_billing.stripe_sync.reader import ReadingFailed
from tests.support.stripe_builders import sync_tools

PAUSE = 1.0
SINCE = timedelta(hours=1)


def main() -> None:
    database = BillingDatabase(os.environ["DATABASE_URL"])
    tools = sync_tools(database, os.environ["STRIPE_API_BASE"], patience=10.0)
    began = datetime.now(UTC)
    while True:
        try:
            poll_events(database, tools.reader(), began - SINCE, datetime.now(UTC))
            settle_waiting_events(database)
        except (ReadingFailed, ActionableError) as problem:
            sys.stdout.write(f"{datetime.now(UTC):%H:%M:%S} {problem}\n")
            sys.stdout.flush()
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
