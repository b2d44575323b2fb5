"""The API works on a few requests at once; the others wait in order."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from fly_billing.api.threads import BEGUN, BoundedThreads


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

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await run_in_threadpool(work, scope["number"])

    async def ask_often() -> None:
        bounded = BoundedThreads(app, most=2)
        asked = ({"type": "http", "path": "/v1/x", "number": number} for number in range(20))
        await asyncio.gather(*(bounded(each, None, None) for each in asked))  # type: ignore[arg-type]

    asyncio.run(ask_often())
    assert most == [2] * 20


def test_a_request_that_waited_too_long_gets_a_503_and_the_health_of_the_service_is_answered_at_once() -> None:
    """24 requests wait for the database; the next one is refused after its patience, and health is not a reader."""
    answers: list[int] = []

    async def ask_often() -> None:
        released = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] != "/health":
                await released.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answers.append(message["status"])

        async def ask(path: str) -> None:
            scope = {"type": "http", "path": path, "method": "GET", "headers": []}
            await bounded(scope, None, send)  # type: ignore[arg-type]

        bounded = BoundedThreads(app, patience=0.01)
        slow = [asyncio.create_task(ask("/v1/x")) for _ in range(BEGUN)]
        await asyncio.sleep(0)
        await ask("/v1/late")
        await ask("/page/late")
        await ask("/health")
        released.set()
        await asyncio.gather(*slow)

    asyncio.run(ask_often())
    assert answers == [503, 503, 200, *[200] * BEGUN]
