"""The API works on a few requests at once; the others wait in order, and not for ever."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from fly_billing.api.guard import Guard
from fly_billing.api.metrics import ApiMetrics
from fly_billing.api.rules.rate_limits import RateLimits
from fly_billing.api.threads import Places


def test_no_more_requests_are_worked_on_at_once_than_there_are_threads() -> None:
    running: set[int] = set()
    most: list[int] = []
    both_run = threading.Barrier(2)  # two requests run at once, or this never ends

    def work(number: int) -> None:
        running.add(number)
        both_run.wait(timeout=60)
        most.append(len(running))
        both_run.wait(timeout=60)
        running.discard(number)

    async def ask_often() -> None:
        places = Places(threads=2)
        places.bound_threads()

        async def ask(number: int) -> None:
            async with places.one():
                await run_in_threadpool(work, number)

        await asyncio.gather(*map(ask, range(20)))

    asyncio.run(ask_often())
    assert most == [2] * 20


def test_a_request_that_waited_too_long_gets_a_503_and_is_counted_and_health_is_answered_at_once() -> None:
    """Two requests wait for the database, and the place of a third one never gets free. Health is not behind them."""
    answers: list[int] = []
    metrics = ApiMetrics()

    async def ask_often() -> None:
        released = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answers.append(message["status"])

        async def wait() -> None:
            async with places.one():
                await released.wait()

        async def ask(path: str) -> None:
            scope = {"type": "http", "path": path, "method": "GET", "headers": []}
            await guard(scope, None, send)  # type: ignore[arg-type]

        places = Places(begun=2, patience=0.01)
        guard = Guard(
            app, lambda text: None, lambda text, at: None, RateLimits(10, 10), metrics, lambda: datetime.now(UTC),
            places=places,
        )  # fmt: skip
        slow = [asyncio.create_task(wait()) for _ in range(2)]
        await asyncio.sleep(0)
        for path in ("/v1/organizations/acme/statement", "/statement/late", "/health"):
            await ask(path)
        released.set()
        await asyncio.gather(*slow)
        await ask("/v1/organizations/acme/statement")  # without a token

    asyncio.run(ask_often())
    assert answers == [503, 503, 200, 401]
    assert 'fly_billing_api_requests_total{route="-",status="503"} 2.0' in metrics.as_text().decode()
