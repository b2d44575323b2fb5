"""Limits requests per token: a bucket that refills steadily. Counted in this process's memory only.

Each process of the API has its own buckets, so two processes admit twice as much. Pass the time in, in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Generic, TypeVar

# Buckets to remember. A full bucket is as good as a forgotten one.
MOST_BUCKETS = 100_000

Key = TypeVar("Key")


@dataclass
class RateLimits(Generic[Key]):
    """Admits `per_second` requests of a key on average, and up to `burst` at once."""

    per_second: float
    burst: int
    _left: dict[Key, tuple[float, float]] = field(default_factory=dict)

    def take(self, key: Key, now: float) -> int:
        """Admit a request and return 0; or refuse it and return the whole seconds until the next one is admitted."""
        left, at = self._left.get(key, (float(self.burst), now))
        left = min(float(self.burst), left + max(0.0, now - at) * self.per_second)
        if left < 1:
            self._left[key] = left, now
            return max(1, math.ceil((1 - left) / self.per_second))
        self._left[key] = left - 1, now
        if len(self._left) > MOST_BUCKETS:
            self._forget_full(now)
        return 0

    def _forget_full(self, now: float) -> None:
        seconds = self.burst / self.per_second
        self._left = {key: bucket for key, bucket in self._left.items() if now - bucket[1] < seconds}
