"""The retry policy of a Stripe request: tries and pauses. Not here: sending (`stripe_sync.sender`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff for one request.

    Attributes:
        tries: The maximum number of times a request is sent, including the first.
        first_pause: Seconds before the second try; each later pause is twice as long.
    """

    tries: int = 5
    first_pause: float = 0.5

    def pause_after(self, tries: int) -> float | None:
        """Return the seconds to pause after this many tries, or None if there must be no further try."""
        return self.first_pause * 2.0 ** (tries - 1) if tries < self.tries else None
