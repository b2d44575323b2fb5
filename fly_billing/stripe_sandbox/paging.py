"""Stripe's list objects: newest first, with cursors, `has_more`, and filters on time and owner.

Not here: the kinds of objects. The caller names the kind and its filters.
"""

from fly_billing.stripe_sandbox import params
from fly_billing.stripe_sandbox.errors import no_such
from fly_billing.stripe_sandbox.store import Json, Store

PAGE: params.Spec = {
    "limit": params.integer(1, 100),
    "starting_after": params.string(),
    "ending_before": params.string(),
}
TIME_BOUNDS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
CURSORS = {"starting_after": "and seq < :starting_after", "ending_before": "and seq > :ending_before"}
CLAUSES = {
    "charge": "and body ->> '$.charge' = :charge",
    "currency": "and body ->> '$.currency' = :currency",
    "customer": "and customer = :customer",
    "invoice": "and invoice = :invoice",
    "payment_intent": "and body ->> '$.payment_intent' = :payment_intent",
    "paying_intent": "and body ->> '$.payment.payment_intent' = :paying_intent",
    "source": "and body ->> '$.source' = :source",
    "status": "and status = :status",
    "type": "and body ->> '$.type' = :type",
    "email": "and body ->> '$.email' = :email",
    "collection_method": "and body ->> '$.collection_method' = :collection_method",
    **{f"created_{name}": f"and created {sign} :created_{name}" for name, sign in TIME_BOUNDS.items()},
    **{f"due_date_{name}": f"and body ->> '$.due_date' {sign} :due_date_{name}" for name, sign in TIME_BOUNDS.items()},
}


# The + keeps SQLite from walking all objects of the kind: those of one invoice are few.
OF_KIND = "select body from objects where object = :object"
OF_INVOICE = "select body from objects where +object = :object"


def listing(url: str, data: list[Json], has_more: bool) -> Json:
    """Return Stripe's list object."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def part(url: str, found: list[Json], wanted: Json, kind: str) -> Json:
    """Return one page of objects that are given in their order."""
    limit, ids = wanted.get("limit", 10), [each["id"] for each in found]
    if "ending_before" in wanted:
        end = _index(ids, wanted["ending_before"], kind, "ending_before")
        first = max(0, end - limit)
        return listing(url, found[first:end], first > 0)
    first = 0
    if "starting_after" in wanted:
        first = _index(ids, wanted["starting_after"], kind, "starting_after") + 1
    return listing(url, found[first : first + limit], first + limit < len(found))


def _index(ids: list[str], id: str, kind: str, param: str) -> int:
    if id not in ids:
        raise no_such(kind, id, param=param)
    return ids.index(id)


def newest(store: Store, object: str, wanted: Json, *fixed: str) -> tuple[list[Json], bool]:
    """Return one page of a kind of object, newest first, and True if there are more.

    Args:
        wanted: The request's filters and cursors.
        fixed: SQL conditions of the endpoint.
    """
    limit = wanted.get("limit", 10)
    values = {"object": object, "fetch": limit + 1, **_filters(wanted)}
    clauses = [CLAUSES[name] for name in values if name in CLAUSES] + list(fixed)
    backwards = "ending_before" in wanted
    for name in wanted.keys() & CURSORS.keys():
        values[name] = _seq(store, object, wanted[name], name)
        clauses.append(CURSORS[name])
    order = "order by seq asc limit :fetch" if backwards else "order by seq desc limit :fetch"
    kind = OF_INVOICE if "invoice" in values else OF_KIND
    found = store.bodies("\n".join([kind, *clauses, order]), values)
    page = found[:limit]
    return (page[::-1] if backwards else page), len(found) > limit


def _filters(wanted: Json) -> Json:
    values: Json = {}
    for name, value in wanted.items():
        if isinstance(value, dict):
            values.update({f"{name}_{bound}": second for bound, second in value.items()})
        elif name in CLAUSES and value is not None:
            values[name] = value
    return values


def _seq(store: Store, object: str, id: str, param: str) -> int:
    row = store.db.execute("select seq from objects where id = ? and object = ?", (id, object)).fetchone()
    if row is None:
        raise no_such(object, id, param=param)
    return int(row["seq"])
