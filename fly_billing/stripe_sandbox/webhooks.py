"""The delivery of events to webhook endpoints: signed, over HTTP, with retries and faults.

An endpoint gets its events one after another, in the order in which they are due. Fault rules (`faults`) make a
delivery late, double or out of order, or lose it. Retries wait `webhook_retry_seconds`, doubled each time, in real
seconds. Not here: the events (`events`) and the endpoints (`webhook_endpoints`).
"""

import asyncio
import hashlib
import hmac
import http.client
import json
import sqlite3
import time
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from fly_billing.stripe_sandbox import events, webhook_endpoints
from fly_billing.stripe_sandbox.endpoints import Endpoint
from fly_billing.stripe_sandbox.faults import Faults, Rule
from fly_billing.stripe_sandbox.store import Json, Store

# The maximum delay of a delivery that waits for a later event, if its rule has no `seconds`.
HELD_SECONDS = 5.0
ADD_DELIVERY = "insert into webhook_deliveries (event, endpoint, state, due_at, held) values (?, ?, ?, ?, ?)"
DUE = """
select d.seq, d.event, d.attempts, e.id as endpoint, e.url, e.secret
from webhook_deliveries as d join webhook_endpoints as e on e.id = d.endpoint
where d.state = 'pending' and d.due_at <= ?
order by d.due_at, d.seq
limit 1
"""
NEXT = "select min(due_at) as due_at from webhook_deliveries where state = 'pending'"
DONE = "update webhook_deliveries set attempts = attempts + 1, state = ?, status = ?, due_at = ? where seq = ?"
RELEASE = """
update webhook_deliveries set due_at = ?, held = 0
where endpoint = ? and held and state = 'pending'
    and event in (select id from events where seq < (select seq from events where id = ?))
"""


def deliveries(store: Store, event: str | None = None) -> list[Json]:
    """Return the deliveries, oldest first: event, type, endpoint, state, attempts, and status of the last response."""
    sql = """
    select d.event, v.type, d.endpoint, d.state, d.attempts, d.status
    from webhook_deliveries as d join events as v on v.id = d.event
    where :event is null or d.event = :event
    order by d.seq
    """
    return [dict(row) for row in store.db.execute(sql, {"event": event})]


def resend(store: Store, event: str) -> int:
    """Deliver an event again to all endpoints, as the button in Stripe's dashboard does; return their number."""
    found = webhook_endpoints.registered(store)
    for endpoint in found:
        store.db.execute(ADD_DELIVERY, (event, endpoint["id"], "pending", time.time(), False))
    return len(found)


def signature(payload: str, secret: str, at: int) -> str:
    """Return the Stripe-Signature header of a payload that is sent at this second."""
    digest = hmac.new(secret.encode(), f"{at}.{payload}".encode(), hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


class Deliveries:
    """Delivers events to the endpoints of one sandbox. Runs in the server's event loop from the first `wake` on."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self._store, self._faults = store, faults
        self._awake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Look for new events now."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())
        self._awake.set()

    async def _run(self) -> None:
        while True:
            self._awake.clear()
            self._plan()
            # One at a time, because the sandbox may be reset or an endpoint removed during a delivery.
            while row := self._store.db.execute(DUE, (time.time(),)).fetchone():
                await self._deliver(row)
                self._plan()
            await self._rest()

    async def _rest(self) -> None:
        due_at = self._store.db.execute(NEXT).fetchone()["due_at"]
        try:
            await asyncio.wait_for(self._awake.wait(), None if due_at is None else max(0.0, due_at - time.time()))
        except TimeoutError:
            return

    def _plan(self) -> None:
        """Schedule the deliveries of each new event."""
        fresh = self._store.db.execute("select seq, id, type, body from events where not planned order by seq")
        found = webhook_endpoints.registered(self._store)
        with self._store.transaction():
            for row in fresh.fetchall():
                for endpoint in found:
                    if endpoint["status"] == "enabled" and any(
                        fnmatchcase(row["type"], name) for name in endpoint["enabled_events"]
                    ):
                        self._schedule(row, endpoint)
                self._store.db.execute("update events set planned = 1 where seq = ?", (row["seq"],))

    def _schedule(self, row: sqlite3.Row, endpoint: Json) -> None:
        rule = self._faults.choose(_as_endpoint(row["type"]), lambda: self._subject(json.loads(row["body"])))
        state, due_at, is_held, times = "pending", time.time(), False, 1
        if rule:
            self._faults.count_strike(rule)
            state, due_at, is_held, times = _planned(rule, due_at)
        for _ in range(times):
            self._store.db.execute(ADD_DELIVERY, (row["id"], endpoint["id"], state, due_at, is_held))

    def _subject(self, event: Json) -> tuple[str | None, list[Json]]:
        body = event["data"]["object"]
        customer = body["id"] if body["object"] == "customer" else body.get("customer")
        owner = self._store.find("customer", customer or "") or {}
        return customer, [body.get("metadata") or {}, owner.get("metadata") or {}]

    async def _deliver(self, row: sqlite3.Row) -> None:
        payload = json.dumps(events.stored(self._store, row["event"]), indent=2)
        timeout = self._store.settings.webhook_timeout_seconds
        status = await asyncio.to_thread(_post, row["url"], payload, row["secret"], timeout)
        attempts = row["attempts"] + 1
        if status is not None and 200 <= status < 300:
            state, due_at = "delivered", time.time()
            self._store.db.execute(RELEASE, (due_at, row["endpoint"], row["event"]))
        else:
            state = "pending" if attempts < self._store.settings.webhook_attempts else "given_up"
            due_at = time.time() + self._store.settings.webhook_retry_seconds * 2 ** (attempts - 1)
        self._store.db.execute(DONE, (state, status, due_at, row["seq"]))


def _as_endpoint(type: str) -> Endpoint:
    """Return the endpoint by which rules match a delivery: `webhooks.invoice.paid`."""
    return Endpoint(f"webhooks.{type}", "POST", "/webhooks", None, lambda store, ids, wanted: {})


def _planned(rule: Rule, now: float) -> tuple[str, float, bool, int]:
    """Return (state, time, True if it waits for a later event, number) of the deliveries that a rule strikes."""
    if rule.effect == "deliver_never":
        return "dropped", now, False, 1
    if rule.effect == "deliver_out_of_order":
        return "pending", now + (rule.seconds or HELD_SECONDS), True, 1
    return "pending", now + rule.seconds, False, 2 if rule.effect == "deliver_twice" else 1


def _post(url: str, payload: str, secret: str, timeout: float) -> int | None:
    """Send a signed event; return the status of the response, or None without one. Redirects are not followed."""
    to = urlsplit(url)
    kind = http.client.HTTPSConnection if to.scheme == "https" else http.client.HTTPConnection
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": signature(payload, secret, int(time.time())),
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    }
    connection = kind(to.hostname or "", to.port, timeout=timeout)
    try:
        connection.request("POST", to.path or "/", payload.encode(), headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError):  # ValueError: what http.client can't send or read
        return None
    finally:
        connection.close()
