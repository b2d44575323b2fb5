"""The check against Stripe's schema can fail: a request that Stripe refuses, or an impossible response, fails it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.support.stripe_openapi import Exchange, Json, stripe_schema

CUSTOMER = {"id": "cus_1", "object": "customer", "created": 1, "livemode": False, "metadata": {}}
UPDATED = Exchange(
    "POST", "/v1/customers/cus_1", 200, body="balance=-1000&metadata[org]=fly&address=", answer=json.dumps(CUSTOMER)
)
LISTED = Exchange(
    "GET",
    "/v1/customers?limit=1&created[gte]=7&expand[]=data.tax",
    200,
    answer=json.dumps({"object": "list", "data": [CUSTOMER], "has_more": False, "url": "/v1/customers"}),
)
REFUSED = replace(
    UPDATED, status=404, answer='{"error": {"type": "invalid_request_error", "code": "resource_missing"}}'
)
EVENT = {
    "id": "evt_1",
    "object": "event",
    "api_version": None,
    "created": 1,
    "data": {"object": CUSTOMER},
    "livemode": False,
    "pending_webhooks": 0,
    "request": None,
    "type": "customer.deleted",
}


def test_valid_requests_and_responses_pass_the_check() -> None:
    assert [problem for exchange in (UPDATED, LISTED, REFUSED) for problem in stripe_schema().problems(exchange)] == []
    assert stripe_schema().problems_of_event(EVENT) == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("colour=red", "form: $: Additional properties are not allowed ('colour' was unexpected)"),
        ("address[planet]=earth", "form: $.address: Additional properties are not allowed ('planet' was unexpected)"),
        ("balance=much", "form: $.balance: 'much' is not of type 'integer'"),
        ("balance=", "form: $.balance: '' is not of type 'integer'"),
        ("tax_exempt=perhaps", "form: $.tax_exempt: 'perhaps' is not one of ['', 'exempt', 'none', 'reverse']"),
        ("shipping[name]=Fly", "form: $.shipping: 'address' is a required property"),
        ("preferred_locales=en", "form: $.preferred_locales: 'en' is not of type 'array'"),
    ],
)
def test_a_request_that_stripe_would_refuse_does_not_pass(body: str, problem: str) -> None:
    assert stripe_schema().problems(replace(UPDATED, body=body)) == [f"{UPDATED.name}: {problem}"]


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("/v1/customers?colour=red", "query: $: Additional properties are not allowed ('colour' was unexpected)"),
        ("/v1/customers?limit=many", "query: $.limit: 'many' is not of type 'integer'"),
        ("/v1/customers?created[since]=7", "query: $.created: "),
        ("/v1/clients", "request: Stripe has no GET /v1/clients"),
    ],
)
def test_a_query_that_stripe_would_refuse_does_not_pass(target: str, problem: str) -> None:
    asked = replace(LISTED, target=target)
    assert stripe_schema().problems(asked)[0].startswith(f"{asked.name}: {problem}")


def test_a_body_that_is_not_a_form_and_an_answer_that_is_not_json_do_not_pass() -> None:
    assert len(stripe_schema().problems(replace(UPDATED, content_type="application/json"))) == 1
    assert len(stripe_schema().problems(replace(UPDATED, answer_type="text/html"))) == 1
    assert len(stripe_schema().problems(replace(LISTED, body="limit=1"))) == 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"created": "today"}, "$.created: 'today' is not of type 'integer'"),
        ({"livemode": None}, "$.livemode: None is not of type 'boolean'"),
        ({"object": "client"}, "$.object: 'client' is not one of ['customer']"),
        ({"tax_exempt": "perhaps"}, "$.tax_exempt: 'perhaps' is not one of ['exempt', 'none', 'reverse']"),
        ({"colour": "red"}, "$: Additional properties are not allowed ('colour' was unexpected)"),
        ({"metadata": {"n": 1}}, "$.metadata.n: 1 is not of type 'string'"),
        (
            {"address": {"planet": "earth"}},
            "$.address: Additional properties are not allowed ('planet' was unexpected)",
        ),
        ({"name": "x" * 5001}, "$.name: 'xxxx"),
    ],
)
def test_an_object_that_stripe_would_not_return_does_not_pass(change: Json, problem: str) -> None:
    (found,) = stripe_schema().problems(replace(UPDATED, answer=json.dumps({**CUSTOMER, **change})))
    assert found.startswith(f"{UPDATED.name}: answer: {problem}")


def test_an_object_without_a_required_field_does_not_pass() -> None:
    without = {name: value for name, value in CUSTOMER.items() if name != "livemode"}
    problem = f"{UPDATED.name}: answer: $: 'livemode' is a required property"
    assert stripe_schema().problems(replace(UPDATED, answer=json.dumps(without))) == [problem]


def test_null_passes_only_where_stripe_allows_it() -> None:
    nulls = {"email": None, "tax_exempt": None, "address": None, "default_source": None}
    assert stripe_schema().problems(replace(UPDATED, answer=json.dumps({**CUSTOMER, **nulls}))) == []
    assert len(stripe_schema().problems(replace(UPDATED, answer=json.dumps({**CUSTOMER, "business_name": None})))) == 1


def test_an_object_in_place_of_an_error_does_not_pass() -> None:
    assert stripe_schema().problems(replace(UPDATED, status=404)) != []
    assert stripe_schema().problems(replace(REFUSED, answer='{"error": {"type": "strange_error"}}')) != []
    assert stripe_schema().problems(replace(REFUSED, status=200)) != []


@pytest.mark.parametrize(
    "change",
    [
        {"type": "customer.sneezed"},
        {"request": {"id": 1}},
        {"data": {"object": {**CUSTOMER, "colour": "red"}}},
        {"data": {"object": {"object": "unicorn"}}},
        {"data": {}},
        {"colour": "red"},
    ],
)
def test_an_event_that_stripe_would_not_send_does_not_pass(change: Json) -> None:
    assert stripe_schema().problems_of_event({**EVENT, **change}) != []
