"""How fast we may ask Stripe: one limit per endpoint and one for the account (docs.stripe.com/rate-limits).

Keeps out: what to do when Stripe says 429 all the same (`stripe_sync`). The limits hold within one process.
"""

from __future__ import annotations

from functools import cache

from pyrate_limiter import Duration, Limiter, Rate


class Pace:
    """Blocks callers until the next request is due. May be shared by threads."""

    def __init__(self, per_second: int, per_endpoint: int) -> None:
        self._account = Limiter(Rate(per_second, Duration.SECOND))
        self._endpoint = cache(lambda _: Limiter(Rate(per_endpoint, Duration.SECOND)))

    def wait(self, endpoint: str) -> None:
        self._endpoint(endpoint).try_acquire(endpoint)
        self._account.try_acquire("account")
