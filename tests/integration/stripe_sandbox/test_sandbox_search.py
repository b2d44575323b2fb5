"""Search finds by Stripe's query language, and refuses what Stripe can't search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import stripe

Draft = Callable[..., stripe.Invoice]


def names(client: stripe.StripeClient, query: str) -> list[str | None]:
    return [customer.name for customer in client.v1.customers.search({"query": query}).data]


@pytest.fixture
def client(client: stripe.StripeClient) -> stripe.StripeClient:
    """A client of a sandbox with Fly (org fly), Ann and Bob; Cid was deleted."""
    for name, org in (("Ann", "a"), ("Bob", "b"), ("Cid", "a")):
        made = client.v1.customers.create({"name": name, "email": f"{name}@fly.test", "metadata": {"org": org}})
        if name == "Cid":
            client.v1.customers.delete(made.id)
    return client


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("email:'ann@fly.test'", ["Ann"]),
        ('email:"ANN@FLY.TEST"', ["Ann"]),
        ("email~'fly.test'", ["Bob", "Ann"]),
        ("metadata['org']:'a'", ["Ann"]),
        ('-metadata["org"]:"a"', ["Bob", "Fly"]),
        ("metadata['tier']:null AND -email:null", ["Bob", "Ann"]),
        ("name:'Ann' OR name:'Bob'", ["Bob", "Ann"]),
        ("name:'Ann' AND email:'bob@fly.test'", []),
        ("created>0 AND name:'Fly'", ["Fly"]),
        ("created<5", []),
        ("phone:null AND name:'Fly'", ["Fly"]),
    ],
)
def test_customers_are_found(client: stripe.StripeClient, query: str, found: list[str]) -> None:
    assert names(client, query) == found


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("colour:'red'", "Field `colour` is an unsupported search field for resource `customers`"),
        ("metadata:'a'", "unsupported search field"),
        ("email", "unable to parse"),
        ("email:ann", "unable to parse"),
        ("email>'a'", "unable to parse"),
        ("created~5", "unable to parse"),
        ("name:'a' AND", "unable to parse"),
        ("name:'a' AND name:'b' OR name:'c'", "unable to parse"),
    ],
)
def test_a_query_that_stripe_cannot_read_is_refused(client: stripe.StripeClient, query: str, message: str) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=message):
        names(client, query)


def test_invoices_are_found_by_status_total_and_page(client: stripe.StripeClient, draft: Draft) -> None:
    for amount in (100, 200, 300):
        client.v1.invoices.finalize_invoice(draft(amount).id)
    draft(900)
    query: Any = {"query": "status:'open' AND total>=200", "limit": 1}
    page = client.v1.invoices.search(query)
    assert ([invoice.total for invoice in page.data], page.has_more) == ([300], True)
    assert [invoice.total for invoice in page.auto_paging_iter()] == [300, 200]
    with pytest.raises(stripe.InvalidRequestError, match="Invalid page"):
        client.v1.invoices.search({"query": "total>0", "page": "next"})
