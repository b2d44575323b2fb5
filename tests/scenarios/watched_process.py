"""A simulated process of ours, in this process: each transaction and request is a moment at which a test can act.

A moment is the beginning or the end of a transaction, or of a request to Stripe: a process that is killed between two
of them always leaves the same state. Keeps out: the actions at a moment (`sync_machine`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import stripe
from sqlalchemy import Connection

from fly_billing.postgres.database import BillingDatabase, Row
from fly_billing.stripe_sync.invoice_sync import SyncTools
from fly_billing.stripe_sync.journal import StripeJournal
from tests.support.stripe_builders import API_KEY, MovableClock, sync_tools


class Crash(BaseException):
    """The process is dead. No product code catches it."""


class Moments:
    """Counts the moments of a process and acts at one of them, once. May be shared by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = 0
        self._act: Callable[[], None] | None = None
        self._is_dead = False

    def plan(self, nth: int, act: Callable[[], None]) -> None:
        """Call `act` at the nth moment from now on, in any thread."""
        self._left, self._act = nth, act

    def plan_death(self, nth: int) -> None:
        """Let the process die at the nth moment from now on, with all its threads."""
        self.plan(nth, self._die)

    def pass_one(self) -> None:
        """Count a moment. Raises Crash if the process is dead, or dies now."""
        with self._lock:
            if self._is_dead:
                raise Crash
            self._left -= 1
            act, self._act = (self._act, None) if self._left == 0 else (None, self._act)
        if act is not None:
            act()

    def _die(self) -> None:
        self._is_dead = True
        raise Crash


class WatchedDatabase(BillingDatabase):
    """The billing database of a process; only committed transactions end at a moment."""

    def __init__(self, url: str, moments: Moments) -> None:
        super().__init__(url)
        self._moments = moments

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        self._moments.pass_one()
        with super().transaction() as connection:
            yield connection
        self._moments.pass_one()

    def rows(self, name: str, /, **parameters: Any) -> list[Row]:
        self._moments.pass_one()
        found = super().rows(name, **parameters)
        self._moments.pass_one()
        return found


class WatchedHttp(stripe.RequestsClient):
    """The connection to Stripe: a process that dies now doesn't know the response yet."""

    def __init__(self, moments: Moments, patience: float) -> None:
        super().__init__(timeout=(5, patience))
        self._moments = moments

    def request(self, method: str, url: str, headers: Mapping[str, str] | None, *rest: Any, **more: Any) -> Any:
        self._moments.pass_one()
        answer = super().request(method, url, headers, *rest, **more)
        self._moments.pass_one()
        return answer


class WatchedProcess:
    """Sync tools over a watched database and a watched connection to Stripe. Never sleeps between attempts.

    `patience`: seconds to wait for a response. The classes can be replaced by broken ones.
    """

    def __init__(
        self,
        database_url: str,
        stripe_url: str,
        clock: MovableClock,
        *,
        patience: float = 25,
        journal: type[StripeJournal] = StripeJournal,
        http: type[WatchedHttp] = WatchedHttp,
    ) -> None:
        self.moments = Moments()
        self.database = WatchedDatabase(database_url, self.moments)
        self._http = http(self.moments, patience)
        client = stripe.StripeClient(
            API_KEY, base_addresses={"api": stripe_url}, http_client=self._http, max_network_retries=0
        )
        tools = sync_tools(self.database, stripe_url, clock=clock, journal=journal(self.database, "a process"))
        self._tools = replace(tools, client=client, sleep=lambda seconds: None)

    def tools(self, workers: int = 1) -> SyncTools:
        return replace(self._tools, rules=replace(self._tools.rules, workers=workers))

    def close(self) -> None:
        self._http.close()  # type: ignore[no-untyped-call]
