"""A connection that says what it waits for, and gives up on a server that has vanished.

TCP notices neither a proxy that goes on acknowledging bytes it no longer forwards nor an answer that got lost. So
whoever waits for long asks the server on another connection: is my session still at work, and what holds it up?
Keeps out: how long a statement or a lock may take: that the server itself bounds (`engines`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import psycopg

log = logging.getLogger("fly_billing.waiting")

# Seconds. A wait shorter than that is nothing to ask about; a wait that goes on is told of again after REMINDED.
QUIET = 5.0
REMINDED = 60.0
STATE = """
select state, state_change::text, wait_event_type,
       (select string_agg(format('process %%s (%%s, role %%s%%s) holds', b.pid, coalesce(nullif(b.application_name, ''),
                                 'unnamed'), b.usename, coalesce(', in a transaction since ' ||
                                 to_char(b.xact_start at time zone 'UTC', 'HH24:MI:SS') || ' UTC', '')), ' and ')
          from pg_stat_activity b where b.pid = any(pg_blocking_pids(a.pid)))
  from pg_stat_activity a where pid = %s
"""


class Silence(psycopg.OperationalError):
    """The server did not answer in time, or no longer knows the session."""


@dataclass
class Watch:
    """What a watched connection knows of itself.

    Attributes:
        pid: the server's process.
        parameters: how to connect to the same database.
        silence: seconds without a sign of life from the server after which it counts as gone.
        blocker: who holds what the session waits for, as of the last look.
        clock: seconds since some moment, never going back.
    """

    pid: int
    parameters: dict[str, Any]
    silence: float
    blocker: str = ""
    blocked_at: float = 0.0
    clock: Callable[[], float] = time.monotonic

    @property
    def quiet(self) -> float:
        return min(QUIET, self.silence / 4)

    def last_blocker(self) -> str:
        """Say who held up the wait that has just ended; nothing if nobody was seen to."""
        return self.blocker if self.clock() - self.blocked_at < 2 * self.quiet + 1 else ""


class WatchedConnection(psycopg.Connection[Any]):
    """A psycopg connection whose every wait for the server is watched, once `watch` is set."""

    watch: Watch | None = None

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        if self.watch is None:
            return super().wait(gen, *args, **kwargs)
        return super().wait(self._watched(gen, _Looking(self.watch)), *args, **kwargs)

    def _watched(self, gen: Any, looking: _Looking) -> Generator[Any, Any, Any]:
        """Pass everything on; whenever psycopg wakes up with nothing to read (every 0.1 s), look."""
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready:
                    self._look(looking)
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value

    def _look(self, looking: _Looking) -> None:
        if problem := looking.problem():
            self.pgconn.finish()  # nobody may use it again: an answer could still come
            raise Silence(problem)


class _Looking:
    """One wait: when it began, and what was seen of the session meanwhile."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._began = self._alive = watch.clock()
        self._next = self._began + watch.quiet
        self._told = float("-inf")
        self._seen_idle = ""

    def problem(self) -> str | None:
        """Say why there is nothing to wait for; None if there may be."""
        if self._watch.clock() < self._next:
            return None
        try:
            found = _ask(self._watch)
        except psycopg.OperationalError as error:
            if not _is_silence(error):  # refused by a server that is alive: too many connections, say
                self._alive = self._watch.clock()
        else:
            self._alive = self._watch.clock()
            if problem := self._judge(found):
                return problem
        self._next = self._watch.clock() + self._watch.quiet
        silent = self._watch.clock() - self._alive
        return f"no answer for {silent:.0f} s" if silent >= self._watch.silence else None

    def _judge(self, found: tuple[Any, ...] | None) -> str | None:
        if found is None:
            return "the server no longer has this session: the connection broke"
        state, changed, _, blocker = found
        if state is not None and state != "active" and not str(state).startswith("fastpath"):
            # Once may be a coincidence: the answer is on its way. Twice the same: it got lost.
            if self._seen_idle == changed:
                return "the server's answer got lost: the connection broke"
            self._seen_idle = changed
        if blocker:
            self._watch.blocker, self._watch.blocked_at = blocker, self._watch.clock()
            self._tell(blocker)
        return None

    def _tell(self, blocker: str) -> None:
        now = self._watch.clock()
        if now - self._told >= REMINDED:
            self._told = now
            log.warning("waiting for %.0f s for a lock that %s", now - self._began, blocker)


def _ask(watch: Watch) -> tuple[Any, ...] | None:
    bound = max(watch.quiet, 1.0)
    with BoundedConnection.connect(**watch.parameters, autocommit=True) as connection:
        connection.bound = bound
        return connection.execute(STATE, [watch.pid]).fetchone()


def _is_silence(error: psycopg.Error) -> bool:
    return isinstance(error, Silence | psycopg.errors.ConnectionTimeout) or "refused" in str(error)


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that waits for so many seconds and no longer."""

    bound: float | None = None

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        if self.bound is None:
            return super().wait(gen, *args, **kwargs)
        return super().wait(self._until(gen, time.monotonic() + self.bound), *args, **kwargs)

    def _until(self, gen: Any, deadline: float) -> Generator[Any, Any, Any]:
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > deadline:
                    self.pgconn.finish()
                    raise Silence("no answer")
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value
