"""The sandbox refuses what it can't do right: versions, addresses, currencies and paths that it does not know."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import stripe

from fly_billing.stripe_sandbox.endpoints import ENDPOINTS, NOT_OFFERED
from fly_billing.stripe_sandbox.events import API_VERSION
from fly_billing.stripe_sandbox.money import SUPPORTED, THREE_DECIMAL, ZERO_DECIMAL
from fly_billing.stripe_sandbox.webhook_endpoints import EVENT_TYPES
from tests.support.stripe_openapi import stripe_schema

Draft = Callable[..., stripe.Invoice]


@pytest.mark.parametrize("version", ["2011-01-01", "2099-12-31.zebra", "2026-11-18.preview", "nonsense"])
def test_a_version_that_the_sandbox_does_not_speak_is_refused(client: stripe.StripeClient, version: str) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=f"Invalid Stripe API version: {version}") as refused:
        client.v1.customers.list({}, {"stripe_version": version})
    assert refused.value.http_status == 400


def test_the_sandbox_speaks_the_version_of_the_installed_library(client: stripe.StripeClient) -> None:
    assert stripe.api_version == API_VERSION
    assert client.v1.customers.list({}, {"stripe_version": API_VERSION}).data != []


@pytest.mark.parametrize("address", ["nobody", "a@b", "a b@fly.test", "@fly.test", "a@fly.", "a@@fly.test"])
def test_an_address_that_is_none_is_refused(client: stripe.StripeClient, address: str) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="Invalid email address") as refused:
        client.v1.customers.create({"email": address})
    assert (refused.value.code, refused.value.param) == ("email_invalid", "email")


def test_an_address_can_be_set_and_unset(client: stripe.StripeClient) -> None:
    assert client.v1.customers.update("cus_1234", {"email": "bills+june@sub.fly.test"}).email is not None
    assert client.v1.customers.update("cus_1234", {"email": ""}).email is None


@pytest.mark.parametrize("currency", ["zzz", "us", "dollars", "btc"])
def test_a_currency_that_stripe_does_not_charge_is_refused(client: stripe.StripeClient, currency: str) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=f"Invalid currency: {currency}. Stripe currently supports"):
        client.v1.invoices.create({"customer": "cus_1234", "currency": currency})


def test_currencies_without_cents_are_among_those_that_stripe_charges() -> None:
    assert (ZERO_DECIMAL | THREE_DECIMAL) <= SUPPORTED
    assert not ZERO_DECIMAL & THREE_DECIMAL


def test_taxes_by_stripe_can_be_declined_but_not_asked_for(client: stripe.StripeClient) -> None:
    made = client.v1.invoices.create({"customer": "cus_1234", "automatic_tax": {"enabled": False}})
    assert made.automatic_tax.enabled is False
    with pytest.raises(stripe.InvalidRequestError, match="does not support the parameter automatic_tax"):
        client.v1.invoices.create({"customer": "cus_1234", "automatic_tax": {"enabled": True}})


# Paths --------------------------------------------------------------------------------------------------------------


def test_a_preview_of_an_invoice_is_an_unknown_url_and_no_invoice(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL") as refused:
        client.v1.invoices.create_preview({"customer": "cus_1234"})
    assert refused.value.http_status == 404


def test_no_path_of_stripe_is_taken_for_the_id_of_an_object() -> None:
    """Every literal path of Stripe's that one of our templates fits is offered, or refused as unknown."""
    offered = {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    schema = stripe_schema()
    literal = [
        (operation.method, operation.path)
        for operation in schema.operations
        if any(is_taken_for(operation.path, path) and method == operation.method for method, path in offered)
    ]
    assert set(literal) - offered == set(NOT_OFFERED)


def is_taken_for(path: str, template: str) -> bool:
    """Return True if a literal path of Stripe's fits a template with a parameter in its place."""
    words, parts = path.split("/"), template.split("/")
    if len(words) != len(parts):
        return False
    pairs = [(word, part) for word, part in zip(words, parts, strict=True) if word != part]
    return any(part.startswith("{") and not word.startswith("{") for word, part in pairs) and all(
        part.startswith("{") for _, part in pairs
    )


# Webhook endpoints --------------------------------------------------------------------------------------------------


def test_an_endpoint_is_made_changed_disabled_and_removed_through_stripes_api(
    client: stripe.StripeClient, draft: Draft
) -> None:
    hooks = client.v1.webhook_endpoints
    made = hooks.create({"url": "http://127.0.0.1:9/hook", "enabled_events": ["invoice.paid"]})
    assert (made.secret or "").startswith("whsec_")
    assert "secret" not in hooks.retrieve(made.id)
    changed = hooks.update(made.id, {"enabled_events": ["*"], "metadata": {"a": "1"}, "disabled": True})
    assert (changed.status, changed.enabled_events, changed.to_dict()["metadata"]) == ("disabled", ["*"], {"a": "1"})
    draft()
    [event] = client.v1.events.list().data
    assert event.pending_webhooks == 0
    assert hooks.delete(made.id).deleted is True
    assert hooks.list().data == []
    with pytest.raises(stripe.InvalidRequestError, match="No such webhook endpoint"):
        hooks.retrieve(made.id)


def test_an_endpoint_needs_an_address_and_known_types(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="Invalid URL"):
        client.v1.webhook_endpoints.create({"url": "fly.test", "enabled_events": ["*"]})
    with pytest.raises(stripe.InvalidRequestError, match="must be one of"):
        client.v1.webhook_endpoints.create({"url": "https://fly.test", "enabled_events": ["invoice.eaten"]})  # type: ignore[list-item]


def test_the_types_of_events_are_stripes() -> None:
    assert set(EVENT_TYPES) == stripe_schema().event_types - {"*"}
