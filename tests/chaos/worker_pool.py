"""Keeps syncing processes running: each seat has one at a time, and a new one when that is killed or has ended.

Keeps out: their work (syncing.py), and the moments of kills (campaign.py).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tests.chaos.syncing import POSTGRES_AWAY, Order

ROOT = Path(__file__).resolve().parents[2]
# Seconds after which a process that does not start or end is a fault of the campaign itself.
PATIENCE = 600.0
# The pause before replacing a process without Postgres: the next one would only end the same way.
PAUSE = 0.3
# Each seat has its own API key, which identifies the caller on Stripe's side.
KEY = "sk_test_seat_{}"
KEYS = KEY.format("*")

WasAway = Callable[[float], bool]


def never_away(since: float) -> bool:
    """Return False: if Postgres stays up, no process may end because it was away."""
    return False


class UnexpectedEnd(Exception):
    """A syncing process ended unexpectedly: that is a finding, not a planned fault."""


@dataclass
class Lives:
    """The ends of syncing processes: on their own, killed by us, or with an error because Postgres was away."""

    ended: int = 0
    killed: int = 0
    crashed: int = 0


class Worker:
    """One place for a syncing process."""

    def __init__(self, number: int, log: Path, was_away: WasAway) -> None:
        """`was_away` returns True if Postgres was away at any time since a moment (of time.monotonic)."""
        self.lives = Lives()
        self.key = KEY.format(number)
        self._was_away = was_away
        self._log = log
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._is_killed = False
        self._order: Order | None = None
        self._thread: threading.Thread | None = None
        self._problem: Exception | None = None
        with log.open("ab") as errors:
            self._parent = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.syncing"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                encoding="utf-8",
            )

    def begin(self, order: Order) -> None:
        """Carry out the order repeatedly, until `stop`."""
        assert self._thread is None, "one order at a time"
        self._order = replace(order, environment={**order.environment, "STRIPE_API_KEY": self.key})
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def kill(self) -> bool:
        """Kill the process in the seat; return False if there is none."""
        with self._lock:
            if self._pid is None or self._is_killed:
                return False
            os.kill(self._pid, signal.SIGKILL)
            self._is_killed = True
            return True

    def stop(self) -> None:
        """Start no more processes."""
        self._order = None

    def wait(self, *, killed: bool = False) -> None:
        """Wait for the last process to end, after `stop`, or kill it, in case it is only just starting."""
        while self._thread is not None and self._thread.is_alive():
            if killed:
                self.kill()
            self._thread.join(0.02)
        self._thread = None

    def check(self) -> None:
        """Raise this seat's error, if there is one."""
        if self._problem is not None:
            raise self._problem

    def close(self) -> None:
        """End the process in the seat and its parent."""
        self.stop()
        self.wait(killed=True)
        assert self._parent.stdin and self._parent.stdout
        self._parent.stdin.close()
        self._parent.wait(timeout=PATIENCE)
        self._parent.stdout.close()

    def _work(self) -> None:
        try:
            while (order := self._order) is not None:
                self._one_life(order)
        except Exception as problem:  # noqa: BLE001 - a thread can't raise: `check` does
            self._problem = problem

    def _one_life(self, order: Order) -> None:
        assert self._parent.stdin
        self._parent.stdin.write(json.dumps(asdict(order)) + "\n")
        self._parent.stdin.flush()
        started, pid = time.monotonic(), self._told("started")
        with self._lock:
            self._pid, self._is_killed = pid, False
        code = self._told("ended")
        with self._lock:
            self._pid = None
            was_killed = self._is_killed
        if was_killed:
            self.lives.killed += 1
        elif code == POSTGRES_AWAY and self._was_away(started):
            self.lives.crashed += 1
            time.sleep(PAUSE)
        elif code == 0:
            self.lives.ended += 1
        else:
            raise UnexpectedEnd(
                f"a syncing process ended with {code}:\n{self._log.read_text(encoding='utf-8')[-4000:]}"
            )

    def _told(self, word: str) -> int:
        assert self._parent.stdout
        first_word, _, number = self._parent.stdout.readline().partition(" ")
        if first_word != word:
            raise UnexpectedEnd(
                f"the parent of syncing processes ended:\n{self._log.read_text(encoding='utf-8')[-4000:]}"
            )
        return int(number)


class WorkerPool:
    """All seats. A campaign has two, so that two processes sync the same months all the time."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._workers = workers

    def begin(self, order: Order) -> None:
        """Let every seat carry out the order repeatedly."""
        for worker in self._workers:
            worker.begin(order)

    def end(self, *, killed: bool = False) -> None:
        """Start no more processes, and wait for the running ones or kill them. Raises UnexpectedEnd."""
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            worker.wait(killed=killed)
        self.check()

    def check(self) -> None:
        """Raise UnexpectedEnd if a process ended unexpectedly."""
        for worker in self._workers:
            worker.check()

    def kill(self, key: str) -> None:
        """Kill the process whose calls have this API key: the one in the seat, or the next one there."""
        (worker,) = (running for running in self._workers if running.key == key)
        deadline = time.monotonic() + PATIENCE
        while not worker.kill():
            self.check()
            assert time.monotonic() < deadline, f"no syncing process to kill in {PATIENCE:.0f} s"
            time.sleep(0.01)

    @property
    def passes(self) -> int:
        """The smallest number of completed orders of a seat."""
        return min(worker.lives.ended for worker in self._workers)

    @property
    def lives(self) -> Lives:
        every = [worker.lives for worker in self._workers]
        return Lives(
            sum(worker.ended for worker in every),
            sum(worker.killed for worker in every),
            sum(worker.crashed for worker in every),
        )


@contextmanager
def workers(folder: Path, count: int, was_away: WasAway = never_away) -> Iterator[WorkerPool]:
    """Run this number of seats during the block; the output of the processes goes to logs in the folder."""
    with ExitStack() as stack:
        made = []
        for number in range(count):
            worker = Worker(number, folder / f"worker-{number}.log", was_away)
            stack.callback(worker.close)
            made.append(worker)
        yield WorkerPool(made)
