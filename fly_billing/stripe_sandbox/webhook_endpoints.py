"""/v1/webhook_endpoints: the receivers of events, for Stripe's API and for the control API.

Not here: deliveries (`webhooks`).
"""

import json
from pathlib import Path
from urllib.parse import urlsplit

from fly_billing.stripe_sandbox import paging, params
from fly_billing.stripe_sandbox.errors import InvalidParamsError, no_such
from fly_billing.stripe_sandbox.params import merged_metadata, string
from fly_billing.stripe_sandbox.store import Json, Store, new_id

# Stripe's types of events, from its OpenAPI schema (github.com/stripe/openapi, MIT). A test compares them.
EVENT_TYPES = Path(__file__).with_name("event_types.txt").read_text(encoding="utf-8").split()
FIELDS: params.Spec = {
    **params.EXPAND,
    "description": string(),
    "enabled_events": params.array_of(params.choice("*", *EVENT_TYPES)),
    "metadata": params.metadata(),
    "url": string(unsettable=False),
}
CREATE: params.Spec = {
    **FIELDS,
    "enabled_events": params.required(FIELDS["enabled_events"]),
    "url": params.required(FIELDS["url"]),
    **params.unsupported("api_version", "connect"),
}
UPDATE: params.Spec = {**FIELDS, "disabled": params.boolean()}
LIST: params.Spec = {**paging.PAGE, **params.EXPAND}
INSERT = "insert into webhook_endpoints (id, url, secret, enabled_events, body) values (?, ?, ?, ?, ?)"
SAVE = "update webhook_endpoints set url = ?, enabled_events = ?, body = ? where id = ?"


def add(store: Store, url: str, secret: str | None, enabled_events: list[str], **about: object) -> Json:
    """Register a receiver; return it with its signing secret, which Stripe shows once. Raises ValueError."""
    check_url(url)
    if secret and not (secret.isascii() and secret.isprintable()):
        raise ValueError("a signing secret is printable ASCII")
    id, secret = new_id("we"), secret or new_id("whsec", 32).replace("_1", "_", 1)
    body = {"created": store.now(), "description": None, "metadata": {}, "status": "enabled", **about}
    store.db.execute(INSERT, (id, url, secret, json.dumps(enabled_events), json.dumps(body)))
    return {"id": id, "url": url, "secret": secret, "enabled_events": enabled_events}


def check_url(url: str) -> None:
    """Raise ValueError for an address that events can't be sent to."""
    to = urlsplit(url)
    is_web = to.scheme in ("http", "https") and to.hostname and to.port != 0
    if not is_web or not (url.isascii() and url.isprintable()):
        raise ValueError("a webhook endpoint needs an http or https url, in ASCII")


def registered(store: Store) -> list[Json]:
    """Return the receivers with their secrets, oldest first."""
    rows = store.db.execute("select id, url, secret, enabled_events, body from webhook_endpoints order by seq")
    return [
        {
            "status": "enabled",
            **json.loads(row["body"]),
            **dict(row),
            "enabled_events": json.loads(row["enabled_events"]),
        }
        for row in rows
    ]


def remove(store: Store, id: str | None) -> None:
    """Remove one receiver, or all, and their pending deliveries."""
    store.db.execute("delete from webhook_deliveries where :id is null or endpoint = :id", {"id": id})
    store.db.execute("delete from webhook_endpoints where :id is null or id = :id", {"id": id})


def create(store: Store, ids: Json, wanted: Json) -> Json:
    """Register a receiver; the response is the only one with its secret."""
    _check(wanted)
    about = {"description": wanted.get("description"), "metadata": merged_metadata({}, wanted.get("metadata"))}
    made = add(store, wanted["url"], None, wanted["enabled_events"], **about)
    return {**retrieve(store, {"webhook_endpoint": made["id"]}, {}), "secret": made["secret"]}


def _check(wanted: Json) -> None:
    try:
        check_url(wanted.get("url", "http://localhost"))
    except ValueError:
        raise InvalidParamsError(
            "Invalid URL: An explicit scheme (such as https) must be provided", param="url"
        ) from None


def retrieve(store: Store, ids: Json, wanted: Json) -> Json:
    """Return a receiver, without its secret."""
    return _shown(_known(store, ids))


def _known(store: Store, ids: Json) -> Json:
    found = {each["id"]: each for each in registered(store)}
    if ids["webhook_endpoint"] not in found:
        raise no_such("webhook endpoint", ids["webhook_endpoint"], param="webhook_endpoint", status=404)
    return found[ids["webhook_endpoint"]]


def _shown(body: Json) -> Json:
    return {
        "id": body["id"],
        "object": "webhook_endpoint",
        "api_version": None,
        "application": None,
        "created": body.get("created", 0),
        "description": body.get("description"),
        "enabled_events": body["enabled_events"],
        "livemode": False,
        "metadata": body.get("metadata", {}),
        "status": body["status"],
        "url": body["url"],
    }


def update(store: Store, ids: Json, wanted: Json) -> Json:
    """Change a receiver. A disabled one gets no new events."""
    _check(wanted)
    body = _shown(_known(store, ids))
    body |= {name: wanted[name] for name in ("description", "enabled_events", "url") if name in wanted}
    if "metadata" in wanted:
        body["metadata"] = merged_metadata(body["metadata"], wanted["metadata"])
    if "disabled" in wanted:
        body["status"] = "disabled" if wanted["disabled"] else "enabled"
    kept = {name: body[name] for name in ("created", "description", "metadata", "status")}
    store.db.execute(SAVE, (body["url"], json.dumps(body["enabled_events"]), json.dumps(kept), body["id"]))
    return body


def listing(store: Store, ids: Json, wanted: Json) -> Json:
    """List receivers, newest first."""
    found = [_shown(body) for body in registered(store)][::-1]
    return paging.part("/v1/webhook_endpoints", found, wanted, "webhook endpoint")


def delete(store: Store, ids: Json, wanted: Json) -> Json:
    """Remove a receiver and its pending deliveries."""
    id = _known(store, ids)["id"]
    remove(store, id)
    return {"id": id, "object": "webhook_endpoint", "deleted": True}
