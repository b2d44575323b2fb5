"""/v1/customers/{customer}/tax_ids: create, retrieve, list and delete. Invoices show those of their finalization.

Not here: verifying a number with its authority.
"""

from fly_billing.stripe_sandbox import customers, paging, params
from fly_billing.stripe_sandbox.errors import no_such
from fly_billing.stripe_sandbox.events import emit
from fly_billing.stripe_sandbox.store import Json, Store
from fly_billing.stripe_sandbox.tax_id_values import GIVEN, add

CREATE: params.Spec = {**GIVEN, **params.EXPAND}
LIST: params.Spec = {**paging.PAGE, **params.EXPAND}


def create(store: Store, ids: Json, wanted: Json) -> Json:
    """Add a tax id to a customer. Raises StripeError `tax_id_invalid`."""
    customer = customers.living(store, ids["customer"])
    return add(store, customer["id"], wanted)


def retrieve(store: Store, ids: Json, wanted: Json) -> Json:
    """Return a tax id of the customer."""
    body = store.find("tax_id", ids["id"])
    if body is None or body["customer"] != ids["customer"]:
        raise no_such("tax id", ids["id"], param="id", status=404)
    return body


def listing(store: Store, ids: Json, wanted: Json) -> Json:
    """List a customer's tax ids, newest first."""
    customer = customers.living(store, ids["customer"])["id"]
    found = paging.newest(store, "tax_id", {**wanted, "customer": customer})
    return paging.listing(f"/v1/customers/{customer}/tax_ids", *found)


def delete(store: Store, ids: Json, wanted: Json) -> Json:
    """Delete a tax id of the customer."""
    body = retrieve(store, ids, {})
    store.delete(body["id"])
    emit(store, "customer.tax_id.deleted", body)
    return {"id": body["id"], "object": "tax_id", "deleted": True}
