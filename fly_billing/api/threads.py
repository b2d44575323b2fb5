"""Bounds how many requests a process works on at once. The others wait in order, and take no connection meanwhile.

Most of a request is CPU, and Python runs one thread at a time: more threads would only make each request slower. If the
database is slow, a request that waited too long is refused: its client has probably left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from anyio import Semaphore, move_on_after
from anyio.to_thread import current_default_thread_limiter

# Threads of a process, and connections that it keeps open. Postgres works for some while Python works for another.
THREADS = 6
# Requests that are begun at once; those without a thread wait for one.
BEGUN = 4 * THREADS
# The most seconds that a request waits before it is begun.
PATIENCE = 10.0


class AllBusy(Exception):
    """Other requests took all places for too long."""


@dataclass
class Places:
    """The places of the requests that are begun. They run in at most `threads` threads."""

    threads: int = THREADS
    begun: int = BEGUN
    patience: float = PATIENCE
    _free: Semaphore | None = None

    def bound_threads(self) -> None:
        """Bound the threads of this event loop."""
        limiter = current_default_thread_limiter()
        if limiter.total_tokens != self.threads:
            limiter.total_tokens = self.threads

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Wait for a place, and keep it during the block. Raises AllBusy."""
        free = self._free = self._free or Semaphore(self.begun)
        with move_on_after(self.patience) as waiting:
            await free.acquire()
        if waiting.cancelled_caught:
            raise AllBusy(f"all threads were busy for {self.patience:g} seconds")
        try:
            yield
        finally:
            free.release()
