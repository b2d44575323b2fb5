"""Calls, their responses, and the log of all calls.

The log records what the sandbox received and what it did; audits read it. Not here: any decision about a call
(`pipeline`).
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fly_billing.stripe_sandbox.endpoints import Endpoint
from fly_billing.stripe_sandbox.errors import StripeError
from fly_billing.stripe_sandbox.store import Json, Store


@dataclass(slots=True)
class Call:
    """One request that reached the server."""

    request_id: str
    endpoint: Endpoint
    method: str
    path: str
    ids: Json
    raw: Json
    headers: Mapping[str, str]
    started: float = field(default_factory=time.perf_counter)
    fault: str | None = None
    applied: bool = False
    logged: bool = False

    @property
    def key(self) -> str | None:
        """The idempotency key. Stripe reads it on POST only."""
        return self.headers.get("idempotency-key") if self.method == "POST" else None

    @property
    def api_key(self) -> str:
        """The call's API key. The sandbox accepts test keys only."""
        return self.headers.get("authorization", "").partition(" ")[2]


@dataclass(slots=True)
class SandboxResponse:
    """The response to a call.

    Attributes:
        dropped: The connection is closed, and the client gets no response.
    """

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    code: str | None = None
    replayed: bool = False
    dropped: bool = False

    @classmethod
    def ok(cls, body: Json) -> "SandboxResponse":
        """Return a 200 with an object."""
        return cls(200, json.dumps(body))

    @classmethod
    def refused(cls, error: StripeError, request_id: str) -> "SandboxResponse":
        """Return one of Stripe's errors."""
        return cls(error.status, json.dumps(error.body(request_id)), dict(error.headers), error.code or error.type)


INSERT = """
insert into calls (at, clock, request_id, endpoint, method, path, idempotency_key, status, code, replayed, applied,
                   dropped, fault, milliseconds)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
FILTERS = ("endpoint", "idempotency_key", "status", "code", "replayed", "applied", "dropped", "fault", "path", "method")


def record(store: Store, call: Call, answer: SandboxResponse) -> None:
    """Log a call once. In a transaction, the entry is committed or rolled back with the call's changes."""
    spent = (time.perf_counter() - call.started) * 1000
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    values = (at, store.now(), call.request_id, call.endpoint.name, call.method, call.path, call.key, answer.status)
    marks = (answer.code, answer.replayed, call.applied, answer.dropped, call.fault, round(spent, 3))
    store.db.execute(INSERT, values + marks)
    call.logged = True


def search(store: Store, wanted: Mapping[str, Any]) -> Json:
    """Return the logged calls that match, oldest first, and their number per endpoint."""
    names = [name for name in FILTERS if name in wanted]
    clauses = [f"and {name} = :{name}" for name in names]
    values = {name: wanted[name] for name in names}
    limit = int(wanted.get("limit", 1000))
    where = "\n".join(["from calls where true", *clauses])
    entries = store.db.execute(
        "\n".join(["select *", where, "order by seq desc limit :limit"]), values | {"limit": limit}
    )
    per_endpoint = store.db.execute("\n".join(["select endpoint, count(*)", where, "group by endpoint"]), values)
    return {"data": [dict(row) for row in entries][::-1], "counts": dict(map(tuple, per_endpoint))}


def forget(store: Store) -> None:
    """Empty the log."""
    store.db.execute("delete from calls")
