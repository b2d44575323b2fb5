"""Counts requests and events for GET /metrics, in the text format of Prometheus.

A rejected event is known to its sender and to these counts only: alert on them. Not here: the route (`app`).
"""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, generate_latest

from fly_billing.usage_intake.intake import PostedOutcome


class IntakeMetrics:
    """The counts since the process started. Their labels are sources of tokens, statuses and reasons: few."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "fly_billing_usage_requests",
            "Requests by source and status.",
            ("source", "status"),
            registry=self._registry,
        )
        self._events = Counter(
            "fly_billing_usage_events",
            "Posted events by source, outcome, and reason of rejection.",
            ("source", "outcome", "reason"),
            registry=self._registry,
        )

    def count(self, source: str, status: int, outcomes: Sequence[PostedOutcome]) -> None:
        """Count a request and its events."""
        self._requests.labels(source, str(status)).inc()
        kinds = Counts((each.word, each.refusal.reason if each.refusal else "") for each in outcomes)
        for (word, reason), number in kinds.items():
            self._events.labels(source, word, reason).inc(number)

    def as_text(self) -> bytes:
        return generate_latest(self._registry)
