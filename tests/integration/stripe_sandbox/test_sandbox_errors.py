"""Refusals in Stripe's own shape: keys, parameters, routes, and the headers on every answer."""

import json
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import stripe

from fly_billing.stripe_sandbox import SandboxControl, SandboxServer, form


def raw(url: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, Any], Any]:
    try:
        with urlopen(Request(url, method=method, headers=headers)) as answer:
            return answer.status, json.load(answer), answer.headers
    except HTTPError as error:
        return error.code, json.load(error), error.headers


def test_a_call_without_a_key_is_a_401(control: SandboxControl, server: SandboxServer) -> None:
    status, body, headers = raw(f"{server.url}/v1/customers")
    assert (status, body["error"]["type"]) == (401, "invalid_request_error")
    assert body["error"]["message"].startswith("You did not provide an API key.")
    assert headers["Request-Id"].startswith("req_")


@pytest.mark.parametrize("key", ["sk_live_secret", "rk_live_secret", "nonsense_secret"])
def test_a_live_or_foreign_key_is_refused_and_never_repeated(
    control: SandboxControl, connect: Callable[..., stripe.StripeClient], key: str
) -> None:
    with pytest.raises(stripe.AuthenticationError) as refused:
        connect(key=key).v1.customers.list()
    assert "secret" not in str(refused.value)
    assert control.calls()[-1]["status"] == 401


def test_an_unknown_url_is_a_404_with_stripes_message(control: SandboxControl, server: SandboxServer) -> None:
    status, body, _ = raw(f"{server.url}/v1/unicorns?x=1", Authorization="Bearer sk_test_1")
    assert status == 404
    assert body["error"]["message"].startswith("Unrecognized request URL (GET: /v1/unicorns).")
    assert raw(f"{server.url}/v1/invoices", "DELETE", Authorization="Bearer sk_test_1")[0] == 404


def test_every_answer_names_its_request_and_version(client: stripe.StripeClient) -> None:
    answer = client.v1.customers.retrieve("cus_1234").last_response
    assert answer is not None
    assert answer.request_id is not None
    assert answer.request_id.startswith("req_")
    assert answer.headers["Stripe-Version"] == stripe.api_version


def test_an_error_has_every_field_of_stripes_errors(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError) as missing:
        client.v1.invoices.retrieve("in_gone")
    body: Any = missing.value.json_body
    assert body["error"] == {
        "type": "invalid_request_error",
        "code": "resource_missing",
        "message": "No such invoice: 'in_gone'",
        "param": "invoice",
        "doc_url": "https://stripe.com/docs/error-codes/resource-missing",
        "request_log_url": f"https://dashboard.stripe.com/test/logs/{missing.value.request_id}",
    }


@pytest.mark.parametrize(
    ("params", "code", "param", "message"),
    [
        ({}, "parameter_missing", "customer", "Missing required param: customer."),
        ({"customer": "cus_1234", "colour": 1}, "parameter_unknown", "colour", "Received unknown parameter: colour"),
        ({"customer": "cus_1234", "number": "x" * 27}, None, "number", "must be at most 26 characters"),
        ({"customer": "cus_1234", "description": "x" * 1501}, None, "description", "at most 1500 characters"),
        (
            {"customer": "cus_1234", "due_date": "soon"},
            "parameter_invalid_integer",
            "due_date",
            "Invalid integer: soon",
        ),
        ({"customer": ""}, "parameter_invalid_empty", "customer", "You passed an empty string for 'customer'"),
        ({"customer": "cus_1234", "auto_advance": "maybe"}, None, "auto_advance", "Invalid boolean: maybe"),
        ({"customer": "cus_1234", "currency": "dollars"}, None, "currency", "Invalid currency: dollars"),
        ({"customer": "cus_1234", "metadata": {"k" * 41: "v"}}, None, "metadata", "keys can have up to 40"),
        ({"customer": "cus_1234", "metadata": {"k": "v" * 501}}, None, "metadata", "values can have up to 500"),
        ({"customer": "cus_1234", "metadata": dict.fromkeys(map(str, range(51)), "v")}, None, "metadata", "50 keys"),
        ({"customer": "cus_1234", "automatic_tax": {"enabled": True}}, None, "automatic_tax", "does not support"),
        ({"customer": "cus_1234", "collection_method": "beg"}, None, "collection_method", "must be one of"),
    ],
)
def test_wrong_parameters_are_refused_by_name(
    client: stripe.StripeClient, params: Any, code: str | None, param: str, message: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.invoices.create(params)
    assert (refused.value.code, refused.value.param) == (code, param)
    assert message in str(refused.value)


def test_a_wrong_line_is_named_by_its_position(client: stripe.StripeClient) -> None:
    invoice = client.v1.invoices.create({"customer": "cus_1234"})
    lines: Any = [{"amount": 1}, {"amount": 1, "colour": "red"}]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.invoices.add_lines(invoice.id, {"lines": lines})
    assert refused.value.param == "lines[1][colour]"
    with pytest.raises(stripe.InvalidRequestError) as missing:
        client.v1.invoices.add_lines(invoice.id, {"lines": [{"amount": 1}, {"description": "no amount"}]})
    assert missing.value.param == "lines[1][amount]"
    assert client.v1.invoices.retrieve(invoice.id).total == 0


def test_nested_forms_are_read_as_stripe_writes_them() -> None:
    text = "customer=cus_1&lines[1][amount]=2&lines[0][metadata][a%5Bb]=x%26y&expand[]=p&expand[]=q&footer="
    assert form.parse(text) == {
        "customer": "cus_1",
        "lines": {"1": {"amount": "2"}, "0": {"metadata": {"a[b": "x&y"}}},
        "expand": {"0": "p", "1": "q"},
        "footer": "",
    }


@pytest.mark.parametrize(
    "query",
    ["limit=%D9%A1", f"limit={'9' * 5000}", "created[gte]=99999999999999999999999", "limit" + "[a]" * 3000 + "=1"],
    ids=["digits of another script", "5,000 digits", "a second beyond any", "nested without end"],
)
def test_an_invalid_number_is_refused(server: SandboxServer, query: str) -> None:
    assert raw(f"{server.url}/v1/invoices?{query}", Authorization="Bearer sk_test_1")[0] == 400
