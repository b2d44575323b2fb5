"""Stripe's events: each records a change of an object, and the object as it was then.

An event is written in the transaction of its change, so no event is lost, and none is sent for a change that was rolled
back. Not here: delivering events (`webhooks`).
"""

import json

from fly_billing.stripe_sandbox import paging, params
from fly_billing.stripe_sandbox.errors import no_such
from fly_billing.stripe_sandbox.store import Json, Store, new_id

API_VERSION = "2026-10-28.endive"
KEPT_SECONDS = 30 * 24 * 3600
LIST: params.Spec = {
    **paging.PAGE,
    "created": params.time_filter(),
    "type": params.string(),
    "types": params.array_of(params.string()),
    **params.EXPAND,
    **params.unsupported("delivery_success"),
}
INSERT = "insert into events (id, type, created, body) values (?, ?, ?, ?)"
FIND = """
select seq, created, body, (
    select count(*) from webhook_deliveries where event = events.id and state = 'pending'
) as pending
from events
"""
CLAUSES = {
    "type": "and type = :type",
    "types": "and type in (select value from json_each(:types))",
    "starting_after": "and seq < :starting_after",
    "ending_before": "and seq > :ending_before",
    **{f"created_{name}": f"and created {sign} :created_{name}" for name, sign in paging.TIME_BOUNDS.items()},
}


def emit(store: Store, type: str, body: Json) -> None:
    """Record an event. `body` is the object after the change."""
    event = {
        "id": new_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": store.now(),
        "data": {"object": body},
        "livemode": False,
        "pending_webhooks": 0,
        "request": dict(store.request),
        "type": type,
    }
    store.db.execute(INSERT, (event["id"], type, event["created"], json.dumps(event)))


def retrieve(store: Store, ids: Json, wanted: Json) -> Json:
    """Return an event of the last 30 days."""
    return known(store, ids["id"])


def known(store: Store, id: str) -> Json:
    """Return an event of the last 30 days by its id."""
    event = stored(store, id)
    if event is None or event["created"] < store.now() - KEPT_SECONDS:
        raise no_such("event", id, param="id", status=404)
    return event


def stored(store: Store, id: str) -> Json | None:
    """Return an event of any age."""
    row = store.db.execute("\n".join([FIND, "where id = ?"]), (id,)).fetchone()
    return None if row is None else _shown(row["body"], row["pending"])


def listing(store: Store, ids: Json, wanted: Json) -> Json:
    """List the events of the last 30 days, newest first."""
    limit = wanted.get("limit", 10)
    values = _filters(store, wanted)
    clauses = [CLAUSES[name] for name in values]
    backwards = "ending_before" in wanted
    order = "order by seq asc limit :fetch" if backwards else "order by seq desc limit :fetch"
    kept = {"kept": store.now() - KEPT_SECONDS, "fetch": limit + 1}
    found = store.db.execute("\n".join([FIND, "where created >= :kept", *clauses, order]), values | kept).fetchall()
    page = found[:limit][::-1] if backwards else found[:limit]
    return paging.listing("/v1/events", [_shown(row["body"], row["pending"]) for row in page], len(found) > limit)


def _filters(store: Store, wanted: Json) -> Json:
    values: Json = {f"created_{bound}": second for bound, second in wanted.get("created", {}).items()}
    values |= {name: _seq(store, wanted[name], name) for name in ("starting_after", "ending_before") if name in wanted}
    if wanted.get("type"):
        values["type"] = wanted["type"]
    if wanted.get("types"):
        values["types"] = json.dumps(wanted["types"])
    return values


def _seq(store: Store, id: str, param: str) -> int:
    row = store.db.execute("select seq from events where id = ?", (id,)).fetchone()
    if row is None:
        raise no_such("event", id, param=param)
    return int(row["seq"])


def _shown(body: str, pending: int) -> Json:
    return {**json.loads(body), "pending_webhooks": pending}
