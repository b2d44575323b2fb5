"""Idempotency keys: the first response under a key is stored for 24 hours of the sandbox's clock and replayed.

500s are stored too. A key is refused with other parameters, on another endpoint, and while its first request is
running. Not here: which responses are stored (`pipeline`).
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

from fly_billing.stripe_sandbox.calls import Call, SandboxResponse
from fly_billing.stripe_sandbox.errors import InvalidParamsError, key_in_use, key_reused
from fly_billing.stripe_sandbox.store import Store

FIND = "select * from idempotency_keys where key = ?"
KEEP = """
insert or replace into idempotency_keys
    (key, method, path, params_hash, request_id, status, body, headers, stored_at)
values (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


class Keys:
    """The keys of one sandbox: stored keys in its file, those of running requests in memory."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._running: set[str] = set()

    def replay(self, call: Call) -> SandboxResponse | None:
        """Return the stored response of the call's key, or None.

        Raises StripeError if its first request is running, or if it was used for another request.
        """
        if call.key is None:
            return None
        if call.key in self._running:
            raise key_in_use(call.key)
        row = self._store.db.execute(FIND, (call.key,)).fetchone()
        if row is None or self._store.now() - row["stored_at"] >= self._store.settings.key_ttl_seconds:
            return None
        if (row["method"], row["path"]) != (call.method, call.path):
            raise key_reused(call.key, first=row["path"], now=call.path)
        if row["params_hash"] != fingerprint(call):
            raise key_reused(call.key)
        headers = json.loads(row["headers"]) | {"Idempotent-Replayed": "true", "Original-Request": row["request_id"]}
        return SandboxResponse(row["status"], row["body"], headers, replayed=True)

    @contextmanager
    def held(self, call: Call) -> Iterator[None]:
        """Reserve the call's key while the call runs. `replay` has checked that no other call has reserved it."""
        key = call.key
        if key is None:
            yield
            return
        if len(key) > 255:
            raise InvalidParamsError("Idempotency keys can be up to 255 characters long.")
        self._running.add(key)
        try:
            yield
        finally:
            self._running.discard(key)

    def keep(self, call: Call, answer: SandboxResponse) -> None:
        """Store the first response under the call's key."""
        if call.key is None:
            return
        values = (call.key, call.method, call.path, fingerprint(call), call.request_id)
        result = (answer.status, answer.body, json.dumps(answer.headers), self._store.now())
        self._store.db.execute(KEEP, values + result)


def fingerprint(call: Call) -> str:
    """Return a hash of the call's parameters that does not depend on their order."""
    return hashlib.sha256(json.dumps(call.raw, sort_keys=True).encode()).hexdigest()
