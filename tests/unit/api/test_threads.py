"""The API works on a few requests at once; the others wait in order."""

from __future__ import annotations

import asyncio
import threading

from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from fly_billing.api.threads import BoundedThreads


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
        await asyncio.gather(*(bounded({"number": number}, None, None) for number in range(20)))  # type: ignore[arg-type]

    asyncio.run(ask_often())
    assert most == [2] * 20
