"""Counts requests for GET /metrics, in the text format of Prometheus. Not here: the route (`api.app`)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

# Seconds. The goal is 99 of 100 requests within 0.1.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class ApiMetrics:
    """The counts since the process started. Their labels are routes and statuses: few, and of no customer."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "fly_billing_api_requests", "Requests by route and status.", ("route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "fly_billing_api_seconds", "Time to answer.", ("route",), buckets=BUCKETS, registry=self._registry
        )

    def count(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def as_text(self) -> bytes:
        return generate_latest(self._registry)
