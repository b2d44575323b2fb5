"""The control API under /_sandbox: faults, settings, the clock, the call log, and direct edits of objects.

For tests, demos and audits; JSON in and out, no API key. Direct edits are like those of Stripe's dashboard or support:
no rule is applied. Not here: anything that Stripe itself offers.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fly_billing.stripe_sandbox import (
    calls,
    customers,
    dashboard,
    events,
    finalizing,
    lines,
    webhook_endpoints,
    webhooks,
)
from fly_billing.stripe_sandbox.errors import StripeError
from fly_billing.stripe_sandbox.faults import Rule
from fly_billing.stripe_sandbox.pipeline import Pipeline
from fly_billing.stripe_sandbox.store import Json, Store

Handler = Callable[[Pipeline, Json, Json], Any]
FIND = "select body from objects where id in (:id, :item)"
LIST = """
select body from objects
where (:object is null or object = :object) and (:customer is null or customer = :customer)
order by object, seq
"""


def routes(pipeline: Pipeline) -> list[Route]:
    """Return the control API's routes over one sandbox."""
    table: list[tuple[str, str, Handler]] = [
        ("GET", "health", health),
        ("POST", "reset", reset),
        ("GET", "faults", list_faults),
        ("POST", "faults", add_fault),
        ("DELETE", "faults", clear_faults),
        ("DELETE", "faults/{id}", clear_faults),
        ("GET", "held", list_held),
        ("GET", "settings", read_settings),
        ("POST", "settings", change_settings),
        ("GET", "clock", read_clock),
        ("POST", "clock", advance_clock),
        ("GET", "calls", list_calls),
        ("DELETE", "calls", clear_calls),
        ("POST", "customers", seed_customer),
        ("GET", "webhook_endpoints", list_endpoints),
        ("POST", "webhook_endpoints", add_endpoint),
        ("DELETE", "webhook_endpoints", clear_endpoints),
        ("DELETE", "webhook_endpoints/{id}", clear_endpoints),
        ("GET", "webhook_deliveries", list_deliveries),
        ("POST", "events/{id}/resend", resend_event),
        ("POST", "invoices/{id}/fail_payment", dashboard.fail_payment),
        ("POST", "invoices/{id}/fail_finalization", dashboard.fail_finalization),
        ("GET", "actions", dashboard.list_actions),
        ("GET", "actions/{action}", dashboard.subject),
        ("POST", "actions/{action}", dashboard.act),
        ("GET", "objects", list_objects),
        ("GET", "objects/{id}", read_object),
        ("PATCH", "objects/{id}", edit_object),
        ("DELETE", "objects/{id}", delete_object),
    ]
    return [
        Route(f"/_sandbox/{path}", _answered(pipeline, handler), methods=[method]) for method, path, handler in table
    ]


def _answered(pipeline: Pipeline, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        text = await request.body()
        try:
            given = json.loads(text) if text else dict(request.query_params)
            answer = JSONResponse(handler(pipeline, dict(request.path_params), given))
            pipeline.deliveries.wake()
            return answer
        except StripeError as error:
            pipeline.deliveries.wake()  # a declined charge has an event
            return JSONResponse({"error": error.message}, error.status)
        except LookupError as error:
            return JSONResponse({"error": f"not found: {error}"}, 404)
        except (ValueError, TypeError) as error:
            return JSONResponse({"error": str(error)}, 400)

    return answer


def health(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Return the sandbox's status, store path and time."""
    return {"status": "ok", "store": str(pipeline.store.path), "now": pipeline.store.now()}


def reset(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Delete all state: objects, keys, calls, faults, settings and the clock."""
    with pipeline.store.transaction():
        pipeline.store.wipe()
    pipeline.reload()
    pipeline.limits.forget()
    return {"status": "wiped"}


def list_faults(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Return the fault rules with their counts."""
    return {"data": pipeline.faults.listing()}


def add_fault(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Add a fault."""
    return pipeline.faults.add(Rule.from_json(given))


def clear_faults(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Remove one fault, or all."""
    pipeline.faults.remove(ids.get("id"))
    return list_faults(pipeline, ids, given)


def list_held(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Return the calls that are kept open right now, oldest first: the rule's id, the endpoint, the caller."""
    found = [(rule.id, call.endpoint.name, call.api_key) for rule, call in pipeline.open]
    return {"data": [dict(zip(("rule", "endpoint", "caller"), each, strict=True)) for each in found]}


def read_settings(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Return the settings."""
    return pipeline.store.settings.as_json()


def change_settings(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Change settings. Null turns a limit off."""
    pipeline.store.change_settings(given)
    pipeline.reload()
    return read_settings(pipeline, ids, given)


def read_clock(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Return the sandbox's time and its offset."""
    return {"now": pipeline.store.now(), "offset_seconds": pipeline.store.clock_offset}


def advance_clock(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Move the clock, and finalize drafts with auto_advance that are more than an hour old, as Stripe does."""
    with pipeline.store.transaction():
        pipeline.store.advance(int(given["advance_seconds"]))
        finalized = finalizing.finalize_overdue_drafts(pipeline.store)
    return {**read_clock(pipeline, ids, given), "finalized_drafts": finalized}


def list_calls(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Return the logged calls that match, oldest first, and their number per endpoint."""
    return calls.search(pipeline.store, given)


def clear_calls(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Empty the call log."""
    calls.forget(pipeline.store)
    return {"status": "emptied"}


def seed_customer(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Create a customer with this id. An existing customer is returned unchanged."""
    id = given.pop("id", None)
    unknown = set(given) - set(customers.CREATE)
    if unknown:
        raise ValueError(f"a customer has no {', '.join(sorted(unknown))}")
    there = pipeline.store.find("customer", id) if id else None
    with pipeline.store.transaction():
        return there or customers.create(pipeline.store, {}, given, id=id)


def list_endpoints(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Return the receivers of events."""
    names = ("id", "url", "secret", "enabled_events", "status")
    return {"data": [{name: each[name] for name in names} for each in webhook_endpoints.registered(pipeline.store)]}


def add_endpoint(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Register a receiver of events: `url`, optionally `secret` and `enabled_events`."""
    return webhook_endpoints.add(
        pipeline.store, str(given["url"]), given.get("secret"), list(given.get("enabled_events", ["*"]))
    )


def clear_endpoints(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Remove one receiver, or all."""
    webhook_endpoints.remove(pipeline.store, ids.get("id"))
    return list_endpoints(pipeline, ids, given)


def list_deliveries(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Return the deliveries, oldest first; all of them, or those of one `event`."""
    return {"data": webhooks.deliveries(pipeline.store, given.get("event"))}


def resend_event(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Deliver an event again, as the dashboard's button does."""
    return {"endpoints": webhooks.resend(pipeline.store, events.known(pipeline.store, ids["id"])["id"])}


def list_objects(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Return objects as they are stored, oldest first, filtered by `object` and `customer`."""
    wanted = {"object": given.get("object"), "customer": given.get("customer")}
    return {"data": [_complete(pipeline.store, body) for body in pipeline.store.bodies(LIST, wanted)]}


def read_object(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Return one object as it is stored; an invoice with all its lines."""
    return _complete(pipeline.store, _body(pipeline.store, ids["id"]))


def edit_object(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Overwrite top-level fields of an object. No rule is applied, and nothing else is recalculated."""
    body = _body(pipeline.store, ids["id"]) | {name: value for name, value in given.items() if name != "id"}
    pipeline.store.save(body)
    return body


def delete_object(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Delete an object, and an invoice's items with it. Nothing else is recalculated."""
    body = _body(pipeline.store, ids["id"])
    with pipeline.store.transaction():
        pipeline.store.delete_items(body["id"])
        pipeline.store.delete(body["id"])
    return {"id": body["id"], "object": body["object"], "deleted": True}


def _body(store: Store, id: str) -> Json:
    found = store.bodies(FIND, {"id": id, "item": lines.item_id(id)})
    if not found:
        raise LookupError(id)
    return found[0]


def _complete(store: Store, body: Json) -> Json:
    return {**body, "lines": lines.every(store, body["id"])} if body["object"] == "invoice" else body
