"""A connection that logs the lock it waits for, and gives up if the server is lost.

TCP does not detect a lost response, or a proxy that acknowledges data without forwarding it. So during a long wait, we
ask the server on a second connection if the session is still working, and which session blocks it. The time limits of
statements and locks are not here: the server enforces them (`engines`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import psycopg

log = logging.getLogger("fly_billing.waiting")

# Seconds until a wait is checked, and until a lock that it still waits for is logged again.
QUIET = 5.0
LOGGED_AGAIN = 60.0
STATE = """
select state, state_change::text, wait_event_type,
       (select string_agg(format('process %%s (%%s, role %%s%%s) holds', b.pid, coalesce(nullif(b.application_name, ''),
                                 'unnamed'), b.usename, coalesce(', in a transaction since ' ||
                                 to_char(b.xact_start at time zone 'UTC', 'HH24:MI:SS') || ' UTC', '')), ' and ')
          from pg_stat_activity b where b.pid = any(pg_blocking_pids(a.pid)))
  from pg_stat_activity a where pid = %s
"""


class ServerSilent(psycopg.OperationalError):
    """The server did not answer in time, or no longer has the session."""


@dataclass
class Watch:
    """The state of a watched connection.

    Attributes:
        pid: The server process of the session.
        parameters: The parameters to connect to the same database.
        silence: The server counts as lost after this many seconds without an answer.
        blocker: The session that has the lock that this one waits for, at the last check.
        blocked_at: The clock's time of that check.
        clock: A monotonic clock in seconds.
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
        """Describe the session that blocked the wait that has just ended, or return "" if none was seen."""
        return self.blocker if self.clock() - self.blocked_at < 2 * self.quiet + 1 else ""


class WatchedConnection(psycopg.Connection[Any]):
    """A psycopg connection that watches every wait for the server once `watch` is set."""

    watch: Watch | None = None

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        if self.watch is None:
            return super().wait(gen, *args, **kwargs)
        return super().wait(self._watched(gen, self.watch), *args, **kwargs)

    def _watched(self, gen: Any, watch: Watch) -> Generator[Any, Any, Any]:
        """Pass everything through. Check the wait whenever psycopg wakes up with nothing to read (every 0.1 s)."""
        wait: _Wait | None = None  # most waits end before the first check
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready:
                    wait = wait or _Wait(watch)
                    self._check(wait)
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value

    def _check(self, wait: _Wait) -> None:
        if problem := wait.problem():
            self.pgconn.finish()  # nothing may use it again, because a late answer could still arrive
            raise ServerSilent(problem)


class _Wait:
    """One wait for the server: its start, and the session's state since."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._began = self._alive = watch.clock()
        self._next = self._began + watch.quiet
        self._logged = float("-inf")
        self._seen_idle = ""

    def problem(self) -> str | None:
        """Return the reason to stop waiting, or None."""
        if self._watch.clock() < self._next:
            return None
        try:
            session = _session_state(self._watch)
        except psycopg.OperationalError as error:
            if not _is_silence(error):  # the server is alive but refused us, such as with too many connections
                self._alive = self._watch.clock()
        else:
            self._alive = self._watch.clock()
            if problem := self._problem_of(session):
                return problem
        self._next = self._watch.clock() + self._watch.quiet
        silent = self._watch.clock() - self._alive
        return f"no answer for {silent:.0f} s" if silent >= self._watch.silence else None

    def _problem_of(self, session: tuple[Any, ...] | None) -> str | None:
        if session is None:
            return "the server no longer has this session: the connection broke"
        state, changed, _, blocker = session
        if state is not None and state != "active" and not str(state).startswith("fastpath"):
            # Seen idle once, the answer may be on its way. Seen twice in the same state, it was lost.
            if self._seen_idle == changed:
                return "the server's answer got lost: the connection broke"
            self._seen_idle = changed
        if blocker:
            self._watch.blocker, self._watch.blocked_at = blocker, self._watch.clock()
            self._log(blocker)
        return None

    def _log(self, blocker: str) -> None:
        now = self._watch.clock()
        if now - self._logged >= LOGGED_AGAIN:
            self._logged = now
            log.warning("waiting for %.0f s for a lock that %s", now - self._began, blocker)


def _session_state(watch: Watch) -> tuple[Any, ...] | None:
    bound = max(watch.quiet, 1.0)
    with BoundedConnection.connect(**watch.parameters, autocommit=True) as connection:
        connection.bound = bound
        return connection.execute(STATE, [watch.pid]).fetchone()


def _is_silence(error: psycopg.Error) -> bool:
    return isinstance(error, ServerSilent | psycopg.errors.ConnectionTimeout) or "refused" in str(error)


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that waits for at most `bound` seconds."""

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
                    raise ServerSilent("no answer")
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value
