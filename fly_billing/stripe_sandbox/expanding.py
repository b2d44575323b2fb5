"""Expansion of a response: `expand[]=data.customer` puts an object in place of its id.

The properties with these names are ids of other objects, whichever object has them. Not here: what an object shows of
itself.
"""

from typing import Any

from fly_billing.stripe_sandbox import balances, credit_notes, lines, paging
from fly_billing.stripe_sandbox.errors import StripeError
from fly_billing.stripe_sandbox.store import Json, Store

EXPANDABLE = frozenset(
    "balance_transaction charge credit_note customer customer_balance_transaction default_payment_method "
    "default_source failure_balance_transaction invoice latest_charge payment_intent payment_method "
    "refund source".split()
)
# A charge has the id of its payment method, which Stripe does not expand.
NEVER = {("charge", "payment_method")}
# Properties that a response only has if they are expanded -> the object that has them.
_ONLY_EXPANDED = {"payments": "invoice", "invoice_credit_balance": "customer"}
DEEPEST = 4
OF_INVOICE = "select body from objects where invoice = ? and +object = 'invoice_payment' order by seq desc"


def expand(store: Store, body: Json, paths: list[str]) -> Json:
    """Return the body with the properties of these paths expanded. Raises StripeError for others."""
    for path in paths:
        steps = path.split(".")
        if len(steps) > DEEPEST:
            raise StripeError(f"You cannot expand more than {DEEPEST} levels of a property. Property: {path}")
        _expand(store, body, steps, path)
    return body


def _expand(store: Store, node: Any, steps: list[str], path: str) -> None:
    if isinstance(node, list):
        for each in node:
            _expand(store, each, steps, path)
        return
    name, rest = steps[0], steps[1:]
    if isinstance(node, dict) and "object" not in node and name not in node and name in EXPANDABLE:
        return  # a part without it, such as the payment of an invoice outside of Stripe, which has no PaymentIntent
    if not isinstance(node, dict) or not _has(node, name) or (not rest and not _is_expandable(node, name)):
        raise StripeError(f"This property cannot be expanded ({path}).")
    if _is_expandable(node, name):
        node[name] = _object(store, node, name)
    if rest and node[name] is not None:
        _expand(store, node[name], rest, path)


def _has(node: Json, name: str) -> bool:
    return name in node or _is_expandable(node, name)


def _is_expandable(node: Json, name: str) -> bool:
    if name in _ONLY_EXPANDED:
        return node.get("object") == _ONLY_EXPANDED[name]
    return name in node and name in EXPANDABLE and (node.get("object"), name) not in NEVER


def _object(store: Store, node: Json, name: str) -> Any:
    if name == "payments":
        found = store.bodies(OF_INVOICE, (node["id"],))
        return paging.listing("/v1/invoice_payments", found, has_more=False)
    if name == "invoice_credit_balance":
        return balances.by_currency(store.find("customer", node["id"]) or node)
    value = node[name]
    return shown(store, value) if isinstance(value, str) else value


def shown(store: Store, id: str) -> Any:
    """Return the object with this id as Stripe shows it; the id itself if the object is gone."""
    found = store.bodies("select body from objects where id = ?", (id,))
    if not found:
        return id
    body = found[0]
    if body["object"] == "invoice":
        return lines.shown(store, body)
    if body["object"] == "credit_note":
        return credit_notes.shown(body)
    if body.get("deleted"):
        return {name: body[name] for name in ("id", "object", "deleted")}
    return balances.shown(body)
