"""Limits our request rate to Stripe: one limit per endpoint and one for the account (docs.stripe.com/rate-limits).

Each request books a time slot in Postgres (`10_stripe_sync.sql` of the baseline), so that all processes and machines
share the limits. A 429 slows its endpoint, or the account, for all of them; the rate then recovers with time.
Not here: sending and retrying (`sender`).

Own code, although pyrate-limiter has a PostgresBucket. Measured with three endpoints, two processes of 18 threads,
answers after 0.3 s and both set to 23 calls a second below a limit of 25: this admits 23.0 with no 429; with four busy
processes beside it on two cores 22.9 to 23.2, and none. The library admits 23.3 on a calm machine, 20.5 to 23.2 on a
busy one, with up to 12 429s in 6 s: it gives up wherever it finds its table locked, and lets a second's calls go in a
few bursts (12 in 0.1 s; here 3 to 4). And its buckets can't be slowed for all processes at once. A booking costs 0.5 to
0.8 ms.

Above 23 of 25 the limit is for machines that send on time: a 429 takes this part away, and it comes back slowly
(`stripe_pace_at`), so that a busy machine stays at 23 instead of being refused again and again.
"""

from __future__ import annotations

import threading
import time

from fly_billing.postgres.database import BillingDatabase, values

# Stripe counts arrivals, and some are late (0.03 s; on a busy machine 0.06 s, measured). This leaves 0.04 s for that,
# and 0.08 s after a 429.
HEADROOM = 0.96
# A request that wakes this many seconds late books another slot, up to this many times; then it is sent anyway.
MISSED = 0.03
BOOKINGS = 3
# A 429 lowers the rate by this factor, but not below the least rate. The rate recovers within half a minute; its last
# 4 % take four minutes more.
SLOWED = 0.8
LEAST_PER_SECOND = 1.0
RECOVERY_SECONDS = 30.0
# A 429 for a request that was sent before the rate was lowered says nothing about the new rate.
HOLD_SECONDS = 0.5

ACCOUNT = "account"


class RateLimiter:
    """Blocks callers until the next request is due. Threads may share it; processes share its slots in Postgres."""

    def __init__(self, database: BillingDatabase, per_second: float, per_endpoint: float) -> None:
        """Keep below Stripe's limits for the account and for each endpoint, in requests per second."""
        # Each booking is one statement that the server itself commits: no lock outlives a client that stops half-way.
        self._engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
        # One booking at a time per process, so that a hundred threads don't open a connection each.
        self._booking = threading.Lock()
        self._account = per_second * HEADROOM
        self._endpoint = per_endpoint * HEADROOM

    def wait(self, endpoint: str) -> None:
        """Sleep until a request to the endpoint is due. The slots of a killed process pass unused.

        If the process wakes too late, because it or its machine stood still, it books again: a stall must not end in a
        burst.
        """
        for _ in range(BOOKINGS):
            seconds = self._ask(
                "book_request_slot",
                endpoint=endpoint,
                endpoint_per_second=self._endpoint,
                account_per_second=self._account,
                recovery_seconds=RECOVERY_SECONDS,
            )
            booked = time.monotonic()
            time.sleep(seconds)
            if time.monotonic() - booked - seconds < MISSED:
                return

    def slow_down(self, endpoint: str, reason: str | None) -> float:
        """Slow what the 429 was about, for everyone; return its requests per second from now on.

        `reason` is Stripe's header Stripe-Rate-Limited-Reason: `global-...` means the account, anything else, and a 429
        without it, the endpoint.
        """
        is_account = (reason or "").startswith("global-")
        return self._ask(
            "slow_down_requests",
            bucket=ACCOUNT if is_account else endpoint,
            per_second=self._account if is_account else self._endpoint,
            factor=SLOWED,
            least_per_second=LEAST_PER_SECOND,
            recovery_seconds=RECOVERY_SECONDS,
            hold_seconds=HOLD_SECONDS,
        )

    def _ask(self, statement: str, **parameters: str | float) -> float:
        with self._booking, self._engine.connect() as connection:
            (number,) = values(connection, statement, **parameters)
        return float(number)
