"""Two routes for monitors: GET /health (JSON, 200 or 503) and GET /metrics (the text format of Prometheus).

An application of its own, not part of the webhook service: that one is reachable by Stripe from the internet, and its
own /health only tells that it serves. Not here: the rules of health (`operations.rules.health`).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fly_billing.http_limits import configuration
from fly_billing.operations.rules.attention import AttentionRow
from fly_billing.operations.rules.health import Health
from fly_billing.operations.unreadable import UNREADABLE, reason_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """Everything that the two routes show. `attention`: what needs a person."""

    health: Health
    attention: Sequence[AttentionRow]


def build_health_app(read_health: Callable[[], Health], read_all: Callable[[], Reading]) -> Starlette:
    """Return the application. Each request reads again; a reading that fails is a 503 with its reason."""

    async def health(request: Request) -> Response:
        try:
            found = await run_in_threadpool(read_health)
        except UNREADABLE as problem:
            return JSONResponse({"status": "failing", "problem": reason_of(problem)}, 503)
        return JSONResponse(found.as_data(), 200 if found.is_good else 503)

    async def metrics(request: Request) -> Response:
        try:
            reading = await run_in_threadpool(read_all)
        except UNREADABLE as problem:
            return Response(_failed_metrics(reason_of(problem)), 200, media_type=CONTENT_TYPE_PLAIN_0_0_4)
        return Response(as_metrics(reading), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return Starlette(routes=[Route("/health", health), Route("/metrics", metrics)])


def serve_health(app: Starlette, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. `say`: called with a line for the terminal."""
    config = configuration(app, host=host, port=port, log_level="warning")
    say(f"Serving http://{host}:{port}/health and /metrics - press Ctrl-C to stop.")
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises the signal again after it has stopped
        uvicorn.Server(config).run()


def as_metrics(reading: Reading) -> bytes:
    """Return the reading in the text format of Prometheus."""
    registry = CollectorRegistry()
    _gauge(registry, "readable", "1 if the billing database could be read.").set(1)
    _gauge(registry, "healthy", "1 if every sign of life is younger than its limit.").set(reading.health.is_good)
    last = _gauge(registry, "last_timestamp_seconds", "When the platform last did this. Absent: never.", "sign")
    good = _gauge(registry, "sign_ok", "1 if the sign of life is younger than its limit.", "sign")
    for name, sign in reading.health.signs.items():
        good.labels(name).set(sign.is_good)
        if sign.at:
            last.labels(name).set(int(sign.at.timestamp()))
    silent = _gauge(registry, "silent_source", "1 for each usage source that missed two cadences.", "source")
    for source in reading.health.silent_sources:
        silent.labels(source.source).set(1)
    attention = _gauge(registry, "attention", "Rows of `fly-billing status`, by kind. Absent: none.", "kind")
    for row in reading.attention:
        attention.labels(row.kind).inc()
    return generate_latest(registry)


def _failed_metrics(reason: str) -> bytes:
    log.error("%s", reason)
    registry = CollectorRegistry()
    _gauge(registry, "readable", "1 if the billing database could be read.").set(0)
    _gauge(registry, "healthy", "1 if every sign of life is younger than its limit.").set(0)
    return generate_latest(registry)


def _gauge(registry: CollectorRegistry, name: str, description: str, *labels: str) -> Any:
    return Gauge(f"fly_billing_{name}", description, labels, registry=registry)
