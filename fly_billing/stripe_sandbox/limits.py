"""Stripe's limits, all off by default: calls per second, concurrent calls, one change at a time per object.

They apply before the idempotency layer, in real seconds. A test that must not depend on the machine's speed sets the
window of the rate limits, `rate_window_seconds`, so long that they limit the number of calls. Counters are in memory.
Not here: how a client stays below the limits.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fly_billing.stripe_sandbox.calls import Call
from fly_billing.stripe_sandbox.errors import lock_timeout, rate_limited
from fly_billing.stripe_sandbox.store import Store


class Limits:
    """The limits of one sandbox."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._recent: defaultdict[str, deque[float]] = defaultdict(deque)
        self._running = 0
        self._locked: set[str] = set()

    def forget(self) -> None:
        """Forget the calls so far."""
        self._recent.clear()

    @contextmanager
    def admitted(self, endpoint: str) -> Iterator[None]:
        """Admit a call. Raises a 429 with the limit's reason; refused calls do not count."""
        self._check_rates(endpoint)
        allowed = self._store.settings.concurrency
        if allowed is not None and self._running >= allowed:
            raise rate_limited("global-concurrency")
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    def _check_rates(self, endpoint: str) -> None:
        settings, now = self._store.settings, time.monotonic()
        rules = (
            ("", settings.global_per_second, "global-rate"),
            (endpoint, settings.endpoint_per_second, "endpoint-rate"),
        )
        for name, allowed, reason in rules:
            if allowed is not None and self._count(name, now) >= allowed:
                raise rate_limited(reason)
        for name, allowed, _ in rules:
            if allowed is not None:
                self._recent[name].append(now)

    def _count(self, name: str, now: float) -> int:
        recent, window = self._recent[name], self._store.settings.rate_window_seconds
        while recent and now - recent[0] >= window:
            recent.popleft()
        return len(recent)

    @contextmanager
    def locked(self, call: Call, customer: Callable[[], str | None]) -> Iterator[None]:
        """Lock the customer and invoice that a call changes. Raises lock_timeout if another call has locked one."""
        if not self._store.settings.object_locks or call.method == "GET":
            yield
            return
        wanted = {id for id in (*call.ids.values(), customer()) if id}
        if wanted & self._locked:
            raise lock_timeout()
        self._locked |= wanted
        try:
            yield
        finally:
            self._locked -= wanted
