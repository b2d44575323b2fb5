"""Sends requests to Stripe. Every read and every change goes through this module, always in the same order:

journal the attempt, wait for the rate limiter, send, record the response, slow down after a 429, retry.

The wait is the last step before sending, because a request that is late for its slot crowds the ones after it.
Not here: which request to send and what to do about its response (`invoice_sync`, `repair`, `reader`), the format of
idempotency keys (`rules.idempotency_keys`), what an error means (`client`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import stripe

from fly_billing.stripe_sync.client import StripeResponse, ask
from fly_billing.stripe_sync.rate_limiter import RateLimiter
from fly_billing.stripe_sync.rules.requests import StripeRequest
from fly_billing.stripe_sync.rules.retries import RetryPolicy


class AttemptLog(Protocol):
    """Journals attempts to change something in Stripe. `begin` commits before it returns."""

    def begin(self, request: StripeRequest, key: str) -> int:
        """Record that a request is about to be sent; return the attempt's id."""

    def end(self, attempt: int, response: StripeResponse) -> None:
        """Record the response to an attempt."""


@dataclass(frozen=True)
class StripeSender:
    """Sends one request at a time, with retries. May be shared by threads.

    Attributes:
        limiter: Shared by all processes through Postgres.
        sleep: Called with the seconds to pause between two tries.
        livemode: The requests go to Stripe's live mode, as production's always do.
    """

    limiter: RateLimiter
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    sleep: Callable[[float], None] = time.sleep
    livemode: bool = False

    def send(
        self, request: StripeRequest, key: str, call: Callable[[str], stripe.StripeObject], log: AttemptLog
    ) -> list[StripeResponse]:
        """Send a request that changes something. Each try is a journaled attempt under the same key.

        Args:
            key: The idempotency key.
            call: Makes the request under the key that it is given.
            log: Journals the attempts.

        Returns:
            One response per try, oldest first; the last one decides.
        """

        def send_once() -> StripeResponse:
            attempt = log.begin(request, key)
            self.limiter.wait(request.step)
            response = ask(lambda: call(key), livemode=self.livemode)
            log.end(attempt, response)
            return response

        return self._with_retries(request.step, send_once)

    def read(self, endpoint: str, call: Callable[[], stripe.StripeObject]) -> StripeResponse:
        """Send a request that changes nothing, so it needs neither key nor journal; return the last response.

        Args:
            endpoint: Which rate limit it counts against.
        """

        def read_once() -> StripeResponse:
            self.limiter.wait(endpoint)
            return ask(call, livemode=self.livemode)

        return self._with_retries(endpoint, read_once)[-1]

    def _with_retries(self, endpoint: str, send_once: Callable[[], StripeResponse]) -> list[StripeResponse]:
        responses: list[StripeResponse] = []
        while True:
            response = send_once()
            responses.append(response)
            if response.is_rate_limited:
                self.limiter.slow_down(endpoint, response.rate_limit_reason)
            pause = self.retries.pause_after(len(responses))
            if pause is None or not response.is_retryable:
                return responses
            self.sleep(pause)
